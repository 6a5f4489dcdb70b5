//! Figures of the service at `GET /metrics`.

use std::collections::BTreeMap;

use super::*;

const FIGURES_KEY: &str = "a-key-of-the-figures";

/// Answer of that instance to a scrape.
fn scrape(world: &World, app: &Rc<App>, accept: &str) -> Reply {
    let mut asked = request(Method::GET, "/metrics", "");
    asked.headers_mut().insert("authorization", format!("Bearer {FIGURES_KEY}").parse().unwrap());
    asked.headers_mut().insert("accept", accept.parse().unwrap());
    world.run(ask_of(Rc::clone(app), asked))
}

/// Figures of a scrape: each sample's number by its name and labels.
fn figures(world: &World, app: &Rc<App>) -> BTreeMap<String, f64> {
    let scraped = scrape(world, app, "text/plain");
    assert_eq!(scraped.status, 200, "{scraped:?}");
    let text = String::from_utf8(scraped.body.unwrap()).unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, text)| (name.to_owned(), text.parse().unwrap()))
        .collect()
}

fn generations(world: &World, app: &Rc<App>, fields: Value, count: usize) {
    for _ in 0..count {
        let asked = request(Method::POST, "/v1/images/generations", fields.to_string());
        world.run(ask_of(Rc::clone(app), asked));
    }
}

fn with_figures(seed: u64, fate: Fate) -> World {
    let (world, _) = world(seed, fate);
    world.set_variable("metrics_key", FIGURES_KEY);
    world
}

#[test]
fn any_instance_answers_for_all_of_them() {
    let world = with_figures(420, Fate::Succeeds);
    let apps: Vec<_> = (0..2).map(|_| world.run(instance(world.clone()))).collect();
    generations(&world, &apps[0], json!({"prompt": "x", "n": 2}), 3);
    generations(&world, &apps[1], json!({"prompt": "x"}), 4);
    generations(&world, &apps[1], json!({"prompt": ""}), 1);
    world.run(ask_of(Rc::clone(&apps[1]), request(Method::GET, "/no/such/path", "")));
    world.settle();
    let seen = [figures(&world, &apps[0]), figures(&world, &apps[1])];
    let of_space = format!("space=\"{SPACE}\"");
    for seen in &seen {
        for (name, number) in [
            ("zimage_requests_total{route=\"/v1/images/generations\",status=\"200\"}".to_owned(), 7.0),
            ("zimage_requests_total{route=\"/v1/images/generations\",status=\"400\"}".to_owned(), 1.0),
            ("zimage_requests_total{route=\"other\",status=\"404\"}".to_owned(), 1.0),
            (format!("zimage_images_total{{model=\"z-image-turbo\",{of_space},outcome=\"made\"}}"), 10.0),
            (format!("zimage_image_generate_seconds_count{{{of_space}}}"), 10.0),
            (format!("zimage_image_generate_seconds_bucket{{{of_space},le=\"+Inf\"}}"), 10.0),
            (format!("zimage_breaker_state{{{of_space},state=\"closed\"}}"), 1.0),
            (format!("zimage_breaker_state{{{of_space},state=\"open\"}}"), 0.0),
            (format!("zimage_slots{{{of_space}}}"), 2.0),
            (format!("zimage_jobs_in_flight{{{of_space}}}"), 0.0),
            ("zimage_jobs_waiting{model=\"z-image-turbo\"}".to_owned(), 0.0),
            ("zimage_tasks{status=\"queued\"}".to_owned(), 0.0),
            ("zimage_database_up".to_owned(), 1.0),
        ] {
            assert_eq!(seen.get(&name), Some(&number), "{name} in {seen:#?}");
        }
        let took = seen[&format!("zimage_image_generate_seconds_sum{{{of_space}}}")];
        assert!(took > 0.0 && seen["zimage_database_statement_duration_seconds_count"] > 0.0, "{seen:#?}");
        let sent = seen["zimage_response_bytes_total{route=\"/v1/images/generations\"}"];
        assert!(sent > 1000.0, "{sent}");
    }
}

#[test]
fn what_was_given_up_and_what_failed_is_counted_as_that() {
    let world = with_figures(421, Fate::Cut);
    let app = world.run(instance(world.clone()));
    generations(&world, &app, json!({"prompt": "x"}), 1);
    let failed = format!("zimage_images_total{{model=\"z-image-turbo\",space=\"{SPACE}\",outcome=\"failed\"}}");
    assert_eq!(figures(&world, &app).get(&failed), Some(&1.0));
    generations(&world, &app, json!({"prompt": "x"}), 2);
    let seen = figures(&world, &app);
    let breaker = |state: &str| seen[&format!("zimage_breaker_state{{space=\"{SPACE}\",state=\"{state}\"}}")];
    assert_eq!(["closed", "half_open", "open"].map(breaker), [0.0, 0.0, 1.0], "three failures in a row open it");

    let world = with_figures(422, Fate::NeverEnds);
    let app = world.run(instance(world.clone()));
    let streamed = request(Method::POST, "/v1/images/generations", json!({"prompt": "x", "stream": true}).to_string());
    assert!(world.run_for(Duration::from_secs(30), ask_of(Rc::clone(&app), streamed)).is_none(), "it never ends");
    let seen = figures(&world, &app);
    assert_eq!(seen["zimage_images_total{model=\"z-image-turbo\",space=\"none\",outcome=\"cancelled\"}"], 1.0);
    assert_eq!(seen["zimage_clients_left_total{route=\"/v1/images/generations\"}"], 1.0);
}

#[test]
fn tasks_are_counted_while_they_are_there_and_when_they_end() {
    let world = with_figures(423, Fate::Succeeds);
    let app = world.run(instance(world.clone()));
    generations(&world, &app, json!({"prompt": "x", "async": true}), 3);
    let seen = figures(&world, &app);
    let open: f64 = ["queued", "running"].iter().map(|name| seen[&format!("zimage_tasks{{status=\"{name}\"}}")]).sum();
    assert_eq!(open, 3.0, "{seen:#?}");
    world.settle();
    let seen = figures(&world, &app);
    assert_eq!(seen["zimage_tasks_ended_total{status=\"succeeded\"}"], 3.0);
    assert_eq!(
        seen[&format!("zimage_images_total{{model=\"z-image-turbo\",space=\"{SPACE}\",outcome=\"made\"}}")],
        3.0
    );
}

#[test]
fn the_figures_are_for_who_has_their_key() {
    let status = |set: &str, presented: &str| {
        let (world, _) = world(424, Fate::Succeeds);
        world.set_variable("metrics_key", set);
        let mut asked = request(Method::GET, "/metrics", "");
        asked.headers_mut().insert("authorization", presented.parse().unwrap());
        answer(&world, asked).status.as_u16()
    };
    let (own, api) = (format!("Bearer {FIGURES_KEY}"), format!("Bearer {KEY}"));
    assert_eq!([status("", &own), status("short", "Bearer short")], [404, 404], "there are none");
    assert_eq!([status(FIGURES_KEY, &own), status(FIGURES_KEY, &api), status(FIGURES_KEY, "")], [200, 401, 401]);
    assert_eq!(status("open", "none"), 200);
}

#[test]
fn open_metrics_is_for_who_asks_for_it() {
    let world = with_figures(425, Fate::Succeeds);
    let app = world.run(instance(world.clone()));
    let scraped = scrape(&world, &app, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    assert!(scraped.header("content-type").unwrap().starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(String::from_utf8(scraped.body.unwrap()).unwrap().ends_with("# EOF\n"));
    let scraped = scrape(&world, &app, "*/*");
    assert_eq!(scraped.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
}

#[test]
fn no_answer_waits_for_the_figures_and_without_their_key_nothing_is_written() {
    let counted = |key: &str| {
        let (world, _) = world(426, Fate::Succeeds);
        world.set_variable("metrics_key", key);
        let app = world.run(instance(world.clone()));
        let kept = || {
            let sql = "SELECT COALESCE(SUM(value), 0.0) FROM metric WHERE name = 'zimage_requests'";
            let rows = world.database().query(sql, &[]).unwrap();
            let z_image_2api::platform::Value::Real(number) = rows[0][0] else { panic!("{rows:?}") };
            number
        };
        generations(&world, &app, json!({"prompt": "x"}), 2);
        world.settle();
        generations(&world, &app, json!({"prompt": "x"}), 1);
        let answered = kept();
        world.settle();
        (answered, kept())
    };
    assert_eq!(counted(FIGURES_KEY), (2.0, 3.0), "the figures come after the answer");
    assert_eq!(counted(""), (0.0, 0.0));
}

#[test]
fn a_database_that_fails_costs_no_figures_and_one_that_hangs_none_twice() {
    let world = with_figures(427, Fate::Succeeds);
    let app = world.run(instance(world.clone()));
    let made = format!("zimage_images_total{{model=\"z-image-turbo\",space=\"{SPACE}\",outcome=\"made\"}}");
    generations(&world, &app, json!({"prompt": "x"}), 1);
    world.pass(Duration::from_secs(5));
    world.break_store();
    generations(&world, &app, json!({"prompt": "x"}), 2);
    world.pass(Duration::from_secs(5));
    let seen = figures(&world, &app);
    assert_eq!((seen["zimage_database_up"], seen.get(&made)), (0.0, None), "it says what it knows");
    world.mend_store();
    world.pass(Duration::from_secs(5));
    let seen = figures(&world, &app);
    assert_eq!(seen[&made], 3.0);
    assert!(seen["zimage_database_errors_total{kind=\"failed\"}"] > 0.0, "{seen:#?}");

    world.hang_database(true);
    generations(&world, &app, json!({"prompt": "x"}), 1);
    world.pass(Duration::from_secs(10));
    world.hang_database(false);
    world.pass(Duration::from_secs(60));
    let _ = figures(&world, &app);
    world.pass(Duration::from_secs(5));
    let seen = figures(&world, &app);
    assert!((3.0..=4.0).contains(&seen[&made]), "{seen:#?}");
    assert!(seen["zimage_database_errors_total{kind=\"timeout\"}"] > 0.0, "{seen:#?}");
}
