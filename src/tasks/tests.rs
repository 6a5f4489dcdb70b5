//! Claims of tasks, as decided by the statements.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::store::{ClaimedTask, NewTaskRow, NextHolder, TaskStore};
use crate::generation::Priority;
use crate::openai::fields::Fields;
use crate::openai::image_request::ImageRequest;
use crate::platform::sim::World;
use crate::store::id::TimeId;
use crate::store::tests::store;
use crate::tasks::record::{NewTask, TaskRecord};

/// Adds a task. Returns false where its owner has too many.
fn add(world: &World, tasks: &TaskStore, owner: &'static str, priority: &str, most: u32) -> bool {
    let Json::Object(fields) = json!({"prompt": owner, "priority": priority}) else { panic!("no object") };
    let host = world.host();
    let request = ImageRequest::read(&Fields::new(fields.clone()), &host).unwrap();
    let now = host.unix_time();
    let task = NewTask { model: "z".to_owned(), fields, base: String::new() };
    let (record, id, tasks) = (TaskRecord::new(task, &request, now), TimeId::new(&host), tasks.clone());
    world.pass(Duration::from_millis(1));
    world.run(async move {
        let until = now + Duration::from_secs(1000);
        tasks.add(NewTaskRow { id: &id, owner, model: "z", record: &record, until, most }).await.unwrap()
    })
}

fn claim(world: &World, tasks: &TaskStore, slots: usize) -> Option<ClaimedTask> {
    let tasks = tasks.clone();
    world.run(async move { tasks.claim("z", slots).await.unwrap() })
}

#[test]
fn tasks_are_taken_by_priority_then_in_turns_then_by_age() {
    let world = World::new(1);
    let tasks = TaskStore::new(&store(&world));
    for owner in ["a", "a", "a", "a", "b", "b"] {
        assert!(add(&world, &tasks, owner, "normal", 100));
    }
    let taken = |count: usize| -> Vec<String> {
        (0..count).map_while(|_| claim(&world, &tasks, 100)).map(|task| task.owner).collect()
    };
    assert_eq!(taken(3), ["a", "b", "a"]);
    // Who comes later has the turn that is on, and not all those that are over.
    for owner in ["c", "c", "d"] {
        add(&world, &tasks, owner, "normal", 100);
    }
    add(&world, &tasks, "e", "low", 100);
    add(&world, &tasks, "a", "high", 100);
    assert_eq!(taken(100), ["a", "b", "c", "d", "a", "c", "a", "e"]);
}

#[test]
fn no_more_are_taken_than_there_are_slots_for_them_and_more_urgent_ones() {
    let world = World::new(2);
    let tasks = TaskStore::new(&store(&world));
    for priority in ["low", "low", "low", "normal", "high"] {
        add(&world, &tasks, "a", priority, 100);
    }
    let taken = || claim(&world, &tasks, 2).map(|task| task.record.priority());
    assert_eq!((taken(), taken(), taken()), (Some(Priority::High), Some(Priority::Normal), None));
    // A more urgent one need not wait for less urgent ones to end.
    add(&world, &tasks, "b", "high", 100);
    assert_eq!((taken(), taken()), (Some(Priority::High), None));
}

#[test]
fn an_owner_has_so_many_unfinished_ones() {
    let world = World::new(3);
    let tasks = TaskStore::new(&store(&world));
    let added: Vec<bool> = (0..4).map(|_| add(&world, &tasks, "a", "normal", 3)).collect();
    assert_eq!(added, [true, true, true, false]);
    assert!(add(&world, &tasks, "b", "normal", 3));
}

#[test]
fn only_the_holder_writes_and_each_write_once() {
    let world = World::new(4);
    let tasks = TaskStore::new(&store(&world));
    add(&world, &tasks, "a", "normal", 3);
    let first = claim(&world, &tasks, 1).unwrap();
    let save = |claimed: &ClaimedTask, revision: i64, next: NextHolder| {
        let (id, token, record) = (claimed.id.clone(), claimed.token.clone(), claimed.record.clone());
        let tasks = tasks.clone();
        world.run(async move { tasks.save(&id, &token, (&record, revision), next, None).await.unwrap() })
    };
    assert!(save(&first, first.revision + 2, NextHolder::Keep));
    assert!(!save(&first, first.revision + 1, NextHolder::Keep), "one that comes late");
    // The holder dies; before its lease is over, nobody else gets the task.
    let requeue = || {
        world.run({
            let tasks = tasks.clone();
            async move { tasks.requeue().await.unwrap() }
        })
    };
    requeue();
    assert!(claim(&world, &tasks, 1).is_none());
    world.pass(Duration::from_secs(13));
    requeue();
    let second = claim(&world, &tasks, 1).unwrap();
    assert!(!save(&first, first.revision + 9, NextHolder::Keep), "it is somebody else's");
    let held = [(first.id.clone(), first.token.clone()), (second.id.clone(), second.token.clone())];
    let checking = tasks.clone();
    let still = world.run(async move { checking.check(&held, true).await.unwrap() });
    assert_eq!(still, HashSet::from([second.token.clone()]));
    assert!(save(&second, second.revision + 1, NextHolder::Wait(i64::MAX)));
    assert!(claim(&world, &tasks, 1).is_none(), "it is not due");
}
