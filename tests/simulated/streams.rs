//! Streaming answers.

use super::*;

/// The events of a stream: each one's name, where it has one, and its data.
pub(super) fn events(text: &[u8]) -> Vec<(Option<String>, Value)> {
    let text = std::str::from_utf8(text).unwrap();
    // Comments that fill a silence may be the last thing of all.
    let text = text.trim_end_matches(": heartbeat\n");
    assert!(text.is_empty() || text.ends_with("\n\n"), "both SDKs need the last blank line");
    let event = |lines: &str| {
        let mut name = None;
        let mut data = None;
        for line in lines.lines() {
            match line.split_once(": ").unwrap() {
                ("event", value) => name = Some(value.to_owned()),
                ("data", value) => data = Some(value.to_owned()),
                ("", comment) => assert_eq!(comment, "heartbeat"),
                (field, _) => panic!("a field that breaks parsers: {field}"),
            }
        }
        let data = data?;
        Some((name, serde_json::from_str(&data).unwrap_or_else(|_| Value::from(data))))
    };
    text.split("\n\n").filter(|event| !event.is_empty()).filter_map(event).collect()
}

fn stream(world: &World, fields: Value) -> Vec<(Option<String>, Value)> {
    let made = generate(world, fields);
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!(made.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let events = events(made.body.as_ref().unwrap());
    for (name, data) in &events {
        assert_eq!(data["type"], json!(name), "each event says twice what it is");
    }
    events
}

#[test]
fn an_image_is_streamed() {
    let (world, _) = world(40, Fate::Succeeds);
    let events =
        stream(&world, json!({"prompt": "a red fox", "stream": true, "seed": 5, "size": "512x512", "quality": "hd"}));
    let [(_, done)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(STANDARD.decode(done["b64_json"].as_str().unwrap()).unwrap(), png());
    for (field, value) in [
        ("type", json!("image_generation.completed")),
        ("seed", json!(5)),
        ("size", json!("512x512")),
        ("quality", json!("high")),
        ("background", json!("auto")),
        ("output_format", json!("png")),
        ("image_index", Value::Null),
    ] {
        assert_eq!(done[field], value, "{field}");
    }
    assert_eq!(done["usage"]["total_tokens"], 4);
    assert!(done["created_at"].as_u64() >= Some(1_800_000_000));
}

#[test]
fn several_images_say_which_they_are_and_count_their_prompt_once() {
    let (world, _) = world(41, Fate::Succeeds);
    let events = stream(&world, json!({"prompt": "four", "stream": true, "n": 3, "seed": 5, "response_format": "url"}));
    let mut indexes: Vec<_> = events.iter().map(|(_, data)| data["image_index"].as_u64().unwrap()).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, [0, 1, 2]);
    for (_, data) in &events {
        assert_eq!(data["seed"].as_u64(), data["image_index"].as_u64().map(|index| index + 5));
        assert!(data["url"].as_str().unwrap().starts_with("http://img.example/v1/images/files/"));
    }
    let total: u64 = events.iter().map(|(_, data)| data["usage"]["total_tokens"].as_u64().unwrap()).sum();
    assert_eq!(total, 3 + 1);
}

#[test]
fn progress_is_told_to_those_who_ask() {
    let (world, _) = world(42, Fate::Succeeds);
    let events = stream(&world, json!({"prompt": "x", "stream": true, "progress": true}));
    let (last, progress) = events.split_last().unwrap();
    assert_eq!(last.0.as_deref(), Some("image_generation.completed"));
    assert!(progress.iter().all(|(name, _)| name.as_deref() == Some("image_generation.progress")));
    let seen: Vec<_> =
        progress.iter().map(|(_, data)| (&data["state"], &data["queue_position"], &data["step"])).collect();
    assert_eq!(
        seen,
        [
            (&json!("queued"), &json!(0), &Value::Null),
            (&json!("running"), &Value::Null, &Value::Null),
            (&json!("running"), &Value::Null, &json!(4)),
        ]
    );
    assert_eq!((&progress[2].1["steps"], &progress[2].1["image_index"]), (&json!(9), &json!(0)));
    assert!((progress[2].1["fraction"].as_f64().unwrap() - 4.0 / 9.0).abs() < 1e-9);
}

#[test]
fn an_error_before_the_first_sign_of_life_is_an_http_error() {
    let (world, _) = world(43, Fate::QueueFull);
    let refused = generate(&world, json!({"prompt": "x", "stream": true, "n": 2}));
    assert_eq!(refused.error().0, 503);
    assert!(refused.header("retry-after").is_some());
    for fields in [json!({"stream": true}), json!({"prompt": "x", "stream": true, "model": "no"})] {
        assert!(generate(&world, fields).status.is_client_error());
    }
}

#[test]
fn an_error_in_mid_stream_is_one_that_both_sdks_raise() {
    let (world, _) = world(44, Fate::Rejected);
    let events = stream(&world, json!({"prompt": "x", "stream": true, "n": 2}));
    let [(name, data)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((name.as_deref(), &data["error"]["type"]), (Some("error"), &json!("image_generation_user_error")));
    assert!(data["error"]["message"].as_str().unwrap().contains("Prompt rejected"));
    assert!(data["error"].as_object().unwrap().contains_key("param"));
    assert!(world.log_lines().iter().any(|line| line.contains("Prompt rejected") && line.contains("req_")));
}

#[test]
fn the_images_that_are_made_are_streamed_though_others_fail() {
    let fates = [Fate::Succeeds, Fate::Crashes, Fate::Succeeds];
    for progress in [false, true] {
        let (world, _) = world_of(45, move |_, data| fates[usize::try_from(data[4].as_u64().unwrap()).unwrap()]);
        let events = stream(&world, json!({"prompt": "x", "stream": true, "n": 3, "seed": 0, "progress": progress}));
        let of = |what: &str| {
            let of = |(name, _): &&(Option<String>, Value)| name.as_deref().unwrap().ends_with(what);
            events.iter().filter(of).map(|(_, data)| data).collect::<Vec<_>>()
        };
        assert_eq!((of(".completed").len(), of("error").len()), (2, 0));
        assert_eq!(of(".failed").len(), usize::from(progress));
        let seen = of(".completed").iter().any(|data| data["errors"][0]["index"] == 1);
        let last_failed = events.iter().rposition(|(_, data)| data["type"] == "image_generation.failed");
        assert!(seen || last_failed.is_some() || !progress);
    }
}

#[test]
fn a_client_that_leaves_a_stream_takes_its_jobs_along() {
    let (world, space) = world(46, Fate::NeverEnds);
    let fields = json!({"prompt": "x", "stream": true, "n": 2}).to_string();
    let ask = ask(world.clone(), request(Method::POST, "/v1/images/generations", fields));
    assert!(world.run_for(Duration::from_secs(60), ask).is_none());
    world.settle();
    let jobs = space.jobs();
    assert_eq!(jobs.len(), 2);
    assert!(jobs.iter().all(|job| job.cancelled_while_open.get()));
}

#[test]
fn a_space_that_reports_faster_than_it_is_read_is_thinned_out() {
    let (world, space) = world(48, Fate::Chatters);
    let events = stream(&world, json!({"prompt": "x", "stream": true, "progress": true}));
    assert_eq!(events.last().unwrap().0.as_deref(), Some("image_generation.completed"));
    assert!(events.len() > 10, "{}", events.len());
    assert!(events.len() < 5_000, "{} of 20,000", events.len());
    assert_eq!(space.jobs().len(), 1);
}
