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
struct CrowdedHost {
    world: World,
    lifetime: usize,
    instances: RefCell<Vec<Rc<Serving>>>,
    took: RefCell<Vec<Duration>>,
}

impl CrowdedHost {
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

    /// Has so many callers for that time.
    fn serve(self: &Rc<Self>, callers: usize, time: Duration) -> ServedCalls {
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
        let quantile = |per_cent: usize| took[per_cent * (took.len() - 1) / 100];
        let statements = f64::from(u32::try_from(statements).unwrap()) / f64::from(u32::try_from(took.len()).unwrap());
        ServedCalls { p50: quantile(50), p99: quantile(99), most: quantile(100), statements }
    }
}

/// Times of calls, and statements for each of them.
#[derive(Debug)]
struct ServedCalls {
    p50: Duration,
    p99: Duration,
    most: Duration,
    statements: f64,
}

#[test]
fn nobody_waits_for_long_for_slots_that_are_idle_elsewhere() {
    // As many slots as callers, and an instance that begins and ends some ten times a second each.
    let host = CrowdedHost::new(0, 64, 300);
    host.serve(64, Duration::from_secs(1));
    let served = host.serve(64, Duration::from_secs(1));
    println!("{served:?}");
    assert!(served.p99 <= Duration::from_millis(250) && served.most <= Duration::from_millis(600), "{served:?}");
    assert!(served.p50 <= Duration::from_millis(20) && served.statements <= 0.12, "{served:?}");
}
