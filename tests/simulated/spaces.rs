//! Models and their Spaces: what is known of them, and what becomes of a request when they change or don't run.

use super::*;

#[test]
fn what_is_known_of_a_space_is_kept_and_refreshed() {
    let (world, _) = world(20, Fate::Succeeds);
    let descriptions = |world: &World| {
        world.asked().iter().filter(|path| path.ends_with("/config") || path.ends_with("/info")).count()
    };
    generate(&world, json!({"prompt": "x"}));
    assert_eq!(descriptions(&world), 2);
    // Each request of this test meets an instance of its own.
    generate(&world, json!({"prompt": "x"}));
    assert_eq!(descriptions(&world), 2, "a new instance knows from the store");
    world.pass(Duration::from_secs(700));
    generate(&world, json!({"prompt": "x"}));
    world.settle();
    assert_eq!(descriptions(&world), 4, "older knowledge is used, and refreshed beside the request");
    world.pass(Duration::from_secs(100_000));
    generate(&world, json!({"prompt": "x"}));
    assert_eq!(descriptions(&world), 6, "old knowledge is not used");
    world.break_store();
    assert_eq!(generate(&world, json!({"prompt": "x"})).status, 200, "without a store, the Space is asked");
}

#[test]
fn a_space_that_has_changed_is_asked_once_and_then_called_as_it_is_now() {
    let (world, space) = world(21, Fate::Succeeds);
    generate(&world, json!({"prompt": "x"}));
    space.renumber(9);
    let made = generate(&world, json!({"prompt": "x", "n": 3}));
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!(made.json()["data"].as_array().unwrap().len(), 3);
    let configs = world.asked().iter().filter(|path| path.ends_with("/config")).count();
    assert_eq!(configs, 2, "once for all three images");
}

#[test]
fn a_pool_goes_on_where_one_of_its_spaces_is_gone() {
    let (world, space) = world(22, Fate::Succeeds);
    world.set_variable("spaces", &format!("z=http://127.0.0.1:1,z={SPACE}"));
    assert_eq!(generate(&world, json!({"prompt": "x"})).status, 200);
    assert_eq!(space.jobs().len(), 1);
}

#[test]
fn spaces_that_do_not_run_are_told_apart() {
    for (stage, status, code) in [
        ("SLEEPING", 503, "space_sleeping"),
        ("BUILDING", 503, "space_starting"),
        ("PAUSED", 502, "space_paused"),
        ("RUNTIME_ERROR", 502, "space_broken"),
        ("RUNNING", 502, "space_unreadable"),
        ("", 502, "space_private"),
        ("renamed", 502, "space_renamed"),
    ] {
        let world = World::new(23);
        world.set_variable("api_keys", KEY);
        world.set_variable("catalog", "[models.z]\nspaces = [{ space = \"a/b\", token = \"hf_token\" }]\n");
        world.put_server("https://a-b.hf.space", Rc::new(Page("<!DOCTYPE html>".to_owned(), 200)));
        let (body, found) = match stage {
            "" => (String::new(), 404),
            "renamed" => (String::new(), 307),
            stage => (json!({"runtime": {"stage": stage}}).to_string(), 200),
        };
        world.put_server("https://huggingface.co", Rc::new(Page(body, found)));
        let answer = generate(&world, json!({"prompt": "x"}));
        let (seen, _, told_code, _) = answer.error();
        assert_eq!((seen, told_code), (status, json!(code)), "{stage}");
        for (url, headers) in world.sent() {
            let has_token = format!("{headers:?}").contains("Sensitive");
            assert_eq!(has_token, url.starts_with("https://a-b.hf.space/"), "the token goes to the Space alone: {url}");
        }
    }
}

/// A server that always says the same.
struct Page(String, u16);

impl z_image_2api::platform::sim::SimServer for Page {
    fn answer(
        &self,
        _: &World,
        _: z_image_2api::platform::Outbound,
    ) -> futures::future::LocalBoxFuture<'static, Result<z_image_2api::platform::Inbound, TransportError>> {
        let (text, status) = (self.0.clone(), StatusCode::from_u16(self.1).unwrap());
        Box::pin(async move {
            Ok(z_image_2api::platform::Inbound { status, headers: http::HeaderMap::new(), body: body(text) })
        })
    }
}

#[test]
fn a_models_details_tell_what_its_space_can_do() {
    let (world, _) = world(24, Fate::Succeeds);
    let details = answer(&world, request(Method::GET, "/v1/models/z-image-turbo-2048", "")).json();
    assert_eq!((&details["id"], &details["preset_of"]), (&json!("z-image-turbo-2048"), &json!("z-image-turbo")));
    let steps =
        details["capabilities"]["parameters"].as_array().unwrap().iter().find(|one| one["name"] == "steps").unwrap();
    assert_eq!((&steps["default"], &steps["maximum"]), (&json!(9), &json!(20.0)));
    let list = answer(&world, request(Method::GET, "/v1/models", "")).json();
    let preset_of =
        |id: &str| &list["data"].as_array().unwrap().iter().find(|model| model["id"] == id).unwrap()["preset_of"];
    assert_eq!((preset_of("z-image-turbo-2048"), preset_of("z-image-turbo")), (&json!("z-image-turbo"), &Value::Null));
    assert_eq!(details["spaces"][0]["state"], "ready");
    assert_eq!(details["defaults"]["size"], "2048x2048");
    assert_eq!(
        (&details["capabilities"]["generations"], &details["capabilities"]["edits"]),
        (&json!(true), &json!(false))
    );
    world.set_variable("spaces", "z=http://127.0.0.1:1");
    let gone = answer(&world, request(Method::GET, "/v1/models/z", "")).json();
    assert_eq!((&gone["capabilities"], &gone["spaces"][0]["state"]), (&Value::Null, &json!("space_unreachable")));
}

#[test]
fn a_private_spaces_token_goes_with_every_call_of_its_own_links_too() {
    let (world, space) = world(25, Fate::Succeeds);
    world.set_variable("spaces", "");
    world.set_variable("catalog", "[models.z]\nspaces = [{ space = \"a/b\", token = \"hf_token\" }]\n");
    world.put_server("https://a-b.hf.space", Rc::new(space));
    let made = generate(&world, json!({"prompt": "x", "response_format": "url"})).json();
    let path = made["data"][0]["url"].as_str().unwrap().strip_prefix("http://img.example").unwrap().to_owned();
    assert_eq!(answer(&world, Request::get(&path).body(body("")).unwrap()).status, 200);
    let sent = world.sent();
    assert!(sent.len() >= 5 && sent.iter().any(|(url, _)| url.contains("/file=")));
    for (url, headers) in sent {
        assert!(headers.contains_key("authorization") && headers.contains_key("x-hf-authorization"), "{url}");
    }
    assert!(!path.contains("hf_token") && !world.log_lines().join("").contains("hf_token"));
}
