//! Webhooks of tasks.

use std::cell::RefCell;

use futures::future::LocalBoxFuture;

use super::tasks::{delete, ended, open, submit};
use super::*;
use z_image_2api::platform::sim::SimServer;
use z_image_2api::platform::{Inbound, Outbound};

/// Takes webhooks; the first ones are refused.
pub(super) struct Hook {
    refusals: u64,
    pub(super) taken: RefCell<Vec<(http::HeaderMap, Value)>>,
}

impl SimServer for Hook {
    fn answer(&self, _: &World, request: Outbound) -> LocalBoxFuture<'static, Result<Inbound, TransportError>> {
        let message = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
        self.taken.borrow_mut().push((request.headers, message));
        let refuses = self.taken.borrow().len() as u64 <= self.refusals;
        let status = if refuses { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::NO_CONTENT };
        Box::pin(async move { Ok(Inbound { status, headers: http::HeaderMap::new(), body: body("") }) })
    }
}

pub(super) const HOOK: &str = "https://hooks.example";
const HOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(super) fn with_hook(world: &World, refusals: u64) -> Rc<Hook> {
    let hook = Rc::new(Hook { refusals, taken: RefCell::default() });
    world.put_server(HOOK, hook.clone());
    world.set_variable("webhook_host", HOOK);
    world.set_variable("webhook_secret", HOOK_SECRET);
    hook
}

#[test]
fn the_end_is_told_to_whoever_asked_for_it_until_it_is_taken() {
    let (world, _) = world(111, Fate::Succeeds);
    let hook = with_hook(&world, 2);
    let url = format!("{HOOK}/images?x=1");
    let id = submit(&world, json!({"prompt": "x", "webhook_url": url}));
    ended(&world, &id);
    world.settle();
    let taken = hook.taken.borrow();
    assert_eq!(taken.len(), 3, "twice in vain, and then it was taken");
    for (headers, message) in taken.iter() {
        assert_eq!(
            (&headers["webhook-id"], headers["content-type"].as_bytes()),
            (&taken[0].0["webhook-id"], &b"application/json"[..])
        );
        assert!(headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));
        assert_eq!(message["type"], "image.task.succeeded");
        assert_eq!((&message["data"]["id"], &message["data"]["status"]), (&json!(id), &json!("succeeded")));
        assert!(message["data"]["result"]["data"][0]["url"].as_str().unwrap().starts_with("http://img.example/"));
        assert!(message["timestamp"].as_str().unwrap().starts_with("2027-01-15T"));
    }
    assert!(taken[2].0["webhook-timestamp"].to_str().unwrap() > taken[0].0["webhook-timestamp"].to_str().unwrap());
    assert_eq!(open(&world), [""; 0]);
    let refused = generate(&world, json!({"prompt": "x", "async": true, "webhook_url": "https://evil.example/"}));
    assert_eq!(refused.error().3, json!("webhook_url"));
    let seen = format!("{refused:?}{}", world.log_lines().join(""));
    assert!(!seen.contains("MfKQ9r8"), "the secret stays here");
}

#[test]
fn a_webhook_that_nobody_takes_is_given_up_in_the_end() {
    let (world, _) = world(112, Fate::Rejected);
    let hook = with_hook(&world, u64::MAX);
    let id = submit(&world, json!({"prompt": "x", "webhook_url": HOOK}));
    assert_eq!(ended(&world, &id)["status"], "failed");
    world.settle();
    assert_eq!(hook.taken.borrow().len(), 6);
    assert_eq!(open(&world), [""; 0]);
    let cancelled = with_hook(&world, 0);
    let id = submit(&world, json!({"prompt": "x", "webhook_url": HOOK}));
    delete(&world, &format!("/v1/tasks/{id}"));
    world.settle();
    assert_eq!(cancelled.taken.borrow()[0].1["type"], "image.task.cancelled");
    assert_eq!(cancelled.taken.borrow().len(), 1);
}
