//! The images that were made: how they are remembered, listed, searched and forgotten.

use super::tasks::{delete, ended, found, get, submit};
use super::*;
use z_image_2api::platform::sim::instance::Instance;

const GENERATIONS: &str = "/v1/images/generations";

/// All images of a list, page by page.
fn pages(world: &World, limit: usize, search: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(world, &format!("/v1/images?limit={limit}&q={search}{after}")).json();
        let images = page["data"].as_array().unwrap().clone();
        assert!(images.len() <= limit);
        all.extend(images);
        if page["has_more"] != json!(true) {
            return all;
        }
        after = format!("&after={}", page["last_id"].as_str().unwrap());
    }
}

fn prompts(images: &[Value]) -> Vec<String> {
    images.iter().map(|image| image["prompt"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn requests_are_remembered_together_and_beside_their_answers() {
    let (world, _) = world(130, Fate::Succeeds);
    let app = world.run(instance(world.clone()));
    world.run(ask_of(Rc::clone(&app), request(Method::GET, "/v1/images", "")));
    let before = world.database().statements();
    let calls = (0..20).map(|number| {
        let fields = json!({"prompt": format!("number {number}"), "response_format": "url"});
        ask_of(Rc::clone(&app), request(Method::POST, GENERATIONS, fields.to_string()))
    });
    let calls: Vec<_> = calls.collect();
    let answers = world.run(async move { futures::future::join_all(calls).await });
    assert!(answers.iter().all(|answer| answer.status == 200));
    world.pass(Duration::from_secs(2));
    assert_eq!(found(&world, "SELECT id FROM image").len(), 20);
    let statements = world.database().statements() - before;
    // Jobs end at different times, and a batch waits for a second; who waits asks for a slot once a second.
    let seconds = z_image_2api::platform::Platform::now(&world).as_secs();
    assert!(statements < 40 + 3 * seconds, "{statements} in {seconds} s");
    assert_eq!(pages(&world, 7, "").len(), 20);
}

#[test]
fn a_batch_is_one_statement() {
    let world = World::new(131);
    let store = super::store(&world);
    let history = z_image_2api::history::History::new(&store, true);
    world.run({
        let store = store.clone();
        async move { store.meta().await.unwrap() }
    });
    let before = world.database().statements();
    for number in 0..100 {
        history.push("me", &entry(&format!("number {number}")));
    }
    world.pass(Duration::from_millis(1));
    assert_eq!(found(&world, "SELECT id FROM image").len(), 96, "full batches don't wait");
    world.pass(Duration::from_secs(1));
    assert_eq!(found(&world, "SELECT id FROM image").len(), 100);
    // Two of them are this test's, and some batches are followed by a trim.
    let statements = world.database().statements() - before - 2;
    assert!((4..=8).contains(&statements), "{statements}");
}

fn entry(prompt: &str) -> z_image_2api::history::entry::HistoryEntry {
    let image = json!({"index": 0, "seed": 1, "origin": SPACE, "path": "/file=a.png"});
    serde_json::from_value(json!({"kind": "generation", "model": "z", "prompt": prompt, "images": [image]})).unwrap()
}

#[test]
fn an_instance_that_is_killed_loses_a_second_of_history() {
    let (world, _) = world(132, Fate::Succeeds);
    let instance = Instance::new(&world, u64::MAX);
    let generate = |prompt: &str| {
        let fields = json!({"prompt": prompt, "response_format": "url"});
        let asked = request(Method::POST, GENERATIONS, fields.to_string());
        let answer = instance.run(Duration::from_secs(100), ask_at(instance.host(), asked)).unwrap();
        assert_eq!(answer.status, 200);
    };
    generate("early");
    world.pass(Duration::from_millis(1100));
    generate("late");
    instance.kill();
    world.pass(Duration::from_secs(20));
    assert_eq!(prompts(&pages(&world, 10, "")), ["early"]);
}

#[test]
fn a_database_that_fails_costs_history_and_nothing_else() {
    let (world, _) = world(133, Fate::Succeeds);
    let app = world.run(instance(world.clone()));
    let generate = |prompt: &str| {
        let fields = json!({"prompt": prompt});
        let asked = request(Method::POST, GENERATIONS, fields.to_string());
        assert_eq!(world.run(ask_of(Rc::clone(&app), asked)).status, 200);
    };
    generate("before");
    world.pass(Duration::from_secs(2));
    world.hang_database(true);
    generate("kept for a while");
    world.pass(Duration::from_secs(20));
    world.hang_database(false);
    world.pass(Duration::from_secs(30));
    assert_eq!(prompts(&pages(&world, 10, "")), ["kept for a while", "before"]);
    world.hang_database(true);
    generate("lost");
    world.pass(Duration::from_secs(200));
    world.hang_database(false);
    world.pass(Duration::from_secs(30));
    generate("after");
    world.pass(Duration::from_secs(5));
    assert_eq!(prompts(&pages(&world, 10, "")), ["after", "kept for a while", "before"]);
    let seen = world.log_lines();
    assert_eq!(seen.iter().filter(|line| line.contains("database fails")).count(), 1, "{seen:?}");
}

#[test]
fn calls_and_tasks_are_one_list_page_by_page() {
    let (world, _) = world(134, Fate::Succeeds);
    let mut made = Vec::new();
    for number in 0..40 {
        let (prompt, n) = (format!("number {number}"), 1 + world.random_below(3));
        let fields = json!({"prompt": prompt, "n": n, "seed": 0, "response_format": "url"});
        if world.random_below(2) == 0 {
            let id = submit(&world, fields);
            ended(&world, &id);
        } else {
            generate(&world, fields);
        }
        world.pass(Duration::from_secs(2));
        made.extend((0..n).map(|seed| (prompt.clone(), seed)));
    }
    made.reverse();
    let of = |images: &[Value]| -> Vec<(String, u64)> {
        let of = |image: &Value| (image["prompt"].as_str().unwrap().to_owned(), image["seed"].as_u64().unwrap());
        images.iter().map(of).collect()
    };
    for limit in [1, 3, 20, 100] {
        assert_eq!(of(&pages(&world, limit, "")), made, "limit {limit}");
    }
    // Any of them can be taken out, and only once.
    let all = pages(&world, 100, "");
    for image in all.iter().step_by(3) {
        let path = format!("/v1/images/{}", image["id"].as_str().unwrap());
        assert_eq!(delete(&world, &path).status, 200, "{image}");
        assert_eq!(delete(&world, &path).error().0, 404);
    }
    let left: Vec<Value> =
        all.iter().enumerate().filter(|(index, _)| index % 3 != 0).map(|(_, image)| image.clone()).collect();
    assert_eq!(of(&pages(&world, 5, "")), of(&left));
    // A task that is forgotten stays in the list.
    let task = left.iter().find_map(|image| image["task_id"].as_str()).unwrap();
    assert_eq!(delete(&world, &format!("/v1/tasks/{task}")).json()["deleted"], true);
    assert_eq!(get(&world, &format!("/v1/tasks/{task}")).error().0, 404);
    assert_eq!(of(&pages(&world, 100, "")), of(&left));
    let stranger = || {
        let mut asked = request(Method::GET, "/v1/images", "");
        asked.headers_mut().insert("authorization", "Bearer sk-other".parse().unwrap());
        asked
    };
    world.set_variable("api_keys", &format!("{KEY},sk-other"));
    assert_eq!(answer(&world, stranger()).json()["data"], json!([]));
    let mut foreign = request(Method::DELETE, &format!("/v1/images/{}", left[0]["id"].as_str().unwrap()), "");
    foreign.headers_mut().insert("authorization", "Bearer sk-other".parse().unwrap());
    assert_eq!(answer(&world, foreign).error().0, 404);
}

#[test]
fn what_is_searched_for_means_itself() {
    let (world, _) = world(135, Fate::Succeeds);
    for prompt in ["100% wool", "100 sheep", "snake_case", "snakes", "Ärger!", "a\\b"] {
        generate(&world, json!({"prompt": prompt, "response_format": "url"}));
        world.pass(Duration::from_secs(2));
    }
    let id = submit(&world, json!({"prompt": "50% SILK_"}));
    ended(&world, &id);
    for (search, found) in [
        ("%25", vec!["50% SILK_", "100% wool"]),
        ("100%25", vec!["100% wool"]),
        ("_", vec!["50% SILK_", "snake_case"]),
        ("SNAKE", vec!["snakes", "snake_case"]),
        ("%C3%A4RGER!", vec!["Ärger!"]),
        ("!", vec!["Ärger!"]),
        ("%5C", vec!["a\\b"]),
        ("silk", vec!["50% SILK_"]),
        ("x'%20OR%201%3D1", vec![]),
    ] {
        assert_eq!(prompts(&pages(&world, 2, search)), found, "{search}");
    }
    assert_eq!(pages(&world, 2, &"x".repeat(60_000)).len(), 0);
}

#[test]
fn a_key_has_so_many_remembered_requests_and_no_more() {
    let world = World::new(136);
    let store = super::store(&world);
    let history = z_image_2api::history::History::new(&store, true);
    for number in 0..1000 {
        history.push("me", &entry(&format!("number {number}")));
        if number % 10 == 0 {
            history.push("you", &entry("another's"));
            world.pass(Duration::from_millis(200));
        }
    }
    world.pass(Duration::from_secs(3));
    let mine = found(&world, "SELECT prompt FROM image WHERE owner = 'me' ORDER BY id DESC");
    // Each 64th request or so is followed by a trim.
    assert!((500..620).contains(&mine.len()), "{}", mine.len());
    assert_eq!(mine.iter().filter(|prompt| *prompt == "number 999").count(), 1, "the newest stay");
    assert_eq!(found(&world, "SELECT prompt FROM image WHERE owner = 'you'").len(), 100);
}

#[test]
fn tasks_count_among_the_remembered_requests_of_a_key() {
    let (world, _) = world(138, Fate::Succeeds);
    let id = submit(&world, json!({"prompt": "x"}));
    ended(&world, &id);
    world.settle();
    let store = super::store(&world);
    let history = z_image_2api::history::History::new(&store, true);
    let owner = found(&world, "SELECT owner FROM task").remove(0);
    let copy = "INSERT INTO task SELECT printf('%032x', n), owner, created, until, expires, status, model, priority, \
                turn, prompt, shown, record, revision, holder, lease, work, due FROM task, \
                (WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 400) \
                SELECT n FROM number)";
    world.database().query(copy, &[]).unwrap();
    for number in 0..300 {
        history.push(&owner, &entry(&format!("number {number}")));
    }
    world.pass(Duration::from_secs(3));
    history.spawn_trim_of_tasks(&owner);
    world.pass(Duration::from_secs(1));
    let listed = found(&world, "SELECT id FROM image UNION ALL SELECT id FROM task WHERE shown > 0");
    assert_eq!(listed.len(), 500);
    assert_eq!(found(&world, "SELECT id FROM image").len(), 300, "they are newer");
    assert_eq!(get(&world, "/v1/images?q=x&limit=1").json()["data"][0]["task_id"], json!(id));
    // What the history has no more room for goes when it can't be asked for any more.
    world.pass(Duration::from_secs(86_401));
    get(&world, "/internal/tick");
    assert_eq!(found(&world, "SELECT id FROM task").len(), 200);
}

#[test]
fn without_a_database_there_is_no_history() {
    for secret in ["0123456789abcdef", ""] {
        let (world, _) = world(137, Fate::Succeeds);
        world.set_variable("database", "none");
        world.set_variable("link_secret", secret);
        assert_eq!(generate(&world, json!({"prompt": "x"})).status, 200);
        let submitted = generate(&world, json!({"prompt": "x", "async": true}));
        for refused in [get(&world, "/v1/images"), get(&world, "/v1/tasks"), submitted] {
            assert_eq!((refused.error().0, refused.error().2), (503, json!("store_unavailable")));
        }
        assert_eq!(world.database().statements(), 0);
    }
}
