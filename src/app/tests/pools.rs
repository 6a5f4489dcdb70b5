//! Many Spaces as one: whole runs of the component against Spaces that queue, fail, stall, cut, lie, sleep, fill up and come back, with clients that leave.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;

use super::*;
use crate::dispatch::Rule;
use crate::platform::Platform as _;
use crate::platform::sim::queue::{End, Health, Nature, QueueSpace};
use crate::settings::Settings;

/// How many runs there are of each kind.
fn runs() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "a test's own switch")]
    std::env::var("SIMULATED_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(5_000)
}

/// The slots of a Space where nobody says otherwise.
const SLOTS: usize = 2;
const JOB_TIMEOUT: Duration = Duration::from_secs(300);

/// A component and its Spaces.
pub(super) struct Town {
    pub(super) world: World,
    pub(super) app: Rc<App>,
    pub(super) spaces: Vec<QueueSpace>,
}

impl Town {
    pub(super) fn new(seed: u64, natures: &[Nature], variables: &[(&str, &str)], rule: Rule) -> Self {
        let world = World::new(seed);
        let spaces: Vec<QueueSpace> = (0..)
            .zip(natures)
            .map(|(number, nature)| QueueSpace::new(&format!("http://127.0.0.{}:7860", number + 1), *nature))
            .collect();
        for space in &spaces {
            world.put_server(space.origin(), Rc::new(space.clone()));
        }
        let pool: Vec<String> = spaces.iter().map(|space| format!("z={}", space.origin())).collect();
        world.set_variable("api_keys", KEY);
        world.set_variable("spaces", &pool.join(","));
        world.set_variable("link_secret", SECRET);
        for (name, value) in variables {
            world.set_variable(name, value);
        }
        let outside = world.outside();
        let app = world.run(async move {
            let mut settings = Settings::load(&outside).await;
            settings.policy.rule = rule;
            Rc::new(App::new(outside, settings))
        });
        Self { world, app, spaces }
    }

    /// Asks for images at that time, and leaves after `patience`. Returns what is answered, and when.
    pub(super) fn ask(&self, at: Duration, fields: &Value, patience: Option<Duration>) -> Rc<RefCell<Told>> {
        let told = Rc::new(RefCell::new(Told::default()));
        let (world, app, there) = (self.world.clone(), Rc::clone(&self.app), Rc::clone(&told));
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
            let mut told = there.borrow_mut();
            (told.answer, told.ended) = (answer, Some(world.now()));
        }));
        told
    }
}

/// What came of a request.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) began: Duration,
    pub(super) ended: Option<Duration>,
    pub(super) answer: Option<Answer>,
}

impl Told {
    /// The seeds of the images that were answered.
    pub(super) fn seeds(&self) -> Vec<u64> {
        let Some(answer) = self.answer.as_ref().filter(|answer| answer.status == 200) else { return Vec::new() };
        answer.json()["data"].as_array().unwrap().iter().map(|item| item["seed"].as_u64().unwrap()).collect()
    }
}

fn nature(world: &World, bad_per_mille: u64) -> Nature {
    Nature {
        speed: f64::from(u32::try_from(world.random_below(100) + 5).unwrap()) / 10.0,
        at_once: 1 + usize::from(world.random_below(3) == 0),
        room: if world.random_below(4) == 0 { 2 } else { 50 },
        bad_per_mille,
    }
}

/// Changes the Spaces' health now and then, for ten minutes. `keeps_one` leaves one of them alone at any time.
fn stir(town: &Town, keeps_one: bool) {
    let (world, spaces) = (town.world.clone(), town.spaces.clone());
    town.world.spawn(Box::pin(async move {
        let mut left = 600_u64;
        while left > 0 {
            let pause = 3 + world.random_below(40);
            left = left.saturating_sub(pause);
            world.sleep(Duration::from_secs(pause)).await;
            let space = &spaces[usize::try_from(world.random_below(spaces.len() as u64)).unwrap()];
            let others_live =
                spaces.iter().any(|other| other.origin() != space.origin() && other.health() == Health::Up);
            let health = match world.random_below(9) {
                0..4 => Health::Up,
                4 | 5 => Health::Down,
                6 => Health::Asleep,
                7 => Health::Stuck,
                _ => Health::Broken,
            };
            if health == Health::Up || !keeps_one || others_live {
                space.turn(&world, health);
            }
            if world.random_below(3) == 0 {
                space.stranger(&world, world.random_ms(1000, 30_000));
            }
        }
        for space in &spaces {
            space.turn(&world, Health::Up);
        }
    }));
}

/// What must hold of every Space, whatever happens.
fn check_spaces(seed: u64, town: &Town) {
    for space in &town.spaces {
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
    let origins: BTreeSet<&str> = town.spaces.iter().map(QueueSpace::origin).collect();
    assert!(town.world.contacted().iter().all(|origin| origins.contains(&**origin)), "seed {seed}: led elsewhere");
}

#[test]
fn whatever_the_spaces_do_the_invariants_hold() {
    for seed in 0..runs() {
        let world = World::new(seed ^ 0x5eed);
        let bad = [0, 100, 500][usize::try_from(world.random_below(3)).unwrap()];
        let natures: Vec<Nature> = (0..1 + world.random_below(4)).map(|_| nature(&world, bad)).collect();
        let town = Town::new(seed, &natures, &[], Rule::Forecast);
        stir(&town, false);
        let mut asked = Vec::new();
        for number in 0..1 + world.random_below(6) {
            let n = 1 + world.random_below(4);
            let priority = ["low", "normal", "high"][usize::try_from(world.random_below(3)).unwrap()];
            let fields = json!({
                "prompt": format!("request {number}"), "n": n, "seed": number * 100, "size": "512x512", "steps": 1 + world.random_below(8),
                "response_format": "url", "priority": priority,
            });
            let patience = (world.random_below(4) == 0).then(|| world.random_ms(1, 60_000));
            asked.push((number, n, patience, town.ask(world.random_ms(0, 60_000), &fields, patience)));
        }
        town.world.settle();
        check_spaces(seed, &town);
        for (number, n, patience, told) in &asked {
            let told = told.borrow();
            let took = told.ended.expect("every request ends") - told.began;
            assert!(took <= 3 * JOB_TIMEOUT + Duration::from_secs(120), "seed {seed}: request {number} took {took:?}");
            let Some(answer) = &told.answer else {
                assert!(patience.is_some());
                continue;
            };
            let seeds: BTreeSet<u64> = told.seeds().into_iter().collect();
            assert_eq!(seeds.len(), told.seeds().len(), "seed {seed}: an image is answered twice");
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
    }
}

#[test]
fn while_one_space_lives_every_request_ends_well() {
    let mut made = 0;
    for seed in 0..runs() {
        let world = World::new(seed ^ 0xa11ce);
        let natures: Vec<Nature> =
            (0..2 + world.random_below(3)).map(|_| Nature { room: 50, ..nature(&world, 0) }).collect();
        let town = Town::new(seed, &natures, &[], Rule::Forecast);
        stir(&town, true);
        let asked: Vec<_> = (0..1 + world.random_below(5))
            .map(|number| {
                let fields = json!({
                    "prompt": format!("request {number}"), "n": 1 + world.random_below(3), "seed": number * 100, "size": "512x512",
                    "steps": 1 + world.random_below(8),
                });
                (fields.clone(), town.ask(world.random_ms(0, 60_000), &fields, None))
            })
            .collect();
        town.world.settle();
        check_spaces(seed, &town);
        for (fields, told) in asked {
            let told = told.borrow();
            let got = u64::try_from(told.seeds().len()).unwrap();
            assert_eq!(Some(got), fields["n"].as_u64(), "seed {seed}: {fields}: {told:?}");
            made += got;
        }
    }
    assert!(made > runs());
}
