//! Limits per key.

use futures::future::join_all;

use super::*;
use z_image_2api::platform::Platform as _;
use z_image_2api::platform::sim::instance::Instance;

fn generation(fields: &Value) -> Request<Body> {
    request(Method::POST, "/v1/images/generations", fields.to_string())
}

fn of_another(mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert("authorization", "Bearer sk-other".parse().unwrap());
    request
}

/// Values of OpenAI's three headers.
fn standing(answer: &Reply) -> [Option<String>; 3] {
    ["limit", "remaining", "reset"]
        .map(|what| answer.header(&format!("x-ratelimit-{what}-requests")).map(str::to_owned))
}

#[test]
fn requests_in_a_minute_are_counted_for_each_key() {
    let (world, space) = world(100, Fate::Succeeds);
    world.set_variable("api_keys", &format!("{KEY},sk-other"));
    world.set_variable("requests_per_minute", "3");
    let there = world.clone();
    let [first, others] = world.run(async move {
        let app = instance(there.clone()).await;
        let paths = ["/v1/images/generations", "/v1/images/generations/", "/v1/chat/completions", "/v1/responses"];
        let mut first = Vec::new();
        for path in paths {
            let mut request = request(Method::POST, path, "{}");
            *request.uri_mut() = path.parse().unwrap();
            first.push(ask_of(Rc::clone(&app), request).await);
        }
        let other = ask_of(Rc::clone(&app), of_another(generation(&json!({"prompt": "x"})))).await;
        let models = ask_of(Rc::clone(&app), request(Method::GET, "/v1/models", "")).await;
        [first, vec![other, models]]
    });
    let seen: Vec<_> = first.iter().map(|answer| (answer.status.as_u16(), standing(answer))).collect();
    let told_is =
        |limit: &str, remaining: &str, reset: &str| [limit, remaining, reset].map(|text| Some(text.to_owned()));
    assert_eq!(seen[0], (400, told_is("3", "2", "20s")));
    assert_eq!(seen[1], (400, told_is("3", "1", "40s")));
    assert_eq!(seen[2], (400, told_is("3", "0", "1m0s")));
    assert_eq!(seen[3], (429, told_is("3", "0", "1m0s")));
    let refused = &first[3];
    assert_eq!(refused.error(), (429, json!("requests"), json!("rate_limit_exceeded"), Value::Null));
    assert_eq!(
        ["retry-after", "retry-after-ms", "x-should-retry"].map(|name| refused.header(name).unwrap()),
        ["20", "20000", "true"]
    );
    let exposed = answer(&world, request(Method::GET, "/v1/models", ""));
    assert!(exposed.header("access-control-expose-headers").is_none(), "no page asked");
    assert_eq!((others[0].status.as_u16(), standing(&others[0])), (200, told_is("3", "2", "20s")));
    assert_eq!(standing(&others[1])[..2], told_is("3", "0", "")[..2], "to look costs nothing");
    assert_eq!(space.jobs().len(), 1);

    // The next instance knows.
    let again = || answer(&world, generation(&json!({"prompt": "x"})));
    let refused = again();
    let wait: u64 = refused.header("retry-after-ms").unwrap().parse().unwrap();
    world.pass(Duration::from_millis(wait - 1));
    assert_eq!(again().status, 429);
    world.pass(Duration::from_millis(1));
    assert_eq!(again().status, 200);
}

#[test]
fn a_stranger_is_told_nothing_and_counts_for_nobody() {
    let (world, _) = world(101, Fate::Succeeds);
    world.set_variable("requests_per_minute", "1");
    let mut stranger = generation(&json!({"prompt": "x"}));
    stranger.headers_mut().insert("authorization", "Bearer sk-wrong".parse().unwrap());
    let refused = answer(&world, stranger);
    assert_eq!((refused.status.as_u16(), standing(&refused)), (401, [None, None, None]));
    assert_eq!(standing(&answer(&world, Request::get("/healthz").body(body("")).unwrap())), [None, None, None]);
    assert_eq!(answer(&world, generation(&json!({"prompt": "x"}))).status, 200);
    assert_eq!(answer(&world, generation(&json!({"prompt": "x"}))).status, 429);
}

#[test]
fn without_limits_nothing_is_told_or_stored() {
    let (world, _) = world(102, Fate::Succeeds);
    let store = super::store(&world);
    world.run(async move { store.meta().await.unwrap() });
    let made = answer(&world, generation(&json!({"prompt": "x"})));
    assert_eq!((made.status.as_u16(), standing(&made)), (200, [None, None, None]));
    world.settle();
    for rows in ["rate", "idempotency", "lease WHERE resource LIKE 'jobs/%'"] {
        assert_eq!(world.database().query(&format!("SELECT 1 FROM {rows}"), &[]), Ok(vec![]));
    }
}

#[test]
fn four_instances_let_in_as_many_as_one_would() {
    let (world, _) = world(106, Fate::Succeeds);
    world.set_variable("requests_per_minute", "60");
    let there = world.clone();
    let answers = world.run(async move {
        let apps = join_all((0..4).map(|_| instance(there.clone()))).await;
        let refused = |number: usize| ask_of(Rc::clone(&apps[number % 4]), generation(&json!({})));
        join_all((0..200).map(refused)).await
    });
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(400), count(429)), (60, 140));
    let left: std::collections::BTreeSet<u32> = answers
        .iter()
        .filter(|answer| answer.status == 400)
        .map(|answer| answer.header("x-ratelimit-remaining-requests").unwrap().parse().unwrap())
        .collect();
    assert_eq!(left.len(), 60, "each answer has another number");
}

#[test]
fn three_instances_make_as_many_images_at_once_as_one_would_and_a_death_frees_its_places() {
    let (world, _) = world(107, Fate::NeverEnds);
    world.set_variable("jobs_per_key", "4");
    let instances: Vec<_> = (0..3).map(|_| Instance::new(&world, u64::MAX)).collect();
    let refused: Rc<std::cell::Cell<u32>> = Rc::default();
    for instance in &instances {
        for n in [1, 2, 1] {
            let refused = Rc::clone(&refused);
            let asked = ask_at(instance.host(), generation(&json!({"prompt": "x", "n": n})));
            instance.host().spawn(Box::pin(async move {
                assert_eq!(asked.await.status, 429);
                refused.set(refused.get() + n);
            }));
        }
    }
    world.pass(Duration::from_secs(40));
    assert_eq!(refused.get(), 12 - 4);
    let all = || ask(world.clone(), generation(&json!({"prompt": "x", "n": 4})));
    assert_eq!(world.run(all()).status, 429);
    instances.iter().for_each(Instance::kill);
    world.pass(Duration::from_secs(14));
    assert!(world.run_for(Duration::from_secs(20), all()).is_none(), "they are being made");
}

#[test]
fn a_database_that_hangs_holds_a_request_with_all_limits_for_a_second_and_is_told_once() {
    let took = |hangs: bool| {
        let (world, _) = world(108, Fate::Succeeds);
        world.set_variable("requests_per_minute", "100");
        world.set_variable("jobs_per_key", "100");
        world.hang_database(hangs);
        let there = world.clone();
        let took = world.run(async move {
            let app = instance(there.clone()).await;
            let mut took = Vec::new();
            for number in 0..3 {
                let begun = there.now();
                let mut request = generation(&json!({"prompt": "x"}));
                request.headers_mut().insert("idempotency-key", number.to_string().parse().unwrap());
                assert_eq!(ask_of(Rc::clone(&app), request).await.status, 200);
                took.push(there.now() - begun);
            }
            took
        });
        assert_eq!(problems(&world).len(), usize::from(hangs), "{:?}", world.log_lines());
        took
    };
    let (with, without) = (took(false), took(true));
    // Times of jobs are random here, up to some seconds.
    let (with, without): (Duration, Duration) = (with.iter().sum(), without.iter().sum());
    assert!(without < with * 3 + Duration::from_secs(2), "{with:?} {without:?}");
}

#[test]
fn images_at_once_are_counted_for_each_key() {
    let (world, space) = world(103, Fate::Succeeds);
    world.set_variable("api_keys", &format!("{KEY},sk-other"));
    world.set_variable("jobs_per_key", "3");
    let there = world.clone();
    let answers = world.run(async move {
        let app = instance(there.clone()).await;
        let at = |seconds, request: Request<Body>| {
            let (there, app) = (there.clone(), Rc::clone(&app));
            async move {
                there.host().sleep(Duration::from_millis(seconds)).await;
                ask_of(Rc::clone(&app), request).await
            }
        };
        let streamed = generation(&json!({"prompt": "x", "stream": true, "n": 2}));
        let chat = |n: u32| {
            let chat = json!({"messages": [{"role": "user", "content": "a fox"}], "n": n});
            request(Method::POST, "/v1/chat/completions", chat.to_string())
        };
        let mut answers = join_all([
            at(0, streamed),
            at(1, chat(2)),
            at(2, chat(1)),
            at(3, chat(1)),
            at(4, of_another(generation(&json!({"prompt": "x", "n": 3})))),
            at(5, generation(&json!({"prompt": "x", "n": 4}))),
        ])
        .await;
        answers.push(ask_of(Rc::clone(&app), generation(&json!({"prompt": "x", "n": 3}))).await);
        answers
    });
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [200, 429, 200, 429, 200, 400, 200]);
    assert_eq!(answers[1].error(), (429, json!("requests"), json!("rate_limit_exceeded"), Value::Null));
    assert!(answers[1].header("retry-after").is_some() && answers[1].header("x-should-retry") == Some("true"));
    assert_eq!(answers[5].error().3, json!("n"), "so many it can never make at once");
    assert_eq!(space.jobs().len(), 2 + 1 + 3 + 3);
}

#[test]
fn a_client_that_leaves_and_a_job_that_fails_give_back_what_they_had() {
    for fate in [Fate::NeverEnds, Fate::Crashes, Fate::Stalls, Fate::QueueFull, Fate::Lies] {
        let (world, space) = world(104, fate);
        world.set_variable("jobs_per_key", "2");
        let there = world.clone();
        let app = world.run(async move { instance(there).await });
        for stream in [true, false] {
            let fields = json!({"prompt": "x", "stream": stream, "n": 2});
            let asked = Rc::clone(&app);
            world.run_for(Duration::from_secs(7), async move { ask_of(Rc::clone(&asked), generation(&fields)).await });
        }
        world.settle();
        let asked = Rc::clone(&app);
        let fields = json!({"prompt": "x", "n": 2});
        let last = world.run(async move { ask_of(Rc::clone(&asked), generation(&fields)).await });
        assert_ne!(last.status, 429, "{fate:?}: {last:?}");
        assert!(space.jobs().iter().all(|job| job.fate == fate));
    }
}
