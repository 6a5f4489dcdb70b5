//! Slots that instances hand over to each other while a host begins and ends them: nobody waits for long for what is
//! idle.

use std::cell::{Cell, RefCell};

use super::*;
use z_image_2api::platform::Platform as _;

/// Calls that an instance has at once, as on any host.
const AT_ONCE: usize = 16;

/// An instance with its calls.
struct Serving {
    app: Rc<App>,
    calls: Cell<usize>,
    /// Calls that it still takes.
    left: Cell<usize>,
}

/// A host that begins an instance where all others have enough to do, and gives each so many calls in all.
struct ServingHost {
    world: World,
    lifetime: usize,
    instances: RefCell<Vec<Rc<Serving>>>,
    took: RefCell<Vec<Duration>>,
}

impl ServingHost {
    fn new(seed: u64, slots: usize, lifetime: usize) -> Rc<Self> {
        let world = World::new(seed);
        let space = SimSpace::new(|_, _| Fate::Succeeds);
        space.set_instant();
        world.put_server(SPACE, Rc::new(space));
        world.slow_store(Duration::from_millis(1));
        for (name, value) in [
            ("api_keys", KEY),
            ("catalog", &format!("[models.z]\nspaces = [{{ space = \"{SPACE}\", slots = {slots} }}]\n")),
            ("extra_host", SPACE),
            ("link_secret", SECRET),
            ("history", "off"),
            ("log_level", "error"),
        ] {
            world.set_variable(name, value);
        }
        Rc::new(Self { world, lifetime, instances: RefCell::default(), took: RefCell::default() })
    }

    async fn instance(&self) -> Rc<Serving> {
        let free: Vec<_> = {
            let mut instances = self.instances.borrow_mut();
            instances.retain(|one| one.left.get() > 0 || one.calls.get() > 0);
            let has_room = |one: &&Rc<Serving>| one.calls.get() < AT_ONCE && one.left.get() > 0;
            instances.iter().filter(has_room).cloned().collect()
        };
        let chosen = if free.is_empty() {
            let app = Rc::new(App::load(self.world.host()).await);
            let new = Rc::new(Serving { app, calls: Cell::default(), left: Cell::new(self.lifetime) });
            self.instances.borrow_mut().push(Rc::clone(&new));
            new
        } else {
            let lot = self.world.random_below(free.len() as u64);
            Rc::clone(&free[usize::try_from(lot).unwrap()])
        };
        chosen.calls.set(chosen.calls.get() + 1);
        chosen.left.set(chosen.left.get().saturating_sub(1));
        chosen
    }

    /// Calls one after the other until the time is over.
    async fn call_until(&self, end: Duration) {
        while self.world.now() < end {
            let begun = self.world.now();
            let instance = self.instance().await;
            let asked = request(Method::POST, "/v1/images/generations", json!({"prompt": "x"}).to_string());
            let answer = ask_of(Rc::clone(&instance.app), asked).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            instance.calls.set(instance.calls.get() - 1);
            self.took.borrow_mut().push(self.world.now() - begun);
        }
    }

    /// Has so many callers for that time. Returns the percentiles of their waits, in milliseconds, and the statements
    /// for each generation.
    fn serve(self: &Rc<Self>, callers: usize, time: Duration) -> Served {
        let end = self.world.now() + time;
        let before = self.world.database().statements();
        let calls: Vec<_> = (0..callers)
            .map(|_| {
                let this = Rc::clone(self);
                async move { this.call_until(end).await }
            })
            .collect();
        self.world.run(futures::future::join_all(calls));
        let statements = self.world.database().statements() - before;
        let mut took = self.took.take();
        took.sort_unstable();
        let quantile = |per_cent: usize| took[per_cent * (took.len() - 1) / 100].as_millis() as u64;
        let count = u32::try_from(took.len()).unwrap();
        Served {
            count,
            p50: quantile(50),
            p90: quantile(90),
            p99: quantile(99),
            most: quantile(100),
            statements: f64::from(u32::try_from(statements).unwrap()) / f64::from(count),
        }
    }
}

#[derive(Debug)]
struct Served {
    count: u32,
    p50: u64,
    p90: u64,
    p99: u64,
    most: u64,
    statements: f64,
}

#[test]
fn nobody_waits_for_slots_that_are_idle_elsewhere() {
    for (callers, slots, lifetime) in [(64, 64, 300), (64, 64, 2048), (64, 2, 2048)] {
        for seed in 0..1 {
            let host = ServingHost::new(seed, slots, lifetime);
            host.serve(callers, Duration::from_secs(1));
            let served = host.serve(callers, Duration::from_secs(2));
            println!("{callers} {slots} {lifetime}: {served:?} {}", host.instances.borrow().len());
        }
    }
}
