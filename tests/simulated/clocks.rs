//! Clocks that are set while the component works: what it has begun ends all the same, and in time.

use super::tasks::submit_to;
use super::*;
use z_image_2api::platform::Platform as _;
use z_image_2api::platform::sim::instance::Instance;

const HOUR: Duration = Duration::from_secs(3600);
const LONGEST: Duration = Duration::from_secs(60);

/// Has the clock of an instance go from one time to another, both as times ahead of the world's, in mid-work.
fn set_clock(seed: u64, from: Duration, to: Duration) {
    let case = format!("seed {seed}, from {from:?} to {to:?}");
    let (world, space) = world_of(seed, |_, _| Fate::Succeeds);
    let instance = Instance::new(&world, u64::MAX);
    instance.set_clock(from);
    let (clock, there, at) = (world.clone(), instance.clone(), world.random_ms(0, 8000));
    world.spawn(Box::pin(async move {
        clock.sleep(at).await;
        there.set_clock(to);
    }));
    let ask = |method, path: &str, text: String| {
        let asked = request(method, path, text);
        instance.run(10 * LONGEST, ask_at(instance.host(), asked)).unwrap_or_else(|| panic!("{case}: no answer"))
    };
    let id = submit_to(&instance, json!({"prompt": "a task", "n": 2})).unwrap();
    let begun = world.now();
    let made = ask(Method::POST, "/v1/images/generations", json!({"prompt": "x", "n": 3}).to_string());
    assert_eq!(made.status, 200, "{case}: {made:?}");
    let mut status = Value::Null;
    while world.now() - begun < LONGEST && status != "succeeded" {
        status = ask(Method::GET, &format!("/v1/tasks/{id}"), String::new()).json()["status"].clone();
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(status, "succeeded", "{case}: the task");
    let again = ask(Method::POST, "/v1/images/generations", json!({"prompt": "again"}).to_string());
    assert_eq!(again.status, 200, "{case}: {again:?}");
    assert!(world.now() - begun < 2 * LONGEST, "{case}: all of it took {:?}", world.now() - begun);
    world.settle();
    check_jobs(seed, &space);
}

#[test]
fn a_clock_that_is_set_forward_costs_nothing() {
    for seed in 0..20 {
        set_clock(seed, Duration::ZERO, HOUR);
    }
}

#[test]
fn a_clock_that_is_set_back_costs_nothing() {
    for seed in 0..20 {
        set_clock(seed, Duration::from_secs(10), Duration::ZERO);
        set_clock(seed, HOUR, Duration::ZERO);
    }
}
