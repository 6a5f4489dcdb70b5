//! Tasks and the database: statements, other instances, and a database that fails.

use super::tasks::{GENERATIONS, found, get, open, submit};
use super::*;
use z_image_2api::platform::Platform as _;

#[test]
fn tasks_wait_in_the_database_and_cost_few_statements() {
    let (world, space) = world(120, Fate::Succeeds);
    let apps: Vec<Rc<App>> = (0..4).map(|_| world.run(instance(world.clone()))).collect();
    for number in 0..60 {
        let fields = json!({"prompt": format!("number {number}"), "async": true});
        let asked = request(Method::POST, GENERATIONS, fields.to_string());
        assert_eq!(world.run(ask_of(Rc::clone(&apps[number % 4]), asked)).status, 202);
    }
    let (begun, before) = (world.now(), world.database().statements());
    let mut looks = 0;
    while !open(&world).is_empty() {
        let busy = found(&world, "SELECT id FROM task WHERE work = 2 AND holder <> ''").len();
        assert!(busy <= 2, "{busy} are worked at, and the Space has two slots");
        assert_eq!(busy, open(&world).len().min(2), "nothing is idle while something waits");
        looks += 4;
        world.pass(Duration::from_secs(10));
    }
    let minutes = (world.now() - begun).as_secs_f64() / 60.0;
    let statements = world.database().statements() - before - looks;
    let in_a_minute = f64::from(u32::try_from(statements).unwrap()) / minutes;
    assert!(in_a_minute < 400.0, "{in_a_minute} statements in a minute, for {minutes} minutes");
    assert_eq!(found(&world, "SELECT id FROM task WHERE status = 'succeeded'").len(), 60);
    assert_eq!(space.jobs().len(), 60);
    world.settle();
    let before = world.database().statements();
    world.pass(Duration::from_secs(600));
    assert_eq!(world.database().statements(), before, "nothing to do, nothing asked");
}

#[test]
fn a_record_that_cannot_be_read_is_given_up() {
    let (world, _) = world(124, Fate::Succeeds);
    world.set_variable("spaces", "z-image-turbo=http://127.0.0.1:1");
    let id = submit(&world, json!({"prompt": "x"}));
    world.settle();
    let spoil = "UPDATE task SET record = '{}', work = 2, holder = '', due = 0";
    world.database().query(spoil, &[]).unwrap();
    get(&world, "/internal/tick");
    world.settle();
    assert_eq!(open(&world), [""; 0]);
    assert_eq!(get(&world, &format!("/v1/tasks/{id}")).error().0, 404);
    assert_eq!(get(&world, "/v1/tasks").json()["data"], json!([]));
}

#[test]
fn a_runner_elsewhere_learns_of_a_cancellation_within_two_seconds() {
    let (world, space) = world(121, Fate::NeverEnds);
    let (one, other) = (world.run(instance(world.clone())), world.run(instance(world.clone())));
    let asked = request(Method::POST, GENERATIONS, json!({"prompt": "x", "async": true}).to_string());
    let id = world.run(ask_of(one, asked)).json()["id"].as_str().unwrap().to_owned();
    world.pass(Duration::from_secs(20));
    let cancelled = world.run(ask_of(other, request(Method::DELETE, &format!("/v1/tasks/{id}"), "")));
    assert_eq!(cancelled.json()["status"], "cancelled");
    world.pass(Duration::from_secs(2));
    assert!(space.jobs().iter().all(|job| job.cancelled_while_open.get()), "{:?}", space.jobs());
}

#[test]
fn streams_of_one_instance_look_together() {
    let (world, _) = world(122, Fate::NeverEnds);
    let app = world.run(instance(world.clone()));
    let ids: Vec<String> = (0..20)
        .map(|_| {
            let asked = request(Method::POST, GENERATIONS, json!({"prompt": "x", "async": true}).to_string());
            world.run(ask_of(Rc::clone(&app), asked)).json()["id"].as_str().unwrap().to_owned()
        })
        .collect();
    world.pass(Duration::from_secs(30));
    let streams: Vec<_> = ids
        .iter()
        .map(|id| ask_of(Rc::clone(&app), request(Method::GET, &format!("/v1/tasks/{id}/events"), "")))
        .collect();
    let before = world.database().statements();
    let streamed = world.run_for(Duration::from_secs(60), async move { futures::future::join_all(streams).await });
    assert!(streamed.is_none(), "they go on");
    let statements = world.database().statements() - before;
    assert!(statements < 20 + 120 + 200, "{statements} statements in a minute, for 20 streams");
}

#[test]
fn a_database_that_hangs_is_a_503_within_a_second_and_one_line_in_the_log() {
    let (world, _) = world(123, Fate::Succeeds);
    submit(&world, json!({"prompt": "x"}));
    world.settle();
    world.hang_database(true);
    let app = world.run(instance(world.clone()));
    let lines = world.log_lines().len();
    for number in 0..10 {
        let begun = world.now();
        let asked = request(Method::POST, GENERATIONS, json!({"prompt": "x", "async": true}).to_string());
        let refused = world.run(ask_of(Rc::clone(&app), asked));
        assert_eq!((refused.error().0, refused.error().2), (503, json!("store_unavailable")), "{number}");
        let took = world.now() - begun;
        assert!(took <= Duration::from_millis(1000), "{number}: {took:?}");
        world.pass(Duration::from_secs(3));
    }
    let seen: Vec<String> = world.log_lines().split_off(lines);
    assert_eq!(seen.iter().filter(|line| line.contains("The database fails")).count(), 1, "{seen:?}");
    world.hang_database(false);
    world.pass(Duration::from_secs(30));
    let asked = request(Method::POST, GENERATIONS, json!({"prompt": "x", "async": true}).to_string());
    world.run(ask_of(Rc::clone(&app), request(Method::GET, "/v1/tasks", "")));
    world.pass(Duration::from_secs(1));
    assert_eq!(world.run(ask_of(app, asked)).status, 202, "it comes back by itself");
}
