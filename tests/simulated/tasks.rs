//! Tasks: what clients see of them, and that none is lost or made twice, whichever instance dies when.

use super::*;
use z_image_2api::platform::Platform as _;
use z_image_2api::platform::Value as Cell;
use z_image_2api::platform::sim::instance::Instance;

pub(super) const GENERATIONS: &str = "/v1/images/generations";

pub(super) fn get(world: &World, path: &str) -> Reply {
    answer(world, request(Method::GET, path, ""))
}

pub(super) fn delete(world: &World, path: &str) -> Reply {
    answer(world, request(Method::DELETE, path, ""))
}

/// Submits a task, and returns its id.
pub(super) fn submit(world: &World, mut fields: Value) -> String {
    fields["async"] = json!(true);
    let taken = generate(world, fields);
    assert_eq!(taken.status, 202, "{taken:?}");
    taken.json()["id"].as_str().unwrap().to_owned()
}

/// Asks for a task until it has ended, every two seconds.
pub(super) fn ended(world: &World, id: &str) -> Value {
    for _ in 0..1000 {
        let task = get(world, &format!("/v1/tasks/{id}"));
        assert_eq!(task.status, 200, "{task:?}");
        if ["succeeded", "failed", "cancelled"].contains(&task.json()["status"].as_str().unwrap()) {
            return task.json();
        }
        world.pass(Duration::from_secs(2));
    }
    panic!("task {id} does not end")
}

/// The first column of what a statement finds, as text.
pub(super) fn found(world: &World, sql: &str) -> Vec<String> {
    let rows = world.database().query(sql, &[]).unwrap_or_default();
    let text = |value: &Cell| match value {
        Cell::Text(text) => text.clone(),
        other => format!("{other:?}"),
    };
    rows.iter().map(|row| text(&row[0])).collect()
}

/// Tasks for which something is left to do.
pub(super) fn open(world: &World) -> Vec<String> {
    found(world, "SELECT id FROM task WHERE work > 0")
}

/// Parts of images that were sent along.
pub(super) fn files(world: &World) -> Vec<String> {
    found(world, "SELECT task || name || part FROM task_file")
}

#[test]
fn a_task_is_taken_told_of_and_ends() {
    let (world, space) = world(100, Fate::Succeeds);
    let mut asked = request(
        Method::POST,
        GENERATIONS,
        json!({"prompt": "a red fox", "n": 2, "seed": 5, "priority": "high", "size": "512x512"}).to_string(),
    );
    asked.headers_mut().insert("prefer", "wait=5, Respond-Async".parse().unwrap());
    let taken = answer(&world, asked);
    let task = taken.json();
    let id = task["id"].as_str().unwrap().to_owned();
    assert_eq!(taken.status, 202);
    assert_eq!(taken.header("location"), Some(&*format!("/v1/tasks/{id}")));
    assert_eq!((taken.header("retry-after"), taken.header("preference-applied")), (Some("2"), Some("respond-async")));
    assert_eq!(taken.header("cache-control"), Some("no-store"));
    for (field, value) in [
        ("object", json!("image.task")),
        ("status", json!("queued")),
        ("kind", json!("generation")),
        ("model", json!("z-image-turbo")),
        ("prompt", json!("a red fox")),
        ("n", json!(2)),
        ("priority", json!("high")),
        ("poll_url", json!(format!("http://img.example/v1/tasks/{id}"))),
        ("events_url", json!(format!("http://img.example/v1/tasks/{id}/events"))),
        ("progress", json!(0.0)),
        ("created_at", json!(1_800_000_000)),
        ("expires_at", json!(1_800_086_400)),
        ("data", json!([{"status": "queued", "task_id": id}])),
        ("result", Value::Null),
    ] {
        assert_eq!(task[field], value, "{field}");
    }
    assert_eq!(task["images"][1], json!({"index": 1, "status": "waiting"}));

    let mut seen = Vec::new();
    let task = loop {
        let shown = get(&world, &format!("/v1/tasks/{id}"));
        let task = shown.json();
        seen.push((task["status"].as_str().unwrap().to_owned(), task["images"][0]["step"].clone()));
        if task["status"] == "succeeded" {
            assert_eq!(shown.header("retry-after"), None);
            break task;
        }
        assert!(shown.header("retry-after").is_some());
        world.pass(Duration::from_millis(200));
    };
    seen.dedup();
    assert!(seen.contains(&("running".to_owned(), json!(4))), "{seen:?}");
    assert_eq!((&task["result"]["size"], &task["result"]["output_format"]), (&json!("512x512"), &json!("png")));
    assert_eq!((&task["progress"], &task["data"]), (&json!(1.0), &task["result"]["data"]));
    assert_eq!(task["result"]["usage"]["output_tokens"], 2);
    assert!(task["started_at"].as_u64() <= task["completed_at"].as_u64());
    for (index, made) in task["result"]["data"].as_array().unwrap().iter().enumerate() {
        assert_eq!(made["seed"], json!(5 + index));
        let path = made["url"].as_str().unwrap().strip_prefix("http://img.example").unwrap();
        assert_eq!(answer(&world, Request::get(path).body(body("")).unwrap()).body.unwrap(), png());
        assert_eq!(task["images"][index]["status"], "succeeded");
    }
    world.settle();
    assert_eq!(space.jobs().len(), 2);
    assert_eq!((open(&world), files(&world)), (vec![], vec![]), "nothing is left to do");
    check_jobs(100, &space);
}

#[test]
fn a_task_is_its_keys_own_and_bad_ones_are_refused() {
    let (world, _) = world(101, Fate::Succeeds);
    world.set_variable("api_keys", &format!("{KEY},sk-other"));
    let id = submit(&world, json!({"prompt": "x"}));
    for (method, path) in [
        (Method::GET, format!("/v1/tasks/{id}")),
        (Method::GET, format!("/v1/tasks/{id}/events")),
        (Method::DELETE, format!("/v1/tasks/{id}")),
    ] {
        let mut stranger = request(method, &path, "");
        stranger.headers_mut().insert("authorization", "Bearer sk-other".parse().unwrap());
        assert_eq!(
            answer(&world, stranger).error(),
            (404, json!("invalid_request_error"), json!("task_not_found"), Value::Null),
            "{path}"
        );
    }
    let mut stranger = request(Method::GET, "/v1/tasks", "");
    stranger.headers_mut().insert("authorization", "Bearer sk-other".parse().unwrap());
    assert_eq!(answer(&world, stranger).json()["data"], json!([]));
    assert_eq!(get(&world, "/v1/tasks/task_x").error().0, 404);
    for (fields, param) in [
        (json!({"prompt": "x", "async": "maybe"}), "async"),
        (json!({"prompt": "x", "priority": "urgent"}), "priority"),
        (json!({"prompt": "x", "priority": 1}), "priority"),
        (json!({"prompt": "x", "async": true, "webhook_url": "https://a.example"}), "webhook_url"),
        (json!({"prompt": "x", "webhook_url": "https://a.example"}), "webhook_url"),
        (json!({"prompt": "", "async": true}), "prompt"),
    ] {
        let refused = generate(&world, fields.clone());
        assert_eq!((refused.error().0, refused.error().3), (400, json!(param)), "{fields}");
    }
    let large = json!({"prompt": "x", "async": true, "padding": "x".repeat(300_000)});
    assert_eq!(generate(&world, large).error().0, 413);
    assert_eq!(generate(&world, json!({"prompt": "x", "async": true, "model": "no"})).error().0, 404);
}

#[test]
fn tasks_are_listed_newest_first_in_pages() {
    let (world, _) = world(102, Fate::Succeeds);
    let ids: Vec<String> = (0..5)
        .map(|number| {
            world.pass(Duration::from_secs(1));
            submit(&world, json!({"prompt": format!("number {number}")}))
        })
        .collect();
    ended(&world, &ids[4]);
    world.settle();
    let list = |query: &str| get(&world, &format!("/v1/tasks{query}")).json();
    let of = |list: &Value| -> Vec<String> {
        list["data"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
    };
    let newest: Vec<String> = ids.iter().rev().cloned().collect();
    let all = list("");
    assert_eq!((of(&all), &all["object"], &all["has_more"]), (newest.clone(), &json!("list"), &json!(false)));
    let first = list("?limit=2");
    assert_eq!((of(&first), &first["has_more"]), (newest[..2].to_vec(), &json!(true)));
    assert_eq!((&first["first_id"], &first["last_id"]), (&json!(newest[0]), &json!(newest[1])));
    assert_eq!(of(&list(&format!("?limit=2&after={}", newest[1]))), newest[2..4]);
    assert_eq!(of(&list(&format!("?after={}&status=succeeded", newest[3]))), newest[4..]);
    assert_eq!(of(&list("?status=failed")), [""; 0]);
    for wrong in ["?limit=0", "?limit=101", "?limit=x", "?after=x", "?status=done"] {
        assert_eq!(get(&world, &format!("/v1/tasks{wrong}")).error().0, 400, "{wrong}");
    }
    world.pass(Duration::from_secs(86_401));
    assert_eq!(of(&list("")), [""; 0], "they have expired");
    assert_eq!(get(&world, &format!("/v1/tasks/{}", ids[0])).error().0, 404);
    get(&world, "/internal/tick");
    assert_eq!(found(&world, "SELECT id FROM task").len(), 5, "their images are listed on");
    world.pass(Duration::from_secs(30 * 86_400));
    get(&world, "/internal/tick");
    assert_eq!(found(&world, "SELECT id FROM task"), [""; 0], "and are deleted then");
}

#[test]
fn a_task_that_is_cancelled_is_cancelled_at_the_space() {
    let (world, space) = world(103, Fate::NeverEnds);
    let id = submit(&world, json!({"prompt": "x", "n": 2}));
    world.pass(Duration::from_secs(20));
    assert_eq!(space.jobs().len(), 2);
    let task = delete(&world, &format!("/v1/tasks/{id}")).json();
    assert_eq!((&task["status"], &task["images"][0]["status"]), (&json!("cancelled"), &json!("cancelled")));
    assert_eq!(task["data"], json!([{"status": "cancelled", "task_id": id}]));
    world.pass(Duration::from_secs(3));
    assert!(space.jobs().iter().all(|job| job.cancelled_while_open.get()), "{:?}", space.jobs());
    world.settle();
    check_jobs(103, &space);
    assert_eq!(ended(&world, &id)["status"], "cancelled");
    assert_eq!(open(&world), [""; 0]);
    let gone = delete(&world, &format!("/v1/tasks/{id}")).json();
    assert_eq!(gone, json!({"id": id, "object": "image.task", "deleted": true}));
    assert_eq!(get(&world, &format!("/v1/tasks/{id}")).error().0, 404);
    assert_eq!(delete(&world, &format!("/v1/tasks/{id}")).error().0, 404);
}

#[test]
fn the_jobs_of_a_dead_instance_are_cancelled_with_their_task() {
    let (world, space) = world(104, Fate::NeverEnds);
    let instance = Instance::new(&world, u64::MAX);
    let id = submit_to(&instance, json!({"prompt": "x"})).unwrap();
    world.pass(Duration::from_secs(20));
    instance.kill();
    world.pass(Duration::from_secs(60));
    let task = delete(&world, &format!("/v1/tasks/{id}")).json();
    assert_eq!(task["status"], "cancelled");
    world.settle();
    assert_eq!(space.jobs().len(), 1, "it was not made again");
    assert!(space.jobs()[0].cancelled.get());
}

#[test]
fn what_a_dead_instance_left_at_the_space_is_cancelled_before_it_is_made_again() {
    let joined = std::cell::Cell::new(0);
    let (world, space) = world_of(115, move |_, _| {
        joined.set(joined.get() + 1);
        if joined.get() == 1 { Fate::NeverEnds } else { Fate::Succeeds }
    });
    let instance = Instance::new(&world, u64::MAX);
    let id = submit_to(&instance, json!({"prompt": "x", "seed": 4})).unwrap();
    world.pass(Duration::from_secs(20));
    instance.kill();
    world.pass(Duration::from_secs(20));
    let task = ended(&world, &id);
    assert_eq!((&task["status"], &task["data"][0]["seed"]), (&json!("succeeded"), &json!(4)));
    let jobs = space.jobs();
    assert_eq!(jobs.len(), 2);
    assert!(jobs.iter().all(|job| job.cancelled.get() != job.ended.get()), "{jobs:?}");
}

#[test]
fn changes_are_streamed_and_go_on_from_where_they_broke_off() {
    let (world, _) = world_of(105, |_, data| if data[0] == "for ever" { Fate::NeverEnds } else { Fate::Succeeds });
    let id = submit(&world, json!({"prompt": "x", "n": 2}));
    let events = |text: &[u8]| -> Vec<(u64, String, Value)> {
        let text = std::str::from_utf8(text).unwrap();
        let event = |lines: &str| {
            let field = |name: &str| lines.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            let data: Value = serde_json::from_str(&field("data: ")?).unwrap();
            Some((field("id: ")?.parse().unwrap(), field("event: ")?, data))
        };
        text.split("\n\n").filter_map(event).collect()
    };
    let path = format!("/v1/tasks/{id}/events");
    let streamed = get(&world, &path);
    assert_eq!(streamed.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let all = events(streamed.body.as_ref().unwrap());
    let (last, before) = all.split_last().unwrap();
    assert!(before.len() >= 3, "{all:?}");
    assert!(before.iter().all(|(number, name, data)| {
        name == "task.updated" && data["type"] == "task.updated" && data["sequence"] == *number
    }));
    assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0), "each change has its number");
    assert_eq!((&*last.1, &last.2["task"]["status"]), ("task.completed", &json!("succeeded")));
    assert_eq!(last.2["task"]["result"]["data"].as_array().unwrap().len(), 2);
    // After its end, there is the end to be sent, in any case.
    let mut again = request(Method::GET, &path, "");
    again.headers_mut().insert("last-event-id", before[0].0.to_string().parse().unwrap());
    assert_eq!(events(answer(&world, again).body.as_ref().unwrap()).len(), 1);
    let again = get(&world, &format!("{path}?after={}", last.0));
    assert_eq!(events(again.body.as_ref().unwrap()).len(), 1);
    // One that is under way goes on until it ends.
    let id = submit(&world, json!({"prompt": "for ever"}));
    world.pass(Duration::from_secs(5));
    let path = format!("/v1/tasks/{id}/events");
    let now = world.run_for(Duration::from_secs(2), ask(world.clone(), request(Method::GET, &path, "")));
    assert!(now.is_none(), "it goes on");
    delete(&world, &format!("/v1/tasks/{id}"));
    let all = events(get(&world, &path).body.as_ref().unwrap());
    let (_, name, data) = all.last().unwrap();
    assert_eq!((name.as_str(), &data["task"]["status"]), ("task.completed", &json!("cancelled")));
}

#[test]
fn a_key_has_so_many_unfinished_tasks_and_no_more() {
    let (world, _) = world(106, Fate::NeverEnds);
    world.set_variable("api_keys", &format!("{KEY},sk-other"));
    world.set_variable("max_tasks", "2");
    let first = submit(&world, json!({"prompt": "x"}));
    submit(&world, json!({"prompt": "x"}));
    let refused = generate(&world, json!({"prompt": "x", "async": true}));
    assert_eq!((refused.error().0, refused.error().2), (429, json!("too_many_tasks")));
    assert!(refused.header("retry-after").is_some());
    let mut other = request(Method::POST, GENERATIONS, json!({"prompt": "x", "async": true}).to_string());
    other.headers_mut().insert("authorization", "Bearer sk-other".parse().unwrap());
    assert_eq!(answer(&world, other).status, 202);
    delete(&world, &format!("/v1/tasks/{first}"));
    world.pass(Duration::from_secs(5));
    submit(&world, json!({"prompt": "x"}));
}

#[test]
fn without_a_store_there_are_no_tasks_but_images() {
    let (world, _) = world(107, Fate::Succeeds);
    let id = submit(&world, json!({"prompt": "x"}));
    world.break_store();
    for refused in [
        generate(&world, json!({"prompt": "x", "async": true})),
        get(&world, &format!("/v1/tasks/{id}")),
        get(&world, "/v1/tasks"),
        get(&world, "/v1/images"),
        delete(&world, &format!("/v1/tasks/{id}")),
        get(&world, "/internal/tick"),
    ] {
        assert_eq!((refused.error().0, refused.error().2), (503, json!("store_unavailable")));
        assert!(refused.header("retry-after").is_some());
    }
    assert_eq!(generate(&world, json!({"prompt": "x", "response_format": "url"})).status, 200);
    world.pass(Duration::from_secs(120));
    world.mend_store();
    assert_eq!(ended(&world, &id)["status"], "succeeded", "what was made meanwhile is kept as soon as it can be");
}

#[test]
fn an_edit_can_be_a_task_with_its_images_in_the_store() {
    let (world, space) = world(108, Fate::Succeeds);
    let image = format!("data:image/png;base64,{}", STANDARD.encode(png()));
    let fields = json!({"prompt": "x", "image": image, "mask": image, "async": true});
    let taken = answer(&world, request(Method::POST, "/v1/images/edits", fields.to_string()));
    assert_eq!((taken.status.as_u16(), &taken.json()["kind"]), (202, &json!("edit")), "{taken:?}");
    assert_eq!(files(&world).len(), 2);
    // This Space can't edit, and that is a task's failure like others.
    let task = ended(&world, taken.json()["id"].as_str().unwrap());
    assert_eq!((&task["status"], &task["error"]["code"]), (&json!("failed"), &json!("unsupported_by_model")));
    assert_eq!(task["data"][0]["status"], "failed");
    world.settle();
    assert_eq!((files(&world), space.jobs().len()), (vec![], 0));
}

#[test]
fn the_images_that_are_made_count_though_others_fail() {
    let fates = [Fate::Succeeds, Fate::Crashes];
    let (world, _) = world_of(109, move |_, data| fates[usize::try_from(data[4].as_u64().unwrap()).unwrap()]);
    let task = ended(&world, &submit(&world, json!({"prompt": "x", "n": 2, "seed": 0})));
    assert_eq!(task["status"], "succeeded");
    assert_eq!(
        (task["result"]["data"].as_array().unwrap().len(), &task["result"]["errors"][0]["index"]),
        (1, &json!(1))
    );
    assert_eq!(task["images"][1]["error"]["code"], "space_error");
    assert_eq!(task["error"], Value::Null);
}

#[test]
fn a_task_waits_where_a_call_would_be_told_to_come_again() {
    let full_until = Duration::from_secs(900);
    let (world, space) = world_of(113, move |world, _| {
        let now = world.now();
        if now < full_until { Fate::QueueFull } else { Fate::Succeeds }
    });
    let id = submit(&world, json!({"prompt": "x"}));
    world.pass(Duration::from_secs(800));
    let task = get(&world, &format!("/v1/tasks/{id}")).json();
    assert_eq!((&task["status"], &task["images"][0]["error"]), (&json!("queued"), &Value::Null), "{task}");
    assert_eq!(ended(&world, &id)["status"], "succeeded");
    world.settle();
    assert_eq!(space.jobs().len(), 1);
    // Though not for ever.
    let (world, _) = world_of(114, |_, _| Fate::QueueFull);
    let id = submit(&world, json!({"prompt": "x"}));
    world.pass(Duration::from_secs(3600));
    assert_eq!(ended(&world, &id)["error"]["code"], "server_is_overloaded");
    // One that is cancelled meanwhile is left alone at once.
    let id = submit(&world, json!({"prompt": "x"}));
    world.pass(Duration::from_secs(100));
    delete(&world, &format!("/v1/tasks/{id}"));
    world.pass(Duration::from_secs(60));
    assert_eq!(open(&world), [""; 0]);
}

#[test]
fn images_are_remembered_of_calls_that_wait_and_of_tasks() {
    let (world, _) = world(110, Fate::Succeeds);
    generate(&world, json!({"prompt": "a red fox", "n": 2, "seed": 7, "negative_prompt": "rain", "size": "512x512"}));
    world.pass(Duration::from_secs(1));
    let stream = json!({"prompt": "a grey wolf", "stream": true, "output_format": "webp", "response_format": "url"});
    generate(&world, stream);
    world.pass(Duration::from_secs(1));
    let task = submit(&world, json!({"prompt": "a red bear"}));
    ended(&world, &task);
    world.settle();
    let list = |query: &str| get(&world, &format!("/v1/images{query}")).json();
    let prompts = |list: &Value| -> Vec<String> {
        list["data"].as_array().unwrap().iter().map(|image| image["prompt"].as_str().unwrap().to_owned()).collect()
    };
    let all = list("");
    assert_eq!(prompts(&all), ["a red bear", "a grey wolf", "a red fox", "a red fox"]);
    assert_eq!((&all["data"][0]["task_id"], &all["data"][1]["output_format"]), (&json!(task), &json!("webp")));
    let fox = &all["data"][3];
    for (field, value) in [
        ("object", json!("image")),
        ("seed", json!(7)),
        ("size", json!("512x512")),
        ("negative_prompt", json!("rain")),
        ("model", json!("z-image-turbo")),
        ("kind", json!("generation")),
        ("space", json!(SPACE)),
    ] {
        assert_eq!(fox[field], value, "{field}");
    }
    let path = fox["url"].as_str().unwrap().strip_prefix("http://img.example").unwrap();
    assert_eq!(answer(&world, Request::get(path).body(body("")).unwrap()).body.unwrap(), png());
    assert_eq!(prompts(&list("?q=RED&limit=2")), ["a red bear", "a red fox"]);
    let page = list("?limit=3");
    assert_eq!(page["has_more"], true);
    let rest = list(&format!("?after={}", page["last_id"].as_str().unwrap()));
    assert_eq!((prompts(&rest), &rest["data"][0]["seed"]), (vec!["a red fox".to_owned()], &json!(7)));

    let id = fox["id"].as_str().unwrap();
    assert_eq!(
        delete(&world, &format!("/v1/images/{id}")).json(),
        json!({"id": id, "object": "image", "deleted": true})
    );
    assert_eq!(delete(&world, &format!("/v1/images/{id}")).error().0, 404);
    assert_eq!(prompts(&list("?q=fox")).len(), 1);
    world.set_variable("history", "off");
    generate(&world, json!({"prompt": "nobody knows"}));
    world.settle();
    assert_eq!(prompts(&list("?q=nobody")), [""; 0]);
    world.pass(Duration::from_secs(31 * 86_400));
    get(&world, "/internal/tick");
    assert_eq!(found(&world, "SELECT id FROM image UNION ALL SELECT id FROM task"), [""; 0], "not for ever");
}

/// Submits a task to an instance; none where the instance dies over it.
pub(super) fn submit_to(instance: &Instance, mut fields: Value) -> Option<String> {
    fields["async"] = json!(true);
    let asked = request(Method::POST, GENERATIONS, fields.to_string());
    let taken = instance.run(Duration::from_secs(60), ask_at(instance.host(), asked))?;
    (taken.status == 202).then(|| taken.json()["id"].as_str().unwrap().to_owned())
}
