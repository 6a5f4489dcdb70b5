//! No task is lost or made twice, whichever instance dies when.

use std::collections::BTreeMap;

use super::pools::{for_each_seed, runs};
use super::tasks::{files, found, get, open, submit_to};
use super::tasks_webhooks::{HOOK, with_hook};
use super::*;
use z_image_2api::platform::sim::instance::Instance;

/// State of each task in the database: its status, and the places of its images.
type Records = BTreeMap<String, (String, Vec<Value>)>;

/// Looks at all records, and holds them against those of an earlier look: what has ended stays as it is.
fn check_records(seed: u64, world: &World, before: &Records) -> Records {
    let busy = found(world, "SELECT id FROM task WHERE work = 2 AND holder <> ''").len();
    assert!(busy <= 2, "seed {seed}: {busy} tasks are worked at, and the Space has two slots");
    let mut now = Records::new();
    for record in found(world, "SELECT id || record FROM task WHERE until > 0") {
        let (key, record) = record.split_at(32);
        let (key, record): (String, Value) = (key.to_owned(), serde_json::from_str(record).unwrap());
        let place = |image: &Value| match image["status"].as_str() {
            Some("succeeded") => json!([image["seed"], image["place"]]),
            _ => Value::Null,
        };
        let images: Vec<Value> = record["images"].as_array().unwrap().iter().map(place).collect();
        let status = record["status"].as_str().unwrap().to_owned();
        if let Some((earlier, places)) = before.get(&key) {
            if ["succeeded", "failed", "cancelled"].contains(&&**earlier) {
                assert_eq!((earlier, places), (&status, &images), "seed {seed}: {key} has changed after its end");
            }
            for (earlier, image) in places.iter().zip(&images) {
                assert!(earlier.is_null() || earlier == image, "seed {seed}: {key}: {earlier} became {image}");
            }
        }
        now.insert(key, (status, images));
    }
    now
}

/// Submits a task of two images to an instance that dies with its step number `last`, and lets others go on. Returns
/// how many steps the first one has taken.
fn die_at(seed: u64, last: u64) -> u64 {
    let (world, space) = world_of(seed, |_, _| Fate::Succeeds);
    let hook = with_hook(&world, 0);
    let first = Instance::new(&world, last);
    let id = submit_to(&first, json!({"prompt": "x", "n": 2, "seed": 40, "webhook_url": HOOK}));
    let mut before = Records::new();
    for _ in 0..200 {
        before = check_records(seed, &world, &before);
        world.pass(Duration::from_secs(5));
        // The others only look: whoever has a task may never ask for it.
        let tick = request(Method::GET, "/internal/tick", "");
        assert_eq!(answer(&world, tick).status, 200);
        if open(&world).is_empty() {
            break;
        }
    }
    assert_eq!(open(&world), [""; 0], "seed {seed}, step {last}: something is left to do");
    if let Some(id) = id {
        let task = get(&world, &format!("/v1/tasks/{id}")).json();
        assert_eq!(task["status"], "succeeded", "seed {seed}, step {last}: {task}");
        let seeds: Vec<_> =
            task["result"]["data"].as_array().unwrap().iter().map(|made| made["seed"].clone()).collect();
        assert_eq!(seeds, [40, 41], "seed {seed}, step {last}");
        let messages = hook.taken.borrow();
        assert!(!messages.is_empty(), "seed {seed}, step {last}: no message was sent");
        assert!(messages.iter().all(|(headers, _)| headers["webhook-id"] == messages[0].0["webhook-id"]));
        let images = get(&world, "/v1/images").json();
        assert_eq!(images["data"].as_array().unwrap().len(), 2, "seed {seed}, step {last}: each is remembered once");
    }
    world.settle();
    check_records(seed, &world, &before);
    // What a dead instance joined and had no time to write down runs to its end; all the rest is followed or cancelled.
    let unknown = space.jobs().iter().filter(|job| !job.ended.get() && !job.cancelled.get()).count();
    assert!(unknown <= if first.is_dead() { 2 } else { 0 }, "seed {seed}, step {last}: {:?}", space.jobs());
    assert!(space.jobs().iter().all(|job| !job.streaming.get()), "seed {seed}, step {last}");
    assert!(files(&world).is_empty(), "seed {seed}, step {last}");
    first.steps()
}

#[test]
fn an_instance_can_die_at_any_step() {
    let steps = die_at(0, u64::MAX);
    assert!(steps > 60, "{steps} steps are too few to be all");
    for_each_seed(steps, |before| {
        for seed in 0..4 {
            die_at(seed, before + 1);
        }
    });
}

/// Some instances before one store that is slow, and sometimes fails, and clients that submit, poll, list, cancel and
/// leave; instances die at random. Every task that was taken comes to an end, once.
fn live(seed: u64) {
    let (world, space) = world_of(seed, |world, _| {
        let all = Fate::ALL;
        // Most go well.
        let choice = usize::try_from(world.random_below(6 * all.len() as u64)).unwrap();
        all.get(choice).copied().unwrap_or(Fate::Succeeds)
    });
    world.set_variable("job_timeout", "60");
    let hook = with_hook(&world, 0);
    world.slow_store(Duration::from_millis([0, 3, 200, 2000][usize::try_from(world.random_below(4)).unwrap()]));
    world.flaky_store([0, 0, 0, 50, 8][usize::try_from(world.random_below(5)).unwrap()]);
    let instance =
        || Instance::new(&world, if world.random_below(3) == 0 { u64::MAX } else { 1 + world.random_below(250) });
    let mut instances: Vec<Instance> = (0..2).map(|_| instance()).collect();
    let mut tasks: BTreeMap<String, u64> = BTreeMap::new();
    let mut cancelled = Vec::new();
    let mut before = Records::new();
    for round in 0..12 {
        let at = usize::try_from(world.random_below(2)).unwrap();
        if instances[at].is_dead() {
            instances[at] = instance();
        }
        let here = instances[at].clone();
        let known = tasks.keys().nth(usize::try_from(world.random_below(4)).unwrap()).cloned();
        match (world.random_below(6), known) {
            (0 | 1, _) if round < 8 => {
                let n = 1 + world.random_below(3);
                let webhook = if world.random_below(3) == 0 { HOOK } else { "" };
                let fields = json!({"prompt": "x", "n": n, "seed": 100, "webhook_url": webhook});
                if let Some(id) = submit_to(&here, fields) {
                    tasks.insert(id, n);
                }
            }
            (2, Some(id)) if round % 4 == 3 => {
                let asked = request(Method::DELETE, &format!("/v1/tasks/{id}"), "");
                let answered = here.run(Duration::from_secs(60), ask_at(here.host(), asked));
                if answered.is_none_or(|answer| answer.status != 404) {
                    // It may have been forgotten, too.
                    cancelled.push(id.clone());
                    tasks.remove(&id);
                }
            }
            (3, _) => {
                let asked = request(Method::GET, "/v1/tasks", "");
                here.run(Duration::from_secs(60), ask_at(here.host(), asked));
            }
            (_, Some(id)) => {
                let asked = request(Method::GET, &format!("/v1/tasks/{id}"), "");
                here.run(Duration::from_secs(60), ask_at(here.host(), asked));
            }
            _ => {}
        }
        world.pass(world.random_ms(0, 20_000));
        before = check_records(seed, &world, &before);
    }
    // The store recovers, and one healthy instance looks at times.
    world.mend_store();
    for _ in 0..400 {
        before = check_records(seed, &world, &before);
        get(&world, "/internal/tick");
        if open(&world).is_empty() {
            break;
        }
        world.pass(Duration::from_secs(10));
    }
    assert_eq!(open(&world), [""; 0], "seed {seed}: something is left to do");
    let jobs = space.jobs().len();
    world.settle();
    world.slow_store(Duration::ZERO);
    assert_eq!(space.jobs().len(), jobs, "seed {seed}: something was made after the end");
    for (id, n) in &tasks {
        let seen = get(&world, &format!("/v1/tasks/{id}"));
        assert_eq!(seen.status, 200, "seed {seed}: {id} is lost");
        let task = seen.json();
        assert!(["succeeded", "failed"].contains(&task["status"].as_str().unwrap()), "seed {seed}: {task}");
        let images = task["images"].as_array().unwrap();
        assert_eq!(images.len() as u64, *n);
        for image in images {
            let (index, seed_of) = (image["index"].as_u64().unwrap(), image["seed"].as_u64());
            match image["status"].as_str().unwrap() {
                "succeeded" => assert_eq!(seed_of, Some(100 + index), "seed {seed}: {task}"),
                "failed" => assert!(image["error"]["message"].is_string(), "seed {seed}: {task}"),
                other => panic!("seed {seed}: an image is {other}"),
            }
        }
    }
    let mut ends: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (headers, message) in hook.taken.borrow().iter() {
        let id = headers["webhook-id"].to_str().unwrap().to_owned();
        ends.entry(id).or_default().push(message["data"]["status"].as_str().unwrap().to_owned());
    }
    for (id, seen) in ends {
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}: {id} ended in several ways: {seen:?}");
    }
    assert!(space.jobs().iter().all(|job| !job.streaming.get()), "seed {seed}: somebody still listens");
    assert_eq!(files(&world), [""; 0], "seed {seed}");
    check_records(seed, &world, &before);
}

#[test]
fn whoever_dies_when_no_task_is_lost_and_none_is_made_twice() {
    for_each_seed(runs(), live);
}
