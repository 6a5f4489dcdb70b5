//! Spaces that leave their images at another host.

use std::cell::{Cell, RefCell};

use super::tasks::{ended, get, submit};
use super::*;
use futures::future::LocalBoxFuture;
use http::HeaderMap;
use z_image_2api::platform::sim::SimServer;
use z_image_2api::platform::sim::space::HOSTED;
use z_image_2api::platform::{Inbound, Outbound};

/// The other host. It keeps what it was asked.
struct ImageHost {
    status: Cell<u16>,
    seen: RefCell<Vec<(String, HeaderMap)>>,
}

impl SimServer for ImageHost {
    fn answer(&self, _: &World, call: Outbound) -> LocalBoxFuture<'static, Result<Inbound, TransportError>> {
        self.seen.borrow_mut().push((call.url.to_string(), call.headers));
        let status = StatusCode::from_u16(self.status.get()).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("location", "http://evil.example/".parse().unwrap());
        headers.insert("set-cookie", "host=1".parse().unwrap());
        let image: Body = Box::pin(futures::stream::iter([Ok(png().into())]));
        Box::pin(async move { Ok(Inbound { status, headers, body: image }) })
    }
}

/// A private Space whose images are at another host, and that host.
fn private(seed: u64, image_hosts: &str) -> (World, SimSpace, Rc<ImageHost>) {
    let (world, space) = world(seed, Fate::Hosted);
    world.set_variable("spaces", "");
    world.set_variable("catalog", "[models.z]\nspaces = [{ space = \"a/b\", token = \"hf_token\" }]\n");
    world.set_variable("image_hosts", image_hosts);
    world.put_server("https://a-b.hf.space", Rc::new(space.clone()));
    let host = Rc::new(ImageHost { status: Cell::new(200), seen: RefCell::default() });
    world.put_server("https://cdn.example", Rc::<ImageHost>::clone(&host));
    (world, space, host)
}

#[test]
fn an_image_at_a_host_that_is_listed_is_answered_in_every_form_and_without_the_token() {
    let (world, _, host) = private(310, "https://other.example, https://cdn.example");
    let mut asked = request(Method::POST, "/v1/images/generations", json!({"prompt": "x"}).to_string());
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    asked.headers_mut().insert("traceparent", parent.parse().unwrap());
    let made = answer(&world, asked).json();
    assert!(world.sent().iter().any(|(_, headers)| headers.contains_key("traceparent")), "the Space has the trace");
    assert_eq!(STANDARD.decode(made["data"][0]["b64_json"].as_str().unwrap()).unwrap(), png());
    let linked = generate(&world, json!({"prompt": "x", "response_format": "url"})).json();
    let task = submit(&world, json!({"prompt": "x", "async": true}));
    let task = ended(&world, &task);
    assert_eq!(task["status"], "succeeded", "{task}");
    world.pass(Duration::from_secs(2));
    let listed = get(&world, "/v1/images").json()["data"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 3, "the history has all");
    // The links lead to what is kept here, whatever becomes of the host.
    let fetched = host.seen.borrow().len();
    world.set_variable("image_hosts", "");
    for image in listed.iter().chain([&linked["data"][0], &task["images"][0]]) {
        let path = image["url"].as_str().unwrap().strip_prefix("http://img.example").unwrap();
        let image = answer(&world, Request::get(path).body(body("")).unwrap());
        assert_eq!((image.status.as_u16(), image.body.unwrap()), (200, png()));
    }
    let seen = host.seen.borrow();
    assert_eq!((seen.len(), fetched), (3, 3));
    for (url, headers) in seen.iter() {
        assert_eq!(url, HOSTED);
        for secret in ["authorization", "x-hf-authorization", "cookie", "traceparent"] {
            assert!(!headers.contains_key(secret), "{headers:?}");
        }
    }
    let to_space = |url: &str| url.starts_with("https://a-b.hf.space/");
    assert!(world.sent().iter().all(|(url, headers)| headers.contains_key("authorization") == to_space(url)));
}

#[test]
fn an_image_at_another_host_that_is_not_listed_is_told() {
    for hosts in ["", "https://other.example", "http://cdn.example", "https://cdn.example:444"] {
        let (world, _, host) = private(311, hosts);
        assert_eq!(generate(&world, json!({"prompt": "x"})).error().2, json!("image_elsewhere"), "{hosts}");
        assert_eq!(host.seen.borrow().len(), 0);
    }
}

#[test]
fn a_host_that_does_not_give_the_image_is_named_and_its_redirects_lead_nowhere() {
    let (world, space, host) = private(312, "https://cdn.example");
    for (status, calls) in [(302, 1), (404, 1), (503, 4)] {
        host.status.set(status);
        host.seen.borrow_mut().clear();
        let refused = generate(&world, json!({"prompt": "x"}));
        assert_eq!((refused.error().0, refused.error().2), (502, json!("image_host_failed")));
        assert!(refused.json()["error"]["message"].as_str().unwrap().contains("cdn.example"), "{refused:?}");
        assert_eq!(host.seen.borrow().len(), calls, "{status}");
    }
    assert!(!world.sent().iter().any(|(url, _)| url.contains("evil.example")));
    assert_eq!(space.jobs().len(), 3, "one each: to make it anew would mend nothing");
    let state = get(&world, "/v1/spaces").json()["data"][0].clone();
    assert_eq!(state["failures"], json!(0), "which is no fault of the Space's: {state}");
}
