//! Workers of a request: they run by themselves, share a Space's work among slots, and know when to stop.

use std::collections::BTreeMap;

use futures::StreamExt as _;

use super::pools::{Town, image, usual};
use super::*;
use z_image_2api::dispatch::SelectionRule;
use z_image_2api::platform::Platform as _;
use z_image_2api::platform::sim::queue::{End, Nature, QueueSpace};

/// Streams an answer of `app`: its body, once its head is there.
fn opened(town: &Town, fields: &Value) -> Body {
    let (app, fields) = (Rc::clone(&town.app), fields.to_string());
    town.world.run(async move {
        let answer = app.handle(request(Method::POST, "/v1/images/generations", fields)).await;
        assert_eq!(answer.status(), 200);
        match answer.into_body() {
            Content::Stream(body) => body,
            other => panic!("no stream: {other:?}"),
        }
    })
}

/// Reads `body` for so long, and lets it lie then.
fn read_for(world: &World, time: Duration, mut body: Body) -> Body {
    let there = world.clone();
    world.run(async move {
        let until = there.now() + time;
        while there.now() < until {
            assert!(body.next().await.is_some_and(|piece| piece.is_ok()));
        }
        body
    })
}

fn jobs(spaces: &[QueueSpace]) -> usize {
    spaces.iter().map(|space| space.jobs().len()).sum()
}

fn seconds(time: u64) -> Duration {
    Duration::from_secs(time)
}

#[test]
fn a_stream_that_nobody_reads_holds_no_slot_beyond_its_jobs() {
    let town = Town::new(70, &[usual(20.0)], &[], SelectionRule::Forecast);
    let unread: Vec<Body> =
        (0..2).map(|_| opened(&town, &image("unread", 1, json!({"stream": true, "progress": true})))).collect();
    let third = town.ask(Duration::ZERO, &image("third", 1, json!({})), None);
    town.world.pass(seconds(120));
    let ended = third.borrow().ended;
    assert!(ended.is_some(), "the third call waits for two that nobody reads");
    assert_eq!(third.borrow().seeds(), [0]);
    assert_eq!(town.spaces[0].jobs().iter().filter(|job| job.ended.get()).count(), 3);
    drop(unread);
    town.world.settle();
}

#[test]
fn a_client_that_takes_nothing_for_a_minute_is_gone() {
    let town = Town::new(71, &[usual(600.0)], &[("job_timeout", "3000")], SelectionRule::Forecast);
    let fields = image("unread", 1, json!({"stream": true, "progress": true}));
    let read = opened(&town, &fields);
    let read = read_for(&town.world, seconds(115), read);
    let stopped = town.world.now();
    assert!(town.spaces[0].jobs().iter().all(|job| !job.cancelled.get()), "who takes heartbeats is there");
    town.world.pass(seconds(45));
    assert!(town.spaces[0].jobs().iter().all(|job| !job.cancelled.get()), "for a minute, a client may be busy");
    town.world.pass(seconds(40));
    let jobs = town.spaces[0].jobs();
    assert_eq!(jobs.len(), 1);
    assert!(jobs[0].cancelled.get());
    let after = jobs[0].over.get().unwrap() - stopped;
    assert!((seconds(45)..seconds(80)).contains(&after), "{after:?}");
    let told = town.world.log_lines().into_iter().filter(|line| line.contains("took nothing")).collect::<Vec<_>>();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("req_"), "{told:?}");
    // What it finds when it comes back is no whole answer.
    let rest: Vec<_> = town.world.run(read.collect());
    assert!(matches!(rest.as_slice(), [.., Err(TransportError::Broken(_))]), "{rest:?}");
    town.world.settle();
}

#[test]
fn every_stream_that_is_left_takes_its_job_along() {
    const STREAMS: u64 = 100;
    let (world, space) = world(78, Fate::NeverEnds);
    world.set_variable("catalog", &format!("[models.z]\nspaces = [{{ space = \"{SPACE}\", slots = {STREAMS} }}]\n"));
    world.set_variable("spaces", "");
    let app = world.run(instance(world.clone()));
    for number in 0..STREAMS {
        let (app, there) = (Rc::clone(&app), world.clone());
        world.spawn(Box::pin(async move {
            let fields = json!({"prompt": format!("{number}"), "stream": true, "progress": true}).to_string();
            let asked = ask_of(app, request(Method::POST, "/v1/images/generations", fields));
            let leaves = there.sleep(Duration::from_millis(20_000 + 97 * number));
            futures::future::select(Box::pin(asked), leaves).await;
        }));
    }
    world.settle();
    let jobs = space.jobs();
    assert_eq!(jobs.len() as u64, STREAMS);
    assert!(jobs.iter().all(|job| job.cancelled_while_open.get() && !job.streaming.get()));
    assert!(world.now() < seconds(120), "{:?}", world.now());
}

#[test]
fn a_gallerys_images_are_made_at_all_spaces_at_once() {
    // A job takes a minute and makes one image.
    let slow = Nature { at_once: 2, ..usual(57.0) };
    let town = Town::new(72, &[slow, slow], &[("job_timeout", "900")], SelectionRule::Forecast);
    for space in &town.spaces {
        space.make_several(1);
    }
    let sent = town.ask(Duration::ZERO, &image("x", 4, json!({})), None);
    town.world.settle();
    let sent = sent.borrow();
    assert_eq!(sent.seeds(), [0, 1, 2, 3]);
    let took = sent.ended.unwrap() - sent.began;
    assert!(took < seconds(100), "{took:?}, and a job takes a minute");
    assert_eq!(jobs(&town.spaces), 4);
}

#[test]
fn the_number_of_images_that_a_job_makes_is_learnt_by_all_instances() {
    let mut town = Town::new(73, &[Nature { at_once: 2, ..usual(10.0) }], &[], SelectionRule::Forecast);
    town.spaces[0].make_several(4);
    let first = town.ask(Duration::ZERO, &image("first", 6, json!({})), None);
    town.world.settle();
    assert_eq!(first.borrow().seeds().len(), 6);
    let made = jobs(&town.spaces);
    assert!(made <= 3, "the first answer shows that two jobs do: {made}");
    town.renew();
    let second = town.ask(Duration::ZERO, &image("second", 8, json!({})), None);
    town.world.settle();
    assert_eq!(second.borrow().seeds().len(), 8);
    assert_eq!(jobs(&town.spaces), made + 2, "what one instance has learnt the next one knows");
    // It makes fewer from now on: the rest is shared again.
    town.spaces[0].make_several(1);
    let third = town.ask(Duration::ZERO, &image("third", 4, json!({})), None);
    town.world.settle();
    assert_eq!(third.borrow().seeds().len(), 4);
    assert_eq!(jobs(&town.spaces), made + 2 + 4);
}

#[test]
fn a_gallery_space_that_is_healthy_is_not_called_stalled() {
    let natures = [usual(40.0), Nature { at_once: 2, ..usual(400.0) }];
    let town = Town::new(74, &natures, &[("job_timeout", "3000")], SelectionRule::Forecast);
    town.spaces[0].make_several(1);
    // A stranger comes during each job, so that the next one waits for some seconds.
    for number in 0..12 {
        let (world, space) = (town.world.clone(), town.spaces[0].clone());
        town.world.spawn(Box::pin(async move {
            world.sleep(seconds(20 + 52 * number)).await;
            space.stranger(&world, seconds(12));
        }));
    }
    let sent = town.ask(Duration::ZERO, &image("x", 6, json!({})), None);
    town.world.settle();
    assert_eq!(sent.borrow().seeds().len(), 6);
    assert!(town.spaces[0].jobs().len() >= 3, "its jobs follow each other for longer than one may wait");
    let cancelled = town.spaces[0].jobs().iter().filter(|job| job.cancelled.get()).count();
    assert_eq!(cancelled, 0, "a job is taken from a Space that gets on");
    assert!(town.status().iter().all(|space| space["failures"] == 0), "{:?}", town.status());
}

/// Jobs of 20 calls for `n` images at three Spaces that cut every stream, with a pause between the calls, or at once:
/// of all, and of the one with the most.
fn cut(n: u32, pause: Option<Duration>) -> (usize, usize) {
    let town = Town::new(75, &[usual(2.0), usual(2.0), usual(2.0)], &[], SelectionRule::Forecast);
    for space in &town.spaces {
        space.fix_end(End::Cut);
    }
    let mut asked = Vec::new();
    for number in 0..20 {
        asked.push(town.ask(Duration::ZERO, &image(&format!("call {number}"), n, json!({})), None));
        if let Some(pause) = pause {
            town.world.settle();
            town.world.pass(pause);
        }
    }
    town.world.settle();
    for sent in &asked {
        assert_eq!(sent.borrow().answer.as_ref().unwrap().error().2, "space_connection_lost");
    }
    let open = town.status().iter().filter(|space| space["breaker"]["state"] != "closed").count();
    assert_eq!(open, 3, "{:?}", town.status());
    let mut of_each: BTreeMap<String, usize> = BTreeMap::new();
    for job in town.spaces.iter().flat_map(QueueSpace::jobs) {
        *of_each.entry(job.prompt.clone()).or_default() += 1;
    }
    (jobs(&town.spaces), of_each.values().copied().max().unwrap())
}

#[test]
fn spaces_that_cut_every_stream_get_few_jobs() {
    let cases = [
        (1, Some(seconds(120)), 72, 6),
        (1, Some(Duration::ZERO), 72, 6),
        (1, None, 72, 6),
        (4, Some(seconds(120)), 80, 12),
    ];
    for (n, pause, most_of_all, most) in cases {
        let (of_all, of_one) = cut(n, pause);
        println!("20 calls for {n}, {pause:?} apart: {of_all} jobs, {of_one} of a call at most");
        assert!(of_one <= most && of_all <= most_of_all, "{n}, {pause:?}: {of_all} jobs, {of_one} of a call");
    }
}

#[test]
fn a_space_that_has_too_much_to_do_is_not_asked_what_it_is() {
    let (world, _) = world(76, Fate::TooMany);
    let refused = generate(&world, json!({"prompt": "x"}));
    assert_eq!(refused.error().0, 503, "{refused:?}");
    let asked = world.asked();
    let count = |path: &str| asked.iter().filter(|asked| *asked == path).count();
    assert_eq!(count("/gradio_api/queue/join"), 1);
    assert_eq!((count("/config"), count("/gradio_api/info")), (1, 1), "before the job, and not for the answer");
}

#[test]
fn a_new_instance_forecasts_by_a_spaces_own_steps() {
    // Of two Spaces of the same speed, one takes ten times the steps where nobody says otherwise.
    let fields = json!({"prompt": "x", "size": "512x512", "response_format": "url"});
    for seed in 0..12 {
        let mut town = Town::new(seed, &[usual(10.0), usual(10.0)], &[], SelectionRule::Forecast);
        town.spaces[0].set_usual_steps(20);
        town.spaces[1].set_usual_steps(2);
        for _ in 0..2 {
            town.ask(Duration::ZERO, &fields, None);
            town.world.settle();
            // Of a megapixel in eight steps, at ten seconds for each.
            let each = town.status()[1]["latency"]["ewma_seconds"].as_f64().unwrap();
            assert!((60.0..100.0).contains(&each), "seed {seed}: {each}");
            town.renew();
        }
        assert_eq!(town.spaces[0].jobs().len(), 0, "seed {seed}: the slow one is tried");
    }
}
