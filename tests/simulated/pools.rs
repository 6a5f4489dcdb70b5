//! Many Spaces as one: whole runs of the component against Spaces that queue, fail, stall, cut, lie, sleep, fill up and
//! come back, with clients that leave.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt as _;

use super::*;
use z_image_2api::dispatch::SelectionRule;
use z_image_2api::platform::Platform as _;
use z_image_2api::platform::sim::queue::{End, Health, Nature, QueueSpace};
use z_image_2api::settings::Settings;

/// Number of runs of each kind.
pub(super) fn runs() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "a test's own switch")]
    std::env::var("SIMULATED_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(60)
}

/// Runs a world of each seed, on all processors.
pub(super) fn for_each_seed(runs: u64, live: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    let worker = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < runs) {
            live(seed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(worker);
        }
    });
}

/// The slots of a Space where nobody says otherwise.
const SLOTS: usize = 2;
const JOB_TIMEOUT: Duration = Duration::from_secs(300);

/// A world with Spaces of those natures, all of them one model's, and those API keys and variables.
pub(super) fn world_of(
    seed: u64,
    natures: &[Nature],
    keys: &str,
    variables: &[(&str, &str)],
) -> (World, Vec<QueueSpace>) {
    let world = World::new(seed);
    let spaces: Vec<QueueSpace> = (0..)
        .zip(natures)
        .map(|(number, nature)| QueueSpace::new(&format!("http://127.0.0.{}:7860", number + 1), *nature))
        .collect();
    for space in &spaces {
        world.put_server(space.origin(), Rc::new(space.clone()));
    }
    let pool: Vec<String> = spaces.iter().map(|space| format!("z={}", space.origin())).collect();
    world.set_variable("api_keys", keys);
    world.set_variable("spaces", &pool.join(","));
    world.set_variable("link_secret", SECRET);
    for (name, value) in variables {
        world.set_variable(name, value);
    }
    (world, spaces)
}

/// A component and its Spaces.
pub(super) struct Town {
    pub(super) world: World,
    pub(super) app: Rc<App>,
    pub(super) spaces: Vec<QueueSpace>,
}

impl Town {
    pub(super) fn new(seed: u64, natures: &[Nature], variables: &[(&str, &str)], rule: SelectionRule) -> Self {
        let (world, spaces) = world_of(seed, natures, KEY, variables);
        let host = world.host();
        let app = world.run(async move {
            let mut settings = Settings::load(&host).await;
            settings.policy.rule = rule;
            Rc::new(App::new(host, settings))
        });
        Self { world, app, spaces }
    }

    /// Asks for images at that time, and leaves after `patience`. Returns what is answered, and when.
    pub(super) fn ask(&self, at: Duration, fields: &Value, patience: Option<Duration>) -> Rc<RefCell<SentRequest>> {
        let sent = Rc::new(RefCell::new(SentRequest::default()));
        let (world, app, there) = (self.world.clone(), Rc::clone(&self.app), Rc::clone(&sent));
        let asked = request(Method::POST, "/v1/images/generations", fields.to_string());
        self.world.spawn(Box::pin(async move {
            world.sleep(at).await;
            there.borrow_mut().began = world.now();
            let answer = ask_of(app, asked);
            let leaves = world.sleep(patience.unwrap_or(Duration::from_secs(1_000_000)));
            let answer = futures::select_biased! {
                answer = answer.boxed_local().fuse() => Some(answer),
                () = leaves.fuse() => None,
            };
            let mut sent = there.borrow_mut();
            (sent.answer, sent.ended) = (answer, Some(world.now()));
        }));
        sent
    }
}

/// Outcome of a request.
#[derive(Debug, Default)]
pub(super) struct SentRequest {
    pub(super) began: Duration,
    pub(super) ended: Option<Duration>,
    pub(super) answer: Option<Reply>,
}

impl SentRequest {
    /// The seeds of the images that were answered.
    pub(super) fn seeds(&self) -> Vec<u64> {
        let Some(answer) = self.answer.as_ref().filter(|answer| answer.status == 200) else { return Vec::new() };
        answer.json()["data"].as_array().unwrap().iter().map(|item| item["seed"].as_u64().unwrap()).collect()
    }
}

pub(super) fn nature(world: &World, bad_per_mille: u64) -> Nature {
    Nature {
        speed: f64::from(u32::try_from(world.random_below(100) + 5).unwrap()) / 10.0,
        at_once: 1 + usize::from(world.random_below(3) == 0),
        room: if world.random_below(4) == 0 { 2 } else { 50 },
        bad_per_mille,
    }
}

/// Changes the Spaces' health now and then, for ten minutes, and sends strangers there. What happens when is drawn
/// beforehand, from `seed`, so that it is the same whatever the component does. `keeps_one` leaves one of them alone at
/// any time.
pub(super) fn stir(world: &World, spaces: &[QueueSpace], seed: u64, keeps_one: bool) {
    let dice = World::new(seed ^ 0x0d1ce);
    let mut left = 600_u64;
    let mut plan = Vec::new();
    while left > 0 {
        let pause = 3 + dice.random_below(40);
        left = left.saturating_sub(pause);
        let space = usize::try_from(dice.random_below(spaces.len() as u64)).unwrap();
        let health = match dice.random_below(9) {
            0..4 => Health::Up,
            4 | 5 => Health::Down,
            6 => Health::Asleep,
            7 => Health::Stuck,
            _ => Health::Broken,
        };
        let stranger = (dice.random_below(3) == 0).then(|| dice.random_ms(1000, 30_000));
        plan.push((Duration::from_secs(pause), space, health, stranger));
    }
    let (world, spaces) = (world.clone(), spaces.to_vec());
    let there = world.clone();
    there.spawn(Box::pin(async move {
        for (pause, space, health, stranger) in plan {
            world.sleep(pause).await;
            let space = &spaces[space];
            let others_live =
                spaces.iter().any(|other| other.origin() != space.origin() && other.health() == Health::Up);
            if health == Health::Up || !keeps_one || others_live {
                space.turn(&world, health);
            }
            if let Some(takes) = stranger {
                space.stranger(&world, takes);
            }
        }
        for space in &spaces {
            space.turn(&world, Health::Up);
        }
    }));
}

/// Checks what must hold of every Space, whatever happens.
pub(super) fn check_spaces(seed: u64, world: &World, spaces: &[QueueSpace]) {
    for space in spaces {
        assert!(
            space.most_at_once() <= SLOTS,
            "seed {seed}: {} jobs at once at {}",
            space.most_at_once(),
            space.origin()
        );
        assert_eq!(space.came_too_early(), 0, "seed {seed}: jobs for a Space that has said that it has no quota");
        let mut by_request: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
        for job in space.jobs() {
            let is_over = job.ended.get() || job.cancelled.get() || job.over.get().is_some();
            assert!(is_over, "seed {seed}: {job:?} is left behind");
            assert!(!job.streaming.get(), "seed {seed}: {job:?} is still listened to");
            by_request.entry(job.prompt.clone()).or_default().push(job.joined);
        }
        for (prompt, mut joined) in by_request {
            joined.sort_unstable();
            let least = joined.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(Duration::MAX);
            // Calls take up to 50 ms to get there.
            assert!(
                least >= Duration::from_millis(1450),
                "seed {seed}: jobs of {prompt} follow each other after {least:?}"
            );
        }
    }
    let origins: BTreeSet<&str> = spaces.iter().map(QueueSpace::origin).collect();
    assert!(world.contacted().iter().all(|origin| origins.contains(&**origin)), "seed {seed}: led elsewhere");
}

#[test]
fn whatever_the_spaces_do_the_invariants_hold() {
    for_each_seed(runs(), |seed| {
        let world = World::new(seed ^ 0x5eed);
        let bad = [0, 100, 500][usize::try_from(world.random_below(3)).unwrap()];
        let natures: Vec<Nature> = (0..1 + world.random_below(4)).map(|_| nature(&world, bad)).collect();
        let town = Town::new(seed, &natures, &[], SelectionRule::Forecast);
        stir(&town.world, &town.spaces, seed, false);
        let mut asked = Vec::new();
        for number in 0..1 + world.random_below(6) {
            let n = 1 + world.random_below(4);
            let priority = ["low", "normal", "high"][usize::try_from(world.random_below(3)).unwrap()];
            let fields = json!({
                "prompt": format!("request {number}"), "n": n, "seed": number * 100, "size": "512x512",
                "steps": 1 + world.random_below(8), "response_format": "url", "priority": priority,
            });
            let patience = (world.random_below(4) == 0).then(|| world.random_ms(1, 60_000));
            asked.push((number, n, patience, town.ask(world.random_ms(0, 60_000), &fields, patience)));
        }
        town.world.settle();
        // Jobs that a Space has joined, and couldn't be asked to cancel.
        town.world.pass(Duration::from_secs(10));
        town.spaces.iter().for_each(|space| space.forget_orphans(&town.world));
        check_spaces(seed, &town.world, &town.spaces);
        for (number, n, patience, sent) in &asked {
            let sent = sent.borrow();
            let took = sent.ended.expect("every request ends") - sent.began;
            assert!(took <= JOB_TIMEOUT + Duration::from_secs(60), "seed {seed}: request {number} took {took:?}");
            let Some(answer) = &sent.answer else {
                assert!(patience.is_some());
                continue;
            };
            let seeds: BTreeSet<u64> = sent.seeds().into_iter().collect();
            assert_eq!(seeds.len(), sent.seeds().len(), "seed {seed}: an image is answered twice");
            if answer.status == 200 {
                let errors = answer.json()["errors"].as_array().map_or(0, Vec::len);
                assert_eq!((seeds.len() + errors) as u64, *n, "seed {seed}: each image has an outcome");
            } else {
                answer.error();
            }
            for job in town.spaces.iter().flat_map(QueueSpace::jobs) {
                let is_its = job.prompt == format!("request {number}") && job.ended.get() && !job.cancelled.get();
                let is_made = is_its && matches!(job.end, End::Image | End::Lie | End::Gone);
                assert!(!is_made || seeds.contains(&job.seed), "seed {seed}: {job:?} is lost: {answer:?}");
            }
        }
        let log = town.world.log_lines().join("\n");
        assert!(!log.contains(KEY) && !log.contains(SECRET), "seed {seed}: a secret in the log");
    });
}

#[test]
fn while_one_space_lives_every_request_ends_well() {
    let made = AtomicU64::new(0);
    for_each_seed(runs(), |seed| {
        let world = World::new(seed ^ 0xa11ce);
        let natures: Vec<Nature> =
            (0..2 + world.random_below(3)).map(|_| Nature { room: 50, ..nature(&world, 0) }).collect();
        let town = Town::new(seed, &natures, &[("job_timeout", "900")], SelectionRule::Forecast);
        stir(&town.world, &town.spaces, seed, true);
        let asked: Vec<_> = (0..1 + world.random_below(5))
            .map(|number| {
                let fields = json!({
                    "prompt": format!("request {number}"), "n": 1 + world.random_below(3), "seed": number * 100,
                    "size": "512x512", "steps": 1 + world.random_below(8),
                });
                (fields.clone(), town.ask(world.random_ms(0, 60_000), &fields, None))
            })
            .collect();
        town.world.settle();
        check_spaces(seed, &town.world, &town.spaces);
        for (fields, sent) in asked {
            let sent = sent.borrow();
            let got = u64::try_from(sent.seeds().len()).unwrap();
            assert_eq!(Some(got), fields["n"].as_u64(), "seed {seed}: {fields}: {sent:?}");
            made.fetch_add(got, Ordering::Relaxed);
        }
    });
    assert!(made.into_inner() > runs());
}

/// A Space of the usual kind, that takes so many seconds for an image of a unit.
pub(super) fn usual(speed: f64) -> Nature {
    Nature { speed, at_once: 1, room: 50, bad_per_mille: 0 }
}

/// An image of about a unit of work.
pub(super) fn image(prompt: &str, n: u32, more: Value) -> Value {
    let mut fields =
        json!({"prompt": prompt, "n": n, "seed": 0, "size": "512x512", "steps": 4, "response_format": "url"});
    fields.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    fields
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_requests_jobs_at_a_space_begin_one_stagger_after_the_other_and_no_later() {
    let town = Town::new(
        1,
        &[Nature { at_once: 4, ..usual(60.0) }],
        &[("stagger_ms", "700"), ("job_timeout", "3000")],
        SelectionRule::Forecast,
    );
    town.ask(at(0), &image("x", 2, json!({})), None);
    town.world.settle();
    let mut joined: Vec<Duration> = town.spaces[0].jobs().iter().map(|job| job.joined).collect();
    joined.sort_unstable();
    let apart = (joined[1] - joined[0]).as_millis();
    assert!((650..=760).contains(&apart), "{apart} ms");
}

#[test]
fn a_rejected_prompt_is_told_at_once_and_tried_nowhere_else() {
    let town = Town::new(2, &[usual(2.0), usual(2.0)], &[], SelectionRule::Forecast);
    for space in &town.spaces {
        space.fix_end(End::Rejected);
    }
    let sent = town.ask(at(0), &image("x", 6, json!({})), None);
    town.world.settle();
    let sent = sent.borrow();
    assert_eq!(sent.answer.as_ref().unwrap().error().2, "rejected_by_space");
    let jobs: usize = town.spaces.iter().map(|space| space.jobs().len()).sum();
    assert!(jobs <= 4, "the images that hadn't begun by then are not tried: {jobs}");
    let breakers = town.status();
    assert!(
        breakers.iter().all(|space| space["breaker"]["state"] == "closed" && space["failures"] == 0),
        "{breakers:?}"
    );
}

impl Town {
    /// Body of `/v1/spaces`.
    pub(super) fn status(&self) -> Vec<Value> {
        let asked = ask_of(Rc::clone(&self.app), request(Method::GET, "/v1/spaces", ""));
        self.world.run(asked).json()["data"].as_array().unwrap().clone()
    }

    /// Details of the first model.
    fn details(&self) -> Value {
        let get =
            |path: &str| self.world.run(ask_of(Rc::clone(&self.app), request(Method::GET, path, ""))).json().clone();
        let models = get("/v1/models");
        get(&format!("/v1/models/{}", models["data"][0]["id"].as_str().unwrap()))
    }

    /// Another instance of the same component.
    pub(super) fn renew(&mut self) {
        let host = self.world.host();
        self.app = Rc::new(self.world.run(App::load(host)));
    }
}

#[test]
fn what_a_space_fails_is_made_by_another() {
    for end in [End::Crash, End::Cut, End::Stall, End::Lie, End::Gone, End::Quota(60)] {
        let town = Town::new(5, &[usual(1.0), usual(1.0)], &[], SelectionRule::Forecast);
        town.spaces[0].fix_end(end);
        town.spaces[1].fix_end(End::Image);
        let asked: Vec<_> = (0..4)
            .map(|number| town.ask(at(number * 90), &image("x", 1, json!({"response_format": "b64_json"})), None))
            .collect();
        town.world.settle();
        assert!(asked.iter().all(|sent| sent.borrow().seeds() == [0]), "{end:?}");
        let failures: Vec<u64> = town.status().iter().map(|space| space["failures"].as_u64().unwrap()).collect();
        assert!(failures[0] > 0 && failures[1] == 0, "{end:?}: {failures:?}");
    }
}

#[test]
fn what_crashes_everywhere_is_not_tried_for_ever() {
    let town = Town::new(4, &[usual(1.0), usual(1.0), usual(1.0)], &[], SelectionRule::Forecast);
    for space in &town.spaces {
        space.fix_end(End::Crash);
    }
    let sent = town.ask(at(0), &image("x", 1, json!({})), None);
    town.world.settle();
    assert_eq!(sent.borrow().answer.as_ref().unwrap().error().2, "space_error");
    assert_eq!(town.spaces.iter().map(|space| space.jobs().len()).sum::<usize>(), 2);
}

#[test]
fn a_job_leaves_a_queue_that_is_far_too_long() {
    for seed in 0..20 {
        let town = Town::new(seed, &[usual(5.0), usual(5.0)], &[], SelectionRule::Forecast);
        for _ in 0..20 {
            town.spaces[0].stranger(&town.world, at(30));
        }
        let sent = town.ask(at(1), &image("x", 2, json!({})), None);
        town.world.settle();
        let sent = sent.borrow();
        assert_eq!(sent.seeds(), [0, 1], "{sent:?}");
        assert!(sent.ended.unwrap() < at(40), "seed {seed}: {:?}", sent.ended);
    }
}

#[test]
fn who_waits_goes_by_priority_and_low_does_not_starve() {
    let town = Town::new(5, &[usual(20.0)], &[("job_timeout", "3000")], SelectionRule::Forecast);
    for (second, name) in [(0, "normal"), (0, "normal"), (1, "low"), (2, "normal"), (3, "high")] {
        let prompt = format!("{name} {second}");
        town.ask(at(second), &image(&prompt, 1, json!({"priority": name})), None);
    }
    for second in 0..12 {
        town.ask(at(10 + 10 * second), &image(&format!("late {second}"), 1, json!({"priority": "normal"})), None);
    }
    town.world.settle();
    let mut jobs: Vec<_> = town.spaces[0].jobs().iter().map(|job| (job.joined, job.prompt.clone())).collect();
    jobs.sort();
    let order: Vec<&str> = jobs.iter().map(|(_, prompt)| prompt.as_str()).collect();
    assert_eq!(order[2..4], ["high 3", "normal 2"], "{order:?}");
    let low = order.iter().position(|name| *name == "low 1").unwrap();
    assert!(low > 4 && low < 12, "after what came within a minute of it, and before the rest: {order:?}");
}

#[test]
fn so_many_may_wait_and_no_more() {
    let town = Town::new(6, &[usual(20.0)], &[("max_waiting", "2"), ("stagger_ms", "0")], SelectionRule::Forecast);
    let asked: Vec<_> = (0..6).map(|_| town.ask(at(0), &image("x", 1, json!({})), None)).collect();
    town.world.settle();
    let statuses: Vec<u16> = asked.iter().map(|sent| sent.borrow().answer.as_ref().unwrap().status.as_u16()).collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        4,
        "two at the Space, two that wait: {statuses:?}"
    );
    let refused = asked.iter().find(|sent| sent.borrow().answer.as_ref().unwrap().status == 503).unwrap().borrow();
    let refused = refused.answer.as_ref().unwrap();
    assert_eq!(refused.error().2, "server_is_overloaded");
    assert!(refused.header("retry-after").is_some() && refused.header("x-should-retry") == Some("true"));
}

#[test]
fn what_one_instance_finds_out_the_next_one_knows() {
    let mut town = Town::new(7, &[usual(1.0)], &[], SelectionRule::Forecast);
    town.spaces[0].fix_end(End::Quota(300));
    let first = town.ask(at(0), &image("x", 1, json!({})), None);
    town.world.settle();
    assert_eq!(first.borrow().answer.as_ref().unwrap().error().0, 429);
    town.renew();
    let second = town.ask(at(10), &image("x", 1, json!({})), None);
    town.world.settle();
    let second = second.borrow();
    let answer = second.answer.as_ref().unwrap();
    assert_eq!((answer.error().0, answer.error().2), (429, json!("insufficient_quota")));
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((250..300).contains(&wait), "{wait}");
    assert_eq!(town.spaces[0].jobs().len(), 1, "the Space isn't asked");
    let (status, details) = (&town.status()[0], town.details());
    assert_eq!(
        (&status["state"], &status["breaker"]["reason"]),
        (&json!("cooling_down"), &json!("insufficient_quota"))
    );
    let told = &details["spaces"][0];
    assert_eq!(
        (&told["state"], &told["until"]),
        (&status["breaker"]["reason"], &status["breaker"]["until"]),
        "one truth"
    );
    assert!(details["capabilities"].is_object(), "a pause changes nothing of what it can do");
    town.world.break_store();
    town.renew();
    town.spaces[0].fix_end(End::Image);
    let third = town.ask(at(0), &image("x", 1, json!({})), None);
    town.world.settle();
    assert_eq!(third.borrow().seeds(), [0], "without a store, the Space is asked");
}

#[test]
fn tokens_take_turns_and_each_has_its_own_quota() {
    let world = World::new(8);
    let space = QueueSpace::new("https://a-b.hf.space", usual(1.0));
    space.fix_end(End::Quota(600));
    world.put_server(space.origin(), Rc::new(space.clone()));
    world.set_variable("api_keys", KEY);
    world.set_variable("link_secret", SECRET);
    world.set_variable("catalog", "[models.z]\nspaces = [{ space = \"a/b\", tokens = [\"hf_one\", \"hf_two\"] }]\n");
    let app = Rc::new(world.run(App::load(world.host())));
    for _ in 0..2 {
        let asked = request(Method::POST, "/v1/images/generations", image("x", 1, json!({})).to_string());
        assert_eq!(world.run(ask_of(Rc::clone(&app), asked)).error().0, 429);
        world.pass(at(5));
    }
    let joins = world.sent().into_iter().filter(|(url, _)| url.ends_with("/queue/join"));
    let tokens: BTreeSet<String> =
        joins.map(|(_, headers)| String::from_utf8(headers["authorization"].as_bytes().to_vec()).unwrap()).collect();
    assert_eq!(tokens, BTreeSet::from(["Bearer hf_one".to_owned(), "Bearer hf_two".to_owned()]));
    assert_eq!(space.jobs().len(), 2, "each once, and then neither");
    space.fix_end(End::Image);
    world.pass(at(600));
    let asked = request(Method::POST, "/v1/images/generations", image("x", 1, json!({})).to_string());
    assert_eq!(world.run(ask_of(app, asked)).status, 200);
}
