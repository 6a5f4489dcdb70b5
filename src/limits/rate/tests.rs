use std::rc::Rc;

use futures::future::join_all;

use super::*;
use crate::platform::Platform as _;
use crate::platform::sim::World;
use crate::store::tests::store;

const fn rule(limit: u32) -> Rule {
    Rule { limit: NonZeroU32::new(limit).unwrap() }
}

#[test]
fn over_any_time_the_rate_is_kept_whatever_comes() {
    for limit in [1, 3, 7, 60, 999, 100_000] {
        let (rule, world) = (rule(limit), World::new(limit.into()));
        let (mut arrival, mut now, mut admitted) = (Duration::ZERO, Duration::from_secs(1_800_000_000), Vec::new());
        for _ in 0..2000 {
            now += world.random_ms(0, 40_000 / u64::from(limit));
            if let Ok(next) = rule.admit(arrival, now) {
                arrival = next;
                admitted.push(now);
            }
        }
        // Of any `limit + k` in a row, the last comes at least k intervals after the first.
        let limit = usize::try_from(limit).unwrap();
        for (first, later) in admitted.iter().zip(admitted.iter().skip(limit)) {
            assert!(*later - *first >= rule.interval(), "limit {limit}");
        }
    }
}

#[test]
fn a_quiet_minute_allows_all_at_once_and_a_refused_one_knows_its_time() {
    let (rule, mut now) = (rule(7), Duration::from_secs(1_800_000_000));
    let mut arrival = Duration::ZERO;
    for left in (0..7).rev() {
        arrival = rule.admit(arrival, now).unwrap();
        assert_eq!(rule.remaining(arrival, now), left);
    }
    let wait = rule.admit(arrival, now).unwrap_err();
    assert_eq!(rule.admit(arrival, now + wait - Duration::from_micros(1)), Err(Duration::from_micros(1)));
    now += wait;
    arrival = rule.admit(arrival, now).unwrap();
    assert_eq!(rule.remaining(arrival, now + rule.window()), 7);
}

#[test]
fn times_are_written_as_openai_writes_them() {
    for (millis, text) in [
        (0, "0s"),
        (120, "120ms"),
        (1000, "1s"),
        (8640, "8.64s"),
        (59_005, "59.005s"),
        (60_000, "1m0s"),
        (361_200, "6m1s"),
    ] {
        assert_eq!(shown(Duration::from_millis(millis)), text);
    }
}

fn instance(world: &World, limit: u32) -> Rc<Rates> {
    Rc::new(Rates::new(&store(world), limit))
}

/// Number of requests that are let in of so many at once, of each of these instances.
fn ask(world: &World, instances: &[Rc<Rates>], times: u32) -> usize {
    let asked = instances.iter().flat_map(|rates| (0..times).map(|_| Rc::clone(rates)));
    let asked: Vec<_> =
        asked.map(|rates| async move { rates.standing("me", true).await.unwrap().refused.is_none() }).collect();
    world.run(async move { join_all(asked).await }).into_iter().filter(|is_in| *is_in).count()
}

#[test]
fn all_instances_together_keep_the_limit_to_the_letter() {
    for seed in 0..50 {
        let world = World::new(seed);
        world.slow_store(Duration::from_millis(30));
        let instances: Vec<_> = (0..4).map(|_| instance(&world, 60)).collect();
        // Before any clock moves far enough for another to be due.
        assert_eq!(ask(&world, &instances, 50), 60, "seed {seed}");
        world.pass(Duration::from_secs(10));
        let left = ask(&world, &instances, 50);
        assert!((10..=13).contains(&left), "seed {seed}: {left} in ten seconds");
    }
}

#[test]
fn a_request_costs_one_statement_and_one_more_where_it_is_refused() {
    let world = World::new(1);
    let rates = [instance(&world, 2)];
    let count = |times: u32| {
        let before = world.database().statements();
        ask(&world, &rates, times);
        world.database().statements() - before
    };
    count(1);
    assert_eq!((count(1), count(1)), (1, 2));
    let (before, looks) = (world.database().statements(), Rc::clone(&rates[0]));
    let seen = world.run(async move { looks.standing("me", false).await }).unwrap();
    assert_eq!((seen.remaining, seen.refused, world.database().statements() - before), (0, None, 1));
}

#[test]
fn a_clock_that_was_wrong_once_locks_nobody_out() {
    let world = World::new(1);
    let rates = [instance(&world, 3)];
    ask(&world, &rates, 1);
    let wrong = micros(world.unix_time() + Duration::from_secs(86_400));
    world.database().query(&format!("UPDATE rate SET arrival = {wrong}"), &[]).unwrap();
    assert_eq!(ask(&world, &rates, 5), 3);
}

#[test]
fn without_a_limit_the_store_is_left_alone_and_without_a_store_it_is_still_a_limit() {
    let world = World::new(3);
    let unlimited = instance(&world, 0);
    assert_eq!(world.run(async move { unlimited.standing("me", true).await }), None);
    assert_eq!(world.database().statements(), 0);
    world.break_store();
    let limited = [instance(&world, 5)];
    assert_eq!(ask(&world, &limited, 9), 5);
    world.settle();
    assert_eq!(world.log_lines().len(), 1, "{:?}", world.log_lines());
}

#[test]
fn a_database_that_hangs_costs_its_time_limit_once_and_the_count_goes_on() {
    let world = World::new(4);
    let rates = [instance(&world, 5)];
    assert_eq!(ask(&world, &rates, 3), 3);
    world.hang_database(true);
    let begun = world.now();
    assert_eq!(ask(&world, &rates, 4), 2, "with what this instance has seen");
    assert_eq!(world.now() - begun, Duration::from_secs(3));
    assert_eq!(ask(&world, &rates, 1), 0);
    assert_eq!(world.now() - begun, Duration::from_secs(3));
    assert_eq!(world.log_lines().len(), 1, "{:?}", world.log_lines());
}

#[test]
fn what_is_over_is_swept() {
    let world = World::new(5);
    let rates = [instance(&world, 5)];
    ask(&world, &rates, 1);
    let sweeper = crate::store::sweep::Sweeper::new(&store(&world));
    for (seconds, swept) in [(60, 0), (30, 1)] {
        world.pass(Duration::from_secs(seconds));
        let sweeper = Rc::clone(&sweeper);
        assert_eq!(world.run(async move { sweeper.sweep().await }), Ok(swept));
    }
}
