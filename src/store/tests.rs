//! The store in the simulated world, whose database is SQLite itself.

mod postgres;

use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::platform::Platform as _;
use crate::platform::log::{Log, LogRecord};
use crate::platform::sim::World;
use crate::platform::sim::instance::Instance;
use crate::store::lease::Leases;
use crate::store::sweep::Sweeper;

pub(crate) fn store(world: &World) -> Store {
    store_of(&world.host())
}

pub(crate) fn store_of(host: &Host) -> Store {
    let log: Log = {
        let host = Rc::clone(host);
        Rc::new(move |record: &LogRecord<'_>| host.log(record))
    };
    Store::new(host, Some(Database::Sqlite), &log)
}

#[test]
fn instances_that_begin_together_have_one_secret() {
    for seed in 0..100 {
        let world = World::new(seed);
        world.slow_store(Duration::from_millis(100));
        let opened = (0..8).map(|_| {
            let store = store(&world);
            async move { store.meta().await }
        });
        let opened: Vec<_> = opened.collect();
        let secrets = world.run(async move { futures::future::join_all(opened).await });
        let first = secrets[0].as_ref().unwrap();
        assert!(secrets.iter().all(|secret| secret.as_ref() == Ok(first)), "seed {seed}: {secrets:?}");
        assert_eq!(world.log_lines(), [""; 0], "an empty database is no failure");
    }
}

#[test]
fn a_start_takes_one_statement_where_the_schema_is_there() {
    let world = World::new(1);
    let (first, second) = (store(&world), store(&world));
    world.run(async move { first.meta().await.unwrap() });
    let before = world.database().statements();
    world.run(async move { second.meta().await.unwrap() });
    assert_eq!(world.database().statements() - before, 1);
}

#[test]
fn a_database_that_hangs_is_waited_for_once_and_told_once_and_comes_back_by_itself() {
    let world = World::new(1);
    let store = store(&world);
    let ask = |limit: u64| {
        let (store, begun) = (store.clone(), world.now());
        let outcome = world.run(async move { store.query(&statements::meta::READ, vec![]).await });
        let took = world.now() - begun;
        assert!(took <= Duration::from_millis(limit), "{took:?}");
        outcome
    };
    assert!(ask(0).is_ok());
    world.hang_database(true);
    assert_eq!(ask(3000), Err(StoreError::TimedOut(Duration::from_secs(3))));
    for _ in 0..10 {
        assert_eq!(ask(0), Err(StoreError::Down));
        world.pass(Duration::from_secs(2));
    }
    world.hang_database(false);
    world.pass(Duration::from_secs(11));
    let _ = ask(0);
    world.pass(Duration::from_secs(1));
    assert!(ask(0).is_ok());
    assert_eq!(world.log_lines().len(), 1, "{:?}", world.log_lines());
}

#[test]
fn a_slot_is_never_held_twice_and_comes_back_when_its_instance_dies() {
    for seed in 0..300 {
        let world = World::new(seed);
        world.slow_store(Duration::from_millis(20));
        let instances: Vec<Instance> = (0..3).map(|_| Instance::new(&world, 20 + world.random_below(200))).collect();
        let held: Rc<std::cell::RefCell<Vec<(usize, i64)>>> = Rc::default();
        for (number, instance) in instances.iter().enumerate() {
            let leases = Leases::new(&store_of(&instance.host()));
            let (host, held, instances) = (instance.host(), Rc::clone(&held), instances.clone());
            let rounds = world.clone();
            instance.host().spawn(Box::pin(async move {
                loop {
                    let slots = leases.claim("space/x", 1, 2).await.unwrap_or_default();
                    for slot in &slots {
                        let mut held = held.borrow_mut();
                        held.retain(|(holder, _)| !instances[*holder].is_dead());
                        assert!(!held.iter().any(|(_, other)| other == slot), "seed {}: slot {slot}", rounds.seed());
                        held.push((number, *slot));
                    }
                    host.sleep(rounds.random_ms(1, 30_000)).await;
                    held.borrow_mut().retain(|(holder, slot)| *holder != number || !slots.contains(slot));
                    leases.release("space/x", &slots);
                    host.sleep(rounds.random_ms(1, 1000)).await;
                }
            }));
        }
        world.pass(Duration::from_secs(200));
        for instance in &instances {
            instance.kill();
        }
        world.pass(Duration::from_secs(13));
        let survivor = Leases::new(&store(&world));
        let there = Rc::clone(&survivor);
        let free = world.run(async move { there.claim("space/x", 5, 2).await });
        assert_eq!(free, Ok(vec![0, 1]), "seed {seed}");
        survivor.release("space/x", &[0, 1]);
    }
}

#[test]
fn a_minute_has_one_sweep() {
    let world = World::new(1);
    let sweepers: Vec<_> = (0..5).map(|_| Sweeper::new(&store(&world))).collect();
    let run = |count: usize| {
        let before = world.database().statements();
        for sweeper in sweepers.iter().take(count) {
            let sweeper = Rc::clone(sweeper);
            world.run(async move { sweeper.sweep_in_turn().await.unwrap() });
        }
        world.database().statements() - before
    };
    run(5);
    assert_eq!(run(5), 10, "none of them sweeps again");
    world.pass(Duration::from_secs(63));
    assert!(run(1) > 2);
}

#[test]
fn every_statement_finds_its_rows_by_an_index() {
    let world = World::new(1);
    let store = store(&world);
    world.run(async move { store.meta().await.unwrap() });
    for (name, statement, parameters) in statements::samples() {
        let bound = statement.bind(Dialect::Sqlite, parameters).unwrap_or_else(|error| panic!("{name}: {error}"));
        if bound.sql.starts_with("PRAGMA") {
            continue;
        }
        let plan = world.database().query(&format!("EXPLAIN QUERY PLAN {}", bound.sql), &bound.parameters);
        let plan = plan.unwrap_or_else(|error| panic!("{name}: {error}: {}", bound.sql));
        for step in plan {
            let Some(Value::Text(step)) = step.last() else { panic!("{name}: {step:?}") };
            // What a statement makes itself may be read from one end to the other.
            let own = ["SCAN number", "SCAN (subquery", "SCAN own_"];
            let is_own = own.iter().any(|own| step.starts_with(own)) || step.contains("CONSTANT ROW");
            let is_scan = step.starts_with("SCAN") && !is_own;
            assert!(!is_scan, "{name}: {step}: {}", bound.sql);
        }
    }
}

#[test]
fn every_statement_is_explained() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/statements");
    let mut written = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        written += text.lines().filter(|line| line.starts_with("pub const") && line.contains(": Statement =")).count();
    }
    let names: Vec<&str> = statements::samples().iter().map(|(name, ..)| *name).collect();
    assert_eq!(written, names.len(), "{names:?}");
}
