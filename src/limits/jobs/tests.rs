use futures::future::join_all;

use super::*;
use crate::platform::Platform as _;
use crate::platform::sim::World;
use crate::platform::sim::instance::Instance;
use crate::store::tests::{store, store_of};

fn instance(world: &World, limit: u32) -> Jobs {
    Jobs::new(&Leases::new(&store(world)), limit)
}

fn take(world: &World, jobs: &Jobs, caller: &str, count: u32) -> Result<Permit, Error> {
    let account = jobs.of(caller);
    world.run(async move { account.take(count).await })
}

#[test]
fn images_count_until_they_are_made_or_nobody_wants_them() {
    let world = World::new(1);
    let (here, there) = (instance(&world, 3), instance(&world, 3));
    let mut two = take(&world, &here, "a", 2).ok().unwrap();
    let one = take(&world, &there, "a", 1).ok().unwrap();
    for jobs in [&here, &there] {
        let refused = take(&world, jobs, "a", 1).err().unwrap();
        assert_eq!((refused.status.as_u16(), refused.code), (429, Some("rate_limit_exceeded")));
    }
    assert!(take(&world, &here, "b", 3).is_ok(), "another caller's don't count");
    two.give_back_one();
    let again = take(&world, &there, "a", 1).ok().unwrap();
    assert!(take(&world, &here, "a", 1).is_err());
    drop((two, one, again));
    assert!(take(&world, &there, "a", 3).is_ok());
    assert_eq!(take(&world, &here, "a", 4).err().unwrap().status, 400, "never as many");
    world.settle();
    for jobs in [&here, &there] {
        let inner = jobs.0.as_ref().unwrap();
        assert!(inner.running.borrow().is_empty() && inner.leases.count("jobs/a") == 0);
    }
}

#[test]
fn without_a_limit_nothing_is_counted() {
    let world = World::new(1);
    let mut permit = take(&world, &instance(&world, 0), "a", 1000).ok().unwrap();
    permit.give_back_one();
    assert_eq!(world.database().statements(), 0);
}

#[test]
fn a_request_takes_its_places_by_one_statement_and_gives_them_back_by_one() {
    let world = World::new(1);
    let jobs = instance(&world, 10);
    drop(take(&world, &jobs, "a", 3).ok().unwrap());
    world.settle();
    let before = world.database().statements();
    let permits = [2, 3].map(|count| take(&world, &jobs, "a", count).ok().unwrap());
    assert_eq!(world.database().statements() - before, 2);
    drop(permits);
    world.settle();
    assert_eq!(world.database().statements() - before, 3);
}

#[test]
fn a_limit_that_is_raised_is_raised() {
    let world = World::new(1);
    let two = take(&world, &instance(&world, 2), "a", 2).ok().unwrap();
    let more = instance(&world, 5);
    let three = take(&world, &more, "a", 3).ok().unwrap();
    assert!(take(&world, &more, "a", 1).is_err());
    drop((two, three));
}

#[test]
fn without_a_database_each_instance_counts_for_itself() {
    for is_hanging in [true, false] {
        let world = World::new(1);
        let jobs = instance(&world, 3);
        let leased = take(&world, &jobs, "a", 1).ok().unwrap();
        if is_hanging {
            world.hang_database(true)
        } else {
            world.break_store()
        }
        let begun = world.now();
        let local = take(&world, &jobs, "a", 2).ok().unwrap();
        assert!(world.now() - begun <= Duration::from_secs(3));
        assert!(take(&world, &jobs, "a", 1).is_err());
        drop(leased);
        assert!(take(&world, &jobs, "a", 2).is_err());
        let last = take(&world, &jobs, "a", 1).ok().unwrap();
        assert!(world.now() - begun <= Duration::from_secs(3));
        assert_eq!(world.log_lines().len(), 1, "{:?}", world.log_lines());
        drop((local, last));
    }
}

#[test]
fn a_client_that_leaves_while_its_places_come_leaves_none_taken() {
    for seed in 0..100 {
        let world = World::new(seed);
        let jobs = instance(&world, 2);
        drop(take(&world, &jobs, "a", 1).ok().unwrap());
        world.slow_store(Duration::from_millis(40));
        let account = jobs.of("a");
        let left = world.random_ms(0, 90);
        world.run_for(left, async move { account.take(2).await.map(drop) });
        world.pass(Duration::from_millis(300));
        assert!(take(&world, &jobs, "a", 2).is_ok(), "seed {seed}");
    }
}

#[test]
fn no_more_than_the_limit_are_ever_in_the_making_and_places_come_back_after_a_death() {
    const LIMIT: u32 = 5;
    for seed in 0..100 {
        let world = World::new(seed);
        world.slow_store(Duration::from_millis(20));
        let instances: Vec<Instance> = (0..3).map(|_| Instance::new(&world, 100 + world.random_below(900))).collect();
        // Places that are taken in each instance, as its own requests know it.
        let taken: Rc<RefCell<[u32; 3]>> = Rc::default();
        let most: Rc<std::cell::Cell<u32>> = Rc::default();
        for (number, instance) in instances.iter().enumerate() {
            let jobs = Jobs::new(&Leases::new(&store_of(&instance.host())), LIMIT);
            for _ in 0..4 {
                let (account, host, rounds) = (jobs.of("a"), instance.host(), world.clone());
                let (taken, most, instances) = (Rc::clone(&taken), Rc::clone(&most), instances.clone());
                instance.host().spawn(Box::pin(async move {
                    loop {
                        let count = 1 + u32::try_from(rounds.random_below(3)).unwrap();
                        let Ok(mut permit) = account.take(count).await else {
                            host.sleep(rounds.random_ms(1, 2000)).await;
                            continue;
                        };
                        {
                            let mut taken = taken.borrow_mut();
                            taken[number] += count;
                            for (taken, instance) in taken.iter_mut().zip(&instances) {
                                *taken = if instance.is_dead() { 0 } else { *taken };
                            }
                            let sum = taken.iter().sum::<u32>();
                            assert!(sum <= LIMIT, "seed {}: {taken:?}", rounds.seed());
                            most.set(sum.max(most.get()));
                        }
                        for _ in 0..count {
                            host.sleep(rounds.random_ms(1, 8000)).await;
                            taken.borrow_mut()[number] -= 1;
                            permit.give_back_one();
                        }
                    }
                }));
            }
        }
        world.pass(Duration::from_secs(120));
        instances.iter().for_each(Instance::kill);
        assert!(most.get() >= 3, "seed {seed}: {most:?}");
        world.pass(Duration::from_secs(14));
        let survivor = instance(&world, LIMIT);
        assert!(take(&world, &survivor, "a", LIMIT).is_ok(), "seed {seed}");
    }
}

#[test]
fn requests_that_come_at_once_get_all_places_there_are() {
    let world = World::new(1);
    world.slow_store(Duration::from_millis(20));
    let instances: Vec<Jobs> = (0..3).map(|_| instance(&world, 7)).collect();
    let accounts: Vec<_> = (0..30).map(|number| instances[number % 3].of("a")).collect();
    let permits =
        world.run(async move { join_all(accounts.iter().map(|account| async { account.take(1).await })).await });
    assert_eq!(permits.iter().filter(|permit| permit.is_ok()).count(), 7);
}
