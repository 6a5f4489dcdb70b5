//! Requests with an `Idempotency-Key`.

use futures::StreamExt as _;
use futures::future::{join, join_all};

use super::streams::events;
use super::*;
use z_image_2api::platform::Platform as _;
use z_image_2api::platform::sim::instance::Instance;

fn with_key(key: &str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

fn keyed(key: &str, fields: &Value) -> Request<Body> {
    with_key(key, request(Method::POST, "/v1/images/generations", fields.to_string()))
}

fn replayed(answer: &Reply) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

/// Statuses of the requests with a key in the store.
fn kept(world: &World) -> Vec<i64> {
    world.settle();
    let rows = world.database().query("SELECT status FROM idempotency", &[]).unwrap();
    let status = |row: &z_image_2api::platform::Row| match row[..] {
        [z_image_2api::platform::Value::Integer(status)] => status,
        _ => panic!("{row:?}"),
    };
    rows.iter().map(status).collect()
}

#[test]
fn a_request_that_comes_again_is_answered_what_it_was_answered() {
    let (world, space) = world(110, Fate::Succeeds);
    world.set_variable("idempotency_ttl", "3600");
    let fields = json!({"prompt": "x", "unknown": 1});
    let first = answer(&world, keyed("k", &fields));
    assert!(first.status == 200 && !replayed(&first), "{first:?}");
    // From another instance, by another way to write the path.
    let again = with_key("k", request(Method::POST, "/images/generations/", fields.to_string()));
    let again = answer(&world, again);
    assert!(replayed(&again));
    assert_eq!((again.status, again.body.as_ref().unwrap()), (first.status, first.body.as_ref().unwrap()));
    for name in ["content-type", "content-length", "cache-control", "x-ignored-parameters"] {
        assert!(again.header(name).is_some() && again.header(name) == first.header(name), "{name}");
    }
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    assert_eq!(space.jobs().len(), 1);
    assert_eq!(kept(&world), [200]);
    world.pass(Duration::from_secs(3600));
    assert!(!replayed(&answer(&world, keyed("k", &fields))));
    assert_eq!(space.jobs().len(), 2);
}

#[test]
fn a_key_is_one_callers_on_one_route_for_one_request() {
    let (world, space) = world(111, Fate::Succeeds);
    world.set_variable("api_keys", &format!("{KEY},sk-other"));
    assert_eq!(answer(&world, keyed("k", &json!({"prompt": "x"}))).status, 200);
    let other = answer(&world, keyed("k", &json!({"prompt": "y"})));
    assert_eq!(other.error(), (422, json!("invalid_request_error"), json!("idempotency_key_reused"), Value::Null));
    assert_eq!(other.header("x-should-retry"), Some("false"));
    let azure = "/openai/deployments/z-image-turbo-2048/images/generations";
    let azure = with_key("k", request(Method::POST, azure, json!({"prompt": "x"}).to_string()));
    assert_eq!(answer(&world, azure).status, 422, "another model");
    let mut later = keyed("k", &json!({"prompt": "x"}));
    later.headers_mut().insert("prefer", "respond-async".parse().unwrap());
    assert_eq!(answer(&world, later).status, 422, "another kind of answer");
    let mut stranger = keyed("k", &json!({"prompt": "x"}));
    stranger.headers_mut().insert("authorization", "Bearer sk-other".parse().unwrap());
    let chat = json!({"messages": [{"role": "user", "content": "a fox"}]}).to_string();
    let chat = with_key("k", request(Method::POST, "/v1/chat/completions", chat));
    for request in [stranger, chat] {
        let made = answer(&world, request);
        assert!(made.status == 200 && !replayed(&made));
    }
    assert_eq!(space.jobs().len(), 3);
    for wrong in ["", &"k".repeat(256), "a\tb"] {
        let refused = answer(&world, keyed(wrong, &json!({"prompt": "x"})));
        assert_eq!(refused.error().2, json!("invalid_idempotency_key"), "{wrong:?}");
    }
    let ignored = answer(&world, with_key("", request(Method::GET, "/v1/models", "")));
    assert_eq!(ignored.status, 200);
}

#[test]
fn what_another_try_may_mend_is_tried_again_and_what_stays_is_replayed() {
    for (fate, stays) in [
        (Fate::Rejected, true),
        (Fate::Crashes, false),
        (Fate::QueueFull, false),
        (Fate::Stalls, false),
        (Fate::Cut, false),
    ] {
        for stream in [false, true] {
            let (world, space) = world(112, fate);
            let fields = json!({"prompt": "x", "stream": stream});
            let first = answer(&world, keyed("k", &fields));
            world.settle();
            let jobs = space.jobs().len();
            let second = answer(&world, keyed("k", &fields));
            assert_eq!((first.status, first.body.is_ok()), (second.status, second.body.is_ok()), "{fate:?}");
            assert_eq!(replayed(&second), stays, "{fate:?} {stream}");
            if fate != Fate::QueueFull {
                assert_eq!(space.jobs().len() > jobs, !stays, "{fate:?} {stream}");
            }
            if stays {
                // What filled a silence is no part of the answer.
                let seen = |answer: &Reply| {
                    String::from_utf8(answer.body.clone().unwrap()).unwrap().replace(": heartbeat\n", "")
                };
                assert_eq!(seen(&first), seen(&second));
                assert_eq!(first.header("x-should-retry"), second.header("x-should-retry"));
            } else {
                assert_eq!(kept(&world), [0; 0], "{fate:?} {stream}");
            }
        }
    }
    let (world, _) = world(113, Fate::Succeeds);
    assert_eq!(answer(&world, keyed("k", &json!({"prompt": 7}))).status, 400);
    assert_eq!(answer(&world, keyed("k", &json!({"prompt": "x"}))).status, 200, "what was no request is none");
}

#[test]
fn a_second_request_waits_for_the_first_ones_answer() {
    for fate in [Fate::Succeeds, Fate::Crashes] {
        let (world, space) = world(114, fate);
        let there = world.clone();
        let (first, second) = world.run(async move {
            let app = instance(there.clone()).await;
            let fields = json!({"prompt": "x"});
            let later = async {
                there.host().sleep(Duration::from_millis(1)).await;
                let other = ask_of(Rc::clone(&app), keyed("k", &json!({"prompt": "y"}))).await;
                assert_eq!(other.status, 422, "while it runs too");
                ask_of(Rc::clone(&app), keyed("k", &fields)).await
            };
            join(ask_of(Rc::clone(&app), keyed("k", &fields)), later).await
        });
        assert_eq!((first.status, first.body), (second.status, second.body.clone()), "{fate:?}");
        assert!(replayed(&second));
        assert_eq!(space.jobs().len(), 1, "{fate:?}");
    }
}

#[test]
fn requests_that_come_at_once_to_eight_instances_are_one_job_and_one_answer() {
    for seed in 0..30 {
        let (world, space) = world(seed, Fate::Succeeds);
        world.slow_store(Duration::from_millis(30));
        let asks: Vec<_> = (0..8).map(|_| ask(world.clone(), keyed("k", &json!({"prompt": "x"})))).collect();
        let answers = world.run(async move { join_all(asks).await });
        assert_eq!(space.jobs().len(), 1, "seed {seed}");
        assert_eq!(answers.iter().filter(|answer| replayed(answer)).count(), 7, "seed {seed}");
        for answer in &answers {
            assert_eq!((answer.status.as_u16(), &answer.body), (200, &answers[0].body), "seed {seed}");
        }
        let other = answer(&world, keyed("k", &json!({"prompt": "y"})));
        assert_eq!(other.error().2, json!("idempotency_key_reused"));
    }
}

#[test]
fn who_waits_for_what_comes_to_nothing_goes_on_in_its_place_or_comes_again() {
    for (fate, jobs) in [(Fate::Crashes, 2), (Fate::NeverEnds, 1)] {
        let (world, space) = world(115, fate);
        world.set_variable("job_timeout", "100");
        let there = world.clone();
        let (first, second) = world.run(async move {
            let fields = json!({"prompt": "x"});
            let later = async {
                there.host().sleep(Duration::from_millis(1)).await;
                let other = ask(there.clone(), keyed("k", &json!({"prompt": "y"}))).await;
                assert_eq!(other.status, 422, "while it runs too");
                ask(there.clone(), keyed("k", &fields)).await
            };
            join(ask(there.clone(), keyed("k", &fields)), later).await
        });
        if fate == Fate::Crashes {
            assert_eq!((first.error(), replayed(&second)), (second.error(), false));
        } else {
            // Past several leases, and too late to begin.
            assert_eq!((first.status.as_u16(), second.error().2), (504, json!("idempotency_in_progress")));
            assert_eq!((second.status.as_u16(), second.header("x-should-retry")), (409, Some("true")));
            assert!(second.header("retry-after").is_some());
        }
        assert_eq!(space.jobs().len(), jobs, "{fate:?}");
        assert_eq!(kept(&world), [0; 0]);
    }
}

#[test]
fn an_instance_that_ended_does_not_hold_a_key_for_long() {
    let jobs = std::cell::Cell::new(0);
    let (world, space) = world_of(116, move |_, _| {
        jobs.set(jobs.get() + 1);
        if jobs.get() == 1 { Fate::NeverEnds } else { Fate::Succeeds }
    });
    let fields = json!({"prompt": "x"});
    let instance = Instance::new(&world, u64::MAX);
    let asked = ask_at(instance.host(), keyed("k", &fields));
    instance.host().spawn(Box::pin(async move { drop(asked.await) }));
    world.pass(Duration::from_secs(5));
    instance.kill();
    assert_eq!(answer(&world, keyed("k", &json!({"prompt": "y"}))).status, 422, "its lease counts");
    let next = ask(world.clone(), keyed("k", &fields));
    world.spawn(Box::pin(async move { drop(next.await) }));
    world.pass(Duration::from_secs(9));
    assert_eq!(space.jobs().len(), 1);
    world.pass(Duration::from_secs(5));
    assert_eq!(space.jobs().len(), 2, "by who has waited");
    world.settle();
    assert!(replayed(&answer(&world, keyed("k", &fields))));
}

#[test]
fn a_stream_is_recorded_and_told_again() {
    let (world, space) = world(117, Fate::Succeeds);
    let chat = json!({"messages": [{"role": "user", "content": "a fox"}], "stream": true}).to_string();
    let images = json!({"prompt": "x", "stream": true, "progress": true, "n": 2}).to_string();
    for (path, text) in [("/v1/images/generations", images), ("/v1/chat/completions", chat)] {
        let ask = || answer(&world, with_key("k", request(Method::POST, path, text.clone())));
        let (first, second) = (ask(), ask());
        assert!(replayed(&second) && !replayed(&first));
        assert_eq!(second.header("content-type"), Some("text/event-stream; charset=utf-8"));
        assert_eq!(second.header("x-accel-buffering"), Some("no"));
        let seen = [&first, &second].map(|answer| events(answer.body.as_ref().unwrap()));
        assert!(seen[0] == seen[1] && seen[0].len() > 3, "{seen:?}");
        assert!(!second.body.unwrap().starts_with(b": "), "silence is not repeated");
    }
    assert_eq!(space.jobs().len(), 3);
}

#[test]
fn a_stream_cannot_be_joined_and_one_that_was_left_begins_anew() {
    let (world, space) = world(118, Fate::Succeeds);
    let there = world.clone();
    let (joined, again) = world.run(async move {
        let app = instance(there.clone()).await;
        let fields = json!({"prompt": "x", "stream": true, "progress": true});
        let ask_again = || ask_of(Rc::clone(&app), keyed("k", &fields));
        // One that comes before it is known to be a stream, and one after.
        let (stream, early) = join(app.handle(keyed("k", &fields)), ask_again()).await;
        let Content::Stream(mut stream) = stream.into_body() else { panic!("no stream") };
        assert!(stream.next().await.unwrap().is_ok());
        let late = ask_again().await;
        let elsewhere = ask(there.clone(), keyed("k", &fields)).await;
        drop(stream);
        ([early, late, elsewhere], ask_again().await)
    });
    for answer in joined {
        assert_eq!((answer.status.as_u16(), answer.error().2), (409, json!("idempotency_in_progress")));
    }
    assert!(again.status == 200 && !replayed(&again));
    assert_eq!(events(again.body.as_ref().unwrap()).last().unwrap().1["type"], "image_generation.completed");
    world.settle();
    let jobs = space.jobs();
    assert_eq!((jobs.len(), jobs.iter().filter(|job| job.cancelled.get()).count()), (2, 1));
    assert!(replayed(&answer(&world, keyed("k", &json!({"prompt": "x", "stream": true, "progress": true})))));
}

#[test]
fn a_form_is_the_same_with_another_boundary() {
    let (world, _) = world(120, Fate::Succeeds);
    let ask = |boundary: &str, prompt: &str| {
        let mut form = Vec::new();
        form.extend(
            format!("--{boundary}\r\ncontent-disposition: form-data; name=\"prompt\"\r\n\r\n{prompt}\r\n").bytes(),
        );
        let head = "content-disposition: form-data; name=\"image\"; filename=\"a.png\"";
        form.extend(format!("--{boundary}\r\n{head}\r\n\r\n").bytes());
        form.extend(png());
        form.extend(format!("\r\n--{boundary}--\r\n").bytes());
        let mut request = with_key("k", request(Method::POST, "/v1/images/edits", ""));
        let content_type = format!("multipart/form-data; boundary={boundary}");
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
        let pieces: Vec<_> = form.chunks(100).map(|piece| Ok(bytes::Bytes::copy_from_slice(piece))).collect();
        *request.body_mut() = Box::pin(futures::stream::iter(pieces));
        answer(&world, request)
    };
    // This Space can't edit, and says so to the first.
    let (first, second, other) = (ask("one", "x"), ask("two", "x"), ask("three", "y"));
    assert_eq!(first.error().2, json!("unsupported_by_model"), "the form was read as it came");
    assert!(replayed(&second) && !replayed(&first) && first.body == second.body);
    assert_eq!(other.error().2, json!("idempotency_key_reused"));
}

#[test]
fn without_a_store_requests_are_answered_all_the_same() {
    let (world, space) = world(121, Fate::Succeeds);
    world.break_store();
    let there = world.clone();
    world.run(async move {
        let app = instance(there.clone()).await;
        let fields = json!({"prompt": "x"});
        let (first, second) =
            join(ask_of(Rc::clone(&app), keyed("k", &fields)), ask_of(Rc::clone(&app), keyed("k", &fields))).await;
        assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 200));
        assert!(replayed(&second), "those that meet are still one");
        there.host().sleep(Duration::from_millis(1)).await;
        assert!(!replayed(&ask_of(Rc::clone(&app), keyed("k", &fields)).await));
    });
    assert_eq!(space.jobs().len(), 2);
    let seen: Vec<_> = world.log_lines().into_iter().filter(|line| line.contains("Idempotency-Key")).collect();
    assert_eq!(seen.len(), 1, "once: {seen:?}");
}

#[test]
fn whatever_happens_a_key_makes_one_image() {
    let (mut replays, mut refusals) = (0, 0);
    for seed in 0..100 {
        let (world, space) = world_of(seed, |world, _| {
            let lot = usize::try_from(world.random_below(40)).unwrap();
            Fate::ALL.get(lot).copied().unwrap_or(Fate::Succeeds)
        });
        world.set_variable("job_timeout", "60");
        let there = world.clone();
        let answers = world.run(async move {
            let apps = [instance(there.clone()).await, instance(there.clone()).await];
            let asks = (0..8).map(|_| {
                let (at, lot) = (there.random_ms(0, 90_000), usize::try_from(there.random_below(2)).unwrap());
                let (there, app) = (there.clone(), Rc::clone(&apps[lot]));
                async move {
                    there.host().sleep(at).await;
                    ask_of(Rc::clone(&app), keyed("k", &json!({"prompt": "x"}))).await
                }
            });
            join_all(asks.collect::<Vec<_>>()).await
        });
        let made = answers.iter().filter(|answer| answer.status == 200);
        let bodies: std::collections::BTreeSet<_> = made.map(|answer| answer.body.clone().unwrap()).collect();
        let jobs = space.jobs().iter().filter(|job| job.fate == Fate::Succeeds).count();
        assert!(bodies.len() <= 1 && jobs <= 1, "seed {seed}: {} images, {jobs} jobs", bodies.len());
        for answer in answers.iter().filter(|answer| answer.status == 409) {
            assert_eq!(answer.error().2, json!("idempotency_in_progress"), "seed {seed}");
            refusals += 1;
        }
        replays += answers.iter().filter(|answer| replayed(answer)).count();
        let marks = kept(&world);
        assert!(marks.len() <= 1 && marks.iter().all(|status| *status > 0), "seed {seed}: a mark was left: {marks:?}");
    }
    assert!(replays > 100 && refusals > 4, "{replays} replays, {refusals} refusals");
}
