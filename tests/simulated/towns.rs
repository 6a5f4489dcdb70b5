//! One service, however many instances: several of them over one database, each with a clock of its own, killed at any
//! step.

use std::cell::RefCell;
use std::rc::Rc;

use super::pools::{SentRequest, check_spaces, for_each_seed, image, nature, runs, stir, usual, world_of};
use super::*;
use z_image_2api::dispatch::SelectionRule;
use z_image_2api::platform::sim::instance::Instance;
use z_image_2api::platform::sim::queue::{End, Health, Nature, QueueSpace};
use z_image_2api::platform::{Platform as _, Value as Sql};

const OTHER_KEY: &str = "sk-another-simulated-key";
const JOB_TIMEOUT: Duration = Duration::from_secs(300);

/// A service of several instances, and its Spaces.
struct Service {
    world: World,
    spaces: Vec<QueueSpace>,
    instances: RefCell<Vec<(Instance, Rc<App>)>>,
}

impl Service {
    fn new(seed: u64, natures: &[Nature], count: usize, variables: &[(&str, &str)]) -> Self {
        let (world, spaces) = world_of(seed, natures, &format!("{KEY},{OTHER_KEY}"), variables);
        let service = Self { world, spaces, instances: RefCell::default() };
        for _ in 0..count {
            service.begin(u64::MAX);
        }
        service
    }

    /// Begins an instance that dies with its step of that number.
    fn begin(&self, last: u64) -> (Instance, Rc<App>) {
        self.begin_by(last, SelectionRule::Forecast)
    }

    /// The same, with Spaces chosen by that rule.
    fn begin_by(&self, last: u64, rule: SelectionRule) -> (Instance, Rc<App>) {
        let instance = Instance::new(&self.world, last);
        instance.set_clock(self.world.random_ms(0, 2000));
        let host = instance.host();
        let loading = self.world.host();
        let mut settings = self.world.run(async move { z_image_2api::settings::Settings::load(&loading).await });
        settings.policy.rule = rule;
        let app = Rc::new(App::new(host, settings));
        self.instances.borrow_mut().push((instance.clone(), Rc::clone(&app)));
        (instance, app)
    }

    /// Asks that instance for images at that time.
    fn ask(&self, of: usize, at: Duration, key: &str, fields: &Value) -> Rc<RefCell<SentRequest>> {
        let sent = Rc::new(RefCell::new(SentRequest::default()));
        let (instance, app) = self.instances.borrow()[of].clone();
        let (world, there) = (self.world.clone(), Rc::clone(&sent));
        let mut asked = request(Method::POST, "/v1/images/generations", fields.to_string());
        asked.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        instance.host().spawn(Box::pin(async move {
            world.sleep(at).await;
            there.borrow_mut().began = world.now();
            let answer = ask_of(app, asked).await;
            let mut sent = there.borrow_mut();
            (sent.answer, sent.ended) = (Some(answer), Some(world.now()));
        }));
        sent
    }

    /// Body of `/v1/spaces`.
    fn status(&self, of: usize) -> Vec<Value> {
        let app = Rc::clone(&self.instances.borrow()[of].1);
        self.world.run(ask_of(app, request(Method::GET, "/v1/spaces", ""))).json()["data"].as_array().unwrap().clone()
    }

    /// Number of rows that a condition on a table finds.
    fn count(&self, condition: &str) -> i64 {
        let rows = self.world.database().query(&format!("SELECT COUNT(*) FROM {condition}"), &[]).unwrap();
        match rows[0][0] {
            Sql::Integer(count) => count,
            _ => panic!("a count is a number"),
        }
    }

    /// The time when the last of those was answered, all with 200.
    fn all_made(&self, asked: &[Rc<RefCell<SentRequest>>]) -> Duration {
        self.world.settle();
        let ends = asked.iter().map(|sent| {
            let sent = sent.borrow();
            assert_eq!(sent.answer.as_ref().map(|answer| answer.status.as_u16()), Some(200), "{sent:?}");
            sent.ended.unwrap()
        });
        ends.max().unwrap()
    }

    fn most_at_once(&self) -> usize {
        self.spaces.iter().map(QueueSpace::most_at_once).max().unwrap()
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn wide(speed: f64) -> Nature {
    Nature { at_once: 1000, room: 1000, ..usual(speed) }
}

#[test]
fn whoever_dies_when_the_invariants_hold() {
    for_each_seed(runs() / 2, |seed| {
        let dice = World::new(seed ^ 0x70_3a5);
        let bad = [0, 100, 300][usize::try_from(dice.random_below(3)).unwrap()];
        let natures: Vec<Nature> = (0..1 + dice.random_below(3)).map(|_| nature(&dice, bad)).collect();
        let count = usize::try_from(1 + dice.random_below(8)).unwrap();
        let service = Service::new(seed, &natures, 0, &[]);
        let mut may_die = false;
        for _ in 0..count {
            let last = if dice.random_below(2) == 0 { u64::MAX } else { 30 + dice.random_below(1500) };
            may_die |= last != u64::MAX;
            service.begin(last);
        }
        // An instance with a slot learns of what others were told within a second, and some; of what the dead were
        // sent, never.
        let on_the_way = Duration::from_secs(if may_die { 1_000 } else { 3 });
        service.spaces.iter().for_each(|space| space.set_on_the_way(on_the_way));
        if dice.random_below(3) == 0 {
            service.world.slow_store(Duration::from_millis(50));
        }
        for _ in 0..dice.random_below(4) {
            let space = usize::try_from(dice.random_below(natures.len() as u64)).unwrap();
            let health = [Health::Down, Health::Stuck, Health::Broken, Health::Asleep]
                [usize::try_from(dice.random_below(4)).unwrap()];
            let (space, world) = (service.spaces[space].clone(), service.world.clone());
            let (begins, lasts) = (dice.random_ms(0, 60_000), dice.random_ms(1_000, 90_000));
            service.world.spawn(Box::pin(async move {
                world.sleep(begins).await;
                space.turn(&world, health);
                world.sleep(lasts).await;
                space.turn(&world, Health::Up);
            }));
        }
        let asked: Vec<_> = (0..2 + dice.random_below(12))
            .map(|number| {
                let n = 1 + dice.random_below(4);
                let priority = ["low", "normal", "high"][usize::try_from(dice.random_below(3)).unwrap()];
                let fields = json!({
                    "prompt": format!("request {number}"), "n": n, "seed": number * 100, "size": "512x512",
                    "steps": 1 + dice.random_below(8), "response_format": "url", "priority": priority,
                });
                let of = usize::try_from(dice.random_below(count as u64)).unwrap();
                let key = if dice.random_below(3) == 0 { OTHER_KEY } else { KEY };
                (number, n, of, service.ask(of, dice.random_ms(0, 60_000), key, &fields))
            })
            .collect();
        service.world.settle();
        // Jobs that had joined in the moment when their instance died.
        service.world.pass(at(15));
        service.spaces.iter().for_each(|space| space.forget_orphans(&service.world));
        check_spaces(seed, &service.world, &service.spaces);
        for (number, n, of, sent) in &asked {
            let sent = sent.borrow();
            let Some(ended) = sent.ended else {
                assert!(service.instances.borrow()[*of].0.is_dead(), "seed {seed}: request {number} has no end");
                continue;
            };
            let took = ended - sent.began;
            assert!(took <= JOB_TIMEOUT + Duration::from_secs(60), "seed {seed}: request {number} took {took:?}");
            let seeds = sent.seeds();
            let answer = sent.answer.as_ref().unwrap();
            if answer.status == 200 {
                let errors = answer.json()["errors"].as_array().map_or(0, Vec::len);
                assert_eq!((seeds.len() + errors) as u64, *n, "seed {seed}: each image has an outcome");
            }
            for job in service.spaces.iter().flat_map(QueueSpace::jobs) {
                let is_its = job.prompt == format!("request {number}") && job.ended.get() && !job.cancelled.get();
                assert!(!is_its || job.end != End::Image || seeds.contains(&job.seed), "seed {seed}: {job:?} is lost");
            }
        }
        service.world.pass(at(15));
        let now = i64::try_from(service.world.unix_time().as_millis()).unwrap();
        assert_eq!(
            service.count(&format!("lease WHERE resource <> 'sweep' AND expires >= {now}")),
            0,
            "seed {seed}: a slot is stuck"
        );
        assert_eq!(service.count(&format!("waiter WHERE expires >= {now}")), 0, "seed {seed}: a job waits for ever");
        let log = service.world.log_lines().join("\n");
        assert!(!log.contains(KEY) && !log.contains(SECRET), "seed {seed}: a secret in the log");
    });
}

#[test]
fn a_spaces_slots_are_the_whole_services() {
    for (calls, instances) in [(64, 4), (200, 13), (256, 64)] {
        let service = Service::new(1, &[wide(1.0)], instances, &[("max_waiting", "1000")]);
        let asked: Vec<_> =
            (0..calls).map(|number| service.ask(number % instances, at(0), KEY, &image("x", 1, json!({})))).collect();
        let last = service.all_made(&asked);
        assert_eq!(service.most_at_once(), 2, "{calls} calls");
        // Two at a time, 1.05 s each and up to a fifth more or less, and a look every 0.4 s.
        let ideal = f64::from(u32::try_from(calls).unwrap()) / 2.0 * 1.4;
        assert!(last.as_secs_f64() < 1.5 * ideal, "{calls} calls over {instances} took {last:?}, ideally {ideal} s");
    }
}

#[test]
fn waiting_instances_ask_seldom_and_idle_ones_not_at_all() {
    let service = Service::new(2, &[wide(30.0)], 64, &[]);
    let asked: Vec<_> = (0..64).map(|of| service.ask(of, at(0), KEY, &image("x", 1, json!({})))).collect();
    service.world.pass(at(5));
    let before = service.world.database().statements();
    service.world.pass(at(10));
    let each_second = (service.world.database().statements() - before) / 10;
    assert!(each_second < 1000, "{each_second} statements a second");
    drop(asked);
    for (instance, _) in service.instances.borrow().iter() {
        instance.kill();
    }
    let idle = Service::new(2, &[wide(0.1)], 4, &[]);
    let made = idle.ask(0, at(0), KEY, &image("x", 1, json!({})));
    idle.all_made(&[made]);
    let before = idle.world.database().statements();
    idle.world.pass(at(600));
    assert_eq!(idle.world.database().statements(), before);
}

#[test]
fn an_instance_that_holds_a_slot_asks_nobody() {
    let service = Service::new(3, &[wide(0.01)], 1, &[("history", "off")]);
    let warm = service.ask(0, at(0), KEY, &image("x", 1, json!({})));
    let (world, app) = (service.world.clone(), Rc::clone(&service.instances.borrow()[0].1));
    let counts = world.clone();
    let (statements, took) = world.run(async move {
        while warm.borrow().ended.is_none() {
            counts.sleep(Duration::from_millis(5)).await;
        }
        let (before, begun) = (counts.database().statements(), counts.now());
        for _ in 0..100 {
            let asked = request(Method::POST, "/v1/images/generations", image("x", 1, json!({})).to_string());
            assert_eq!(ask_of(Rc::clone(&app), asked).await.status, 200);
        }
        (counts.database().statements() - before, (counts.now() - begun).as_secs())
    });
    // None for an image; beside them, a look a second, health every two, renewals every three.
    assert!(statements <= 2 * took + 4, "{statements} statements in {took} s");
}

#[test]
fn callers_take_turns_over_all_instances() {
    let service = Service::new(4, &[wide(4.0)], 6, &[]);
    let crowd: Vec<_> = (0..60).map(|number| service.ask(number % 6, at(0), KEY, &image("x", 1, json!({})))).collect();
    let few: Vec<_> = (0..3).map(|of| service.ask(of, at(3), OTHER_KEY, &image("y", 1, json!({})))).collect();
    service.all_made(&crowd);
    let last = service.all_made(&few);
    assert!(last < at(25), "three jobs beside sixty of another caller: {last:?}");
}

#[test]
fn urgent_jobs_come_first_over_all_instances() {
    let service = Service::new(5, &[wide(4.0)], 5, &[]);
    let low = json!({"priority": "low"});
    let crowd: Vec<_> =
        (0..20).map(|number| service.ask(number % 4, at(0), KEY, &image("x", 1, low.clone()))).collect();
    let urgent = service.ask(4, at(3), KEY, &image("y", 1, json!({"priority": "high"})));
    service.all_made(&crowd);
    let took = service.all_made(&[Rc::clone(&urgent)]) - urgent.borrow().began;
    assert!(took < at(12), "one that is urgent, before twenty that aren't: {took:?}");
}

#[test]
fn one_callers_crowd_refuses_no_other() {
    let service = Service::new(6, &[wide(20.0)], 4, &[("max_waiting", "10"), ("stagger_ms", "0")]);
    let crowd: Vec<_> = (0..10).map(|number| service.ask(number % 4, at(0), KEY, &image("x", 4, json!({})))).collect();
    let other: Vec<_> = (0..4).map(|of| service.ask(of, at(2), OTHER_KEY, &image("y", 1, json!({})))).collect();
    service.all_made(&other);
    let refused = crowd.iter().filter(|sent| sent.borrow().answer.as_ref().unwrap().status == 503).count();
    assert!((5..=8).contains(&refused), "{refused} of ten are too many");
}

#[test]
fn one_models_crowd_refuses_no_other_model() {
    let service = Service::new(7, &[wide(20.0), wide(1.0)], 3, &[("max_waiting", "10")]);
    let pools = format!("a={},b={}", service.spaces[0].origin(), service.spaces[1].origin());
    service.world.set_variable("spaces", &pools);
    service.instances.borrow_mut().clear();
    for _ in 0..3 {
        service.begin(u64::MAX);
    }
    for number in 0..40 {
        service.ask(number % 3, at(0), KEY, &image("x", 1, json!({"model": "a"})));
    }
    let other = service.ask(0, at(2), KEY, &image("y", 1, json!({"model": "b"})));
    let took = service.all_made(&[Rc::clone(&other)]) - other.borrow().began;
    assert!(took < at(5), "the other model's Space is idle: {took:?}");
}

#[test]
fn failures_of_many_instances_open_the_breaker() {
    let service = Service::new(8, &[usual(1.0)], 10, &[]);
    service.spaces[0].fix_end(End::Crash);
    for of in 0..4_u32 {
        let sent = service.ask(usize::try_from(of).unwrap(), at(0), KEY, &image("x", 1, json!({})));
        service.world.pass(at(3));
        assert_eq!(sent.borrow().answer.as_ref().unwrap().status, 422);
    }
    assert_eq!(service.status(9)[0]["state"], "cooling_down", "{:?}", service.status(9));
    assert_eq!(service.status(9)[0]["failures"], 4);
}

#[test]
fn one_job_tries_a_space_over_all_instances() {
    let service = Service::new(9, &[usual(1.0), usual(1.0)], 8, &[]);
    service.spaces[0].fix_end(End::Crash);
    service.spaces[1].fix_end(End::Image);
    for of in 0..8 {
        service.ask(of, at(u64::try_from(of).unwrap() * 2), KEY, &image("x", 1, json!({})));
    }
    service.world.pass(at(30));
    let before = service.spaces[0].jobs().len();
    // Its breaker is due to be tried about now.
    for round in 0..5 {
        for of in 0..8 {
            service.ask(of, at(round * 3), KEY, &image("x", 1, json!({})));
        }
    }
    service.world.settle();
    let jobs = service.spaces[0].jobs();
    let mut tries: Vec<(Duration, Duration)> =
        jobs.iter().skip(before).map(|job| (job.joined, job.over.get().unwrap())).collect();
    tries.sort_unstable();
    assert!(tries.windows(2).all(|pair| pair[0].1 <= pair[1].0), "one at a time: {tries:?}");
}

#[test]
fn a_request_has_one_deadline_for_waits_and_tries() {
    let service = Service::new(10, &[usual(1.0), usual(1.0), usual(1.0)], 1, &[("job_timeout", "60")]);
    for space in &service.spaces {
        space.fix_end(End::Stall);
    }
    let sent = service.ask(0, at(0), KEY, &image("x", 1, json!({})));
    service.world.settle();
    let sent = sent.borrow();
    let took = sent.ended.unwrap() - sent.began;
    assert!(took >= at(59) && took <= at(66), "{took:?}");
    let answer = sent.answer.as_ref().unwrap();
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("60 s") && message.contains("job_timeout") && message.contains("tries"), "{message}");
}

#[test]
fn generations_go_on_whatever_the_database_does() {
    for trouble in ["none", "hangs", "fails", "comes back"] {
        let service = Service::new(11, &[wide(4.0)], 2, &[]);
        let warm: Vec<_> = (0..2).map(|of| service.ask(of, at(0), KEY, &image("x", 1, json!({})))).collect();
        service.all_made(&warm);
        match trouble {
            "hangs" | "comes back" => service.world.hang_database(true),
            "fails" => service.world.break_store(),
            _ => {}
        }
        let asked: Vec<_> = (0..10)
            .map(|number| service.ask(number % 2, at(5 + 10 * (number as u64)), KEY, &image("x", 1, json!({}))))
            .collect();
        if trouble == "comes back" {
            service.world.pass(at(50));
            service.world.hang_database(false);
        }
        service.all_made(&asked);
        let took: Vec<f64> =
            asked.iter().map(|sent| (sent.borrow().ended.unwrap() - sent.borrow().began).as_secs_f64()).collect();
        let mut sorted = took.clone();
        sorted.sort_by(f64::total_cmp);
        // 4.2 s of work, a fifth more or less, and the calls.
        assert!(sorted[5] < 1.1 * 5.9, "{trouble}: {took:?}");
        assert!(sorted[9] < 9.0, "{trouble}: {took:?}");
        let sent = service.world.log_lines().iter().filter(|line| line.contains("database")).count();
        let expected = if trouble == "none" { 0..=0 } else { 1..=2 };
        assert!(expected.contains(&sent), "{trouble}: each instance logs it once: {:?}", service.world.log_lines());
    }
}

#[test]
fn jobs_of_an_instance_that_has_died_hold_nobody_back_for_long() {
    let last = |leaves_rows: bool| {
        let service = Service::new(12, &[wide(0.5)], 2, &[]);
        for _ in 0..5 {
            service.ask(0, at(0), KEY, &image("dead", 1, json!({})));
        }
        service.world.pass(Duration::from_millis(700));
        assert!(service.count("waiter") > 0, "jobs wait in the database");
        service.instances.borrow()[0].0.kill();
        // Its slots come back at once, and its waiting jobs stay.
        service.world.database().query("UPDATE lease SET holder = '', expires = 0", &[]).unwrap();
        if !leaves_rows {
            service.world.database().query("DELETE FROM waiter", &[]).unwrap();
        }
        let begun = service.world.now();
        let asked: Vec<_> = (0..16).map(|_| service.ask(1, at(0), OTHER_KEY, &image("x", 1, json!({})))).collect();
        service.all_made(&asked) - begun
    };
    let (with, without) = (last(true), last(false));
    assert!(with < without + Duration::from_millis(1500), "{with:?} behind dead jobs, {without:?} without");
}

/// Made by `cargo xtask simulate`: writes how the choice by forecast does against others on the same traces.
/// Number of instances that the measurement has.
const INSTANCES: u64 = 4;

#[test]
#[ignore = "a measurement"]
fn comparison() {
    let towns = 300;
    let mut rows = Vec::new();
    for (name, rule) in [
        ("forecast", SelectionRule::Forecast),
        ("random", SelectionRule::Random),
        ("round robin", SelectionRule::RoundRobin),
    ] {
        let (mut took, mut lost, mut jobs) = (Vec::new(), 0, 0);
        for seed in 0..towns {
            let dice = World::new(seed ^ 0xc0de);
            let natures: Vec<Nature> =
                [1.0, 2.0, 4.0, 8.0].map(|speed| Nature { bad_per_mille: 30, ..usual(speed) }).to_vec();
            let service = Service::new(seed, &natures, 0, &[]);
            (0..INSTANCES).for_each(|_| drop(service.begin_by(u64::MAX, rule)));
            stir(&service.world, &service.spaces, seed, false);
            let asked: Vec<_> = (0..40)
                .map(|number| {
                    let n = 1 + u32::try_from(dice.random_below(2)).unwrap();
                    let fields = image(&format!("request {number}"), n, json!({"seed": number * 100}));
                    let of = usize::try_from(dice.random_below(INSTANCES)).unwrap();
                    (n, service.ask(of, dice.random_ms(0, 300_000), KEY, &fields))
                })
                .collect();
            service.world.settle();
            for (n, sent) in asked {
                let sent = sent.borrow();
                let made = sent.seeds().len();
                lost += usize::try_from(n).unwrap() - made;
                if made > 0 {
                    took.push((sent.ended.unwrap() - sent.began).as_secs_f64());
                }
            }
            jobs += service.spaces.iter().map(|space| space.jobs().len()).sum::<usize>();
        }
        took.sort_by(f64::total_cmp);
        let quantile = |per_cent: usize| took[per_cent * (took.len() - 1) / 100];
        rows.push(format!(
            "| {name} | {} | {:.1} | {:.1} | {:.1} | {lost} | {jobs} |",
            took.len(),
            quantile(50),
            quantile(90),
            quantile(99)
        ));
    }
    println!(
        "| choice | requests answered | p50 s | p90 s | p99 s | images lost | jobs |\n\
         |---|---|---|---|---|---|---|\n{}",
        rows.join("\n")
    );
}
