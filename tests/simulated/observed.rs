//! The line that a request has in the log when it ends.

use futures::StreamExt as _;

use super::*;

/// Lines of the requests that have ended.
fn ended(world: &World) -> Vec<Value> {
    let lines = world.log_lines().into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
    lines.filter(|line| line["event"] == "request").collect()
}

#[test]
fn a_request_has_one_line_when_it_ends() {
    let (world, _) = world(400, Fate::Succeeds);
    let prompt = "a red fox that nobody else has asked for";
    let made = generate(&world, json!({"prompt": prompt, "n": 2}));
    assert_eq!(made.status, 200);
    let lines = ended(&world);
    let [line] = lines.as_slice() else { panic!("{lines:#?}") };
    assert_eq!(line["request_id"], made.header("x-request-id").unwrap());
    let length = made.body.as_ref().unwrap().len();
    for (name, expected) in [
        ("level", json!("info")),
        ("method", json!("POST")),
        ("route", json!("/v1/images/generations")),
        ("status", json!(200)),
        ("model", json!("z-image-turbo")),
        ("space", json!(SPACE)),
        ("images_asked", json!(2)),
        ("images_made", json!(2)),
        ("images_failed", json!(0)),
        ("retries", json!(0)),
        ("bytes_sent", json!(length)),
        ("client_left", json!(false)),
    ] {
        assert_eq!(line[name], expected, "{name} of {line}");
    }
    let key = line["key_id"].as_str().unwrap();
    assert!(key.len() == 16 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
    assert!(line["time"].as_str().unwrap().starts_with("2027-01-15T"), "{line}");
    let times: Vec<u64> = ["wait_ms", "queue_ms", "generate_ms", "fetch_ms", "total_ms"]
        .iter()
        .map(|name| line[*name].as_u64().unwrap())
        .collect();
    assert!(times[2] > 0 && times[..4].iter().sum::<u64>() <= times[4], "{line}");
    let all = world.log_lines().join("");
    assert!(!all.contains(prompt) && !all.contains(KEY), "neither prompts nor keys: {all}");
}

#[test]
fn prompts_are_logged_where_the_operator_says_so() {
    let (world, _) = world(401, Fate::Succeeds);
    world.set_variable("log_prompts", "on");
    generate(&world, json!({"prompt": "one\n\"two\""}));
    assert_eq!(ended(&world)[0]["prompt"], "one\n\"two\"");
}

#[test]
fn the_line_of_a_stream_comes_with_its_end_or_with_its_clients() {
    for leaves in [false, true] {
        let (world, _) = world(402, Fate::Succeeds);
        let (app, there) = (world.run(instance(world.clone())), world.clone());
        let sent = world.run(async move {
            let fields = json!({"prompt": "x", "stream": true});
            let answer = app.handle(request(Method::POST, "/v1/images/generations", fields.to_string())).await;
            assert!(ended(&there).is_empty(), "the head is not the end");
            let Content::Stream(mut body) = answer.into_body() else { panic!("no stream") };
            let mut sent = body.next().await.unwrap().unwrap().len();
            while let Some(piece) = body.next().await.filter(|_| !leaves) {
                sent += piece.unwrap().len();
            }
            sent
        });
        let lines = ended(&world);
        let [line] = lines.as_slice() else { panic!("{lines:#?}") };
        assert_eq!((line["status"].as_u64(), line["client_left"].as_bool()), (Some(200), Some(leaves)), "{line}");
        let counted = usize::try_from(line["bytes_sent"].as_u64().unwrap()).unwrap();
        assert!(if leaves { counted >= sent } else { counted == sent }, "{sent}: {line}");
    }
}

#[test]
fn what_fails_is_counted_and_named() {
    let (world, _) = world(403, Fate::Cut);
    assert!(generate(&world, json!({"prompt": "x"})).status.is_server_error());
    let (line, problems) = (&ended(&world)[0], problems(&world));
    assert_eq!((line["images_made"].as_u64(), line["images_failed"].as_u64()), (Some(0), Some(1)), "{line}");
    assert_eq!((&line["level"], &line["space"]), (&json!("warn"), &json!(SPACE)), "{line}");
    assert_eq!(problems.len(), 1, "the error has its own line still");
}

#[test]
fn levels_leave_out_what_is_less_severe() {
    let logged = |level: &str| {
        let (world, _) = world(404, Fate::Succeeds);
        world.set_variable("log_level", level);
        generate(&world, json!({"prompt": "x"}));
        for path in ["/healthz", "/v1/images/files/nonsense.png", "/v1/models", "/no/such/path"] {
            answer(&world, request(Method::GET, path, ""));
        }
        answer(&world, request(Method::OPTIONS, "/v1/models", ""));
        let line = |line: &Value| (line["route"].as_str().map(str::to_owned), line["status"].as_u64().unwrap());
        (ended(&world).iter().map(line).collect::<Vec<_>>(), problems(&world).len())
    };
    let of = |route: &str, status| (Some(route.to_owned()), status);
    let generation = of("/v1/images/generations", 200);
    let (file, models, none) = (of("/v1/images/files/{name*}", 403), of("/v1/models", 200), (None, 404));
    let usual = vec![generation.clone(), file.clone(), models.clone(), none.clone()];
    assert_eq!(logged("info"), (usual, 2));
    let all = vec![generation, of("/healthz", 200), file, models, none, of("/v1/models", 204)];
    assert_eq!(logged("debug"), (all, 2));
    assert_eq!(logged("warn"), (vec![], 0));
    assert_eq!(logged("error"), (vec![], 0));
}

#[test]
fn a_trace_is_taken_over_and_passed_on_to_the_space_alone() {
    let (id, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    for (traceparent, expected) in [(parent, Some(id)), ("00-nonsense", None), ("", None)] {
        let (world, _) = world(406, Fate::Succeeds);
        let mut asked = request(Method::POST, "/v1/images/generations", json!({"prompt": "x", "n": 2}).to_string());
        if !traceparent.is_empty() {
            asked.headers_mut().insert("traceparent", traceparent.parse().unwrap());
            asked.headers_mut().insert("tracestate", "vendor=1".parse().unwrap());
        }
        assert_eq!(answer(&world, asked).status, 200);
        let line = &ended(&world)[0];
        assert_eq!(line.get("trace_id").map(|id| id.as_str().unwrap()), expected, "{line}");
        let sent = world.sent();
        let parents: Vec<&str> =
            sent.iter().filter_map(|(_, headers)| Some(headers.get("traceparent")?.to_str().unwrap())).collect();
        let Some(id) = expected else {
            assert!(parents.is_empty(), "none is begun");
            continue;
        };
        assert_eq!(parents.len(), sent.len(), "each call belongs to it, the fetches too");
        let spans: std::collections::BTreeSet<&str> = parents.iter().map(|parent| &parent[36..52]).collect();
        assert_eq!(spans.len(), sent.len(), "each has a span of its own: {parents:?}");
        let is_passed_on = |parent: &&str| parent.starts_with(&format!("00-{id}-")) && parent.ends_with("-01");
        assert!(parents.iter().all(is_passed_on), "{parents:?}");
        assert!(!spans.contains("00f067aa0ba902b7"));
        assert!(sent.iter().all(|(_, headers)| headers["tracestate"] == "vendor=1"));
    }
}

#[test]
fn a_task_that_is_submitted_names_its_model() {
    let (world, _) = world(405, Fate::Succeeds);
    let accepted = generate(&world, json!({"prompt": "x", "async": true}));
    assert_eq!(accepted.status, 202);
    let line = &ended(&world)[0];
    assert_eq!((&line["model"], &line["images_asked"]), (&json!("z-image-turbo"), &json!(1)), "{line}");
    assert!(line.get("images_made").is_none(), "they are the task's: {line}");
}
