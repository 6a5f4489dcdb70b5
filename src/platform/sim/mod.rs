//! The simulated world: the port's second implementation, for tests.
//!
//! Its clock stands still while anything can run and jumps to the next timer when nothing can, so that hours pass in
//! milliseconds. Its randomness comes from a seed, its network consists of the [`SimServer`]s that a test puts there.
//! The same seed gives the same run: a failure is printed with it and can be looked at again.

pub mod database;
pub mod instance;
mod nature;
pub mod queue;
pub mod space;
pub mod tracer;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::executor::{LocalPool, LocalSpawner};
use futures::future::LocalBoxFuture;
use futures::task::LocalSpawnExt as _;

use self::database::SimDatabase;
use self::tracer::SimTracer;
use super::log::LogRecord;
use super::span::Tracer;
use super::{Database, Host, Inbound, MemoryBudget, Outbound, Platform, Row, StoreError, TransportError, Value};

/// Something that answers at an origin.
pub trait SimServer {
    /// Answers a request.
    fn answer(&self, world: &World, request: Outbound) -> LocalBoxFuture<'static, Result<Inbound, TransportError>>;
}

/// The world, as a test holds it. Clones are the same world.
#[derive(Clone)]
pub struct World(Rc<WorldInner>);

struct WorldInner {
    seed: u64,
    pool: RefCell<LocalPool>,
    spawner: LocalSpawner,
    now: Cell<Duration>,
    timers: RefCell<BTreeMap<(Duration, u64), oneshot::Sender<()>>>,
    timer_count: Cell<u64>,
    randomness: Cell<u64>,
    variables: RefCell<BTreeMap<String, String>>,
    store_fails: Cell<bool>,
    /// The longest time of the store for each half of an operation, in milliseconds.
    store_delay: Cell<u64>,
    /// One of so many operations of the store fails, half of them after their work is done; 0 for none.
    store_failures: Cell<u64>,
    database: SimDatabase,
    /// Set while no statement is answered.
    database_hangs: Cell<bool>,
    servers: RefCell<BTreeMap<String, Rc<dyn SimServer>>>,
    log: RefCell<Vec<String>>,
    memory: MemoryBudget,
    sent: RefCell<Vec<(String, http::HeaderMap)>>,
    /// None where the world collects no spans.
    spans: OnceCell<SimTracer>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let pool = LocalPool::new();
        let spawner = pool.spawner();
        Self(Rc::new(WorldInner {
            seed,
            pool: RefCell::new(pool),
            spawner,
            now: Cell::default(),
            timers: RefCell::default(),
            timer_count: Cell::default(),
            randomness: Cell::new(seed),
            variables: RefCell::default(),
            store_fails: Cell::default(),
            store_delay: Cell::default(),
            store_failures: Cell::default(),
            database: SimDatabase::default(),
            database_hangs: Cell::default(),
            servers: RefCell::default(),
            log: RefCell::default(),
            memory: MemoryBudget::default(),
            sent: RefCell::default(),
            spans: OnceCell::new(),
        }))
    }

    /// Lets the world collect spans from now on, and returns them.
    pub fn collect_spans(&self) -> &SimTracer {
        self.0.spans.get_or_init(SimTracer::default)
    }

    /// Runs `work` to its end, with everything that has been spawned beside it.
    ///
    /// # Panics
    /// Where it can never end: it waits, and no timer is set.
    pub fn run<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> T {
        let result = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&result);
        self.0.spawner.spawn_local(async move { *slot.borrow_mut() = Some(work.await) }).unwrap();
        loop {
            self.0.pool.borrow_mut().run_until_stalled();
            if let Some(result) = result.borrow_mut().take() {
                return result;
            }
            assert!(self.jump(), "seed {}: everything waits and no timer is set", self.0.seed);
        }
    }

    /// Runs `work` until it ends or `limit` has gone by; then it is dropped, as when a client leaves.
    pub fn run_for<T: 'static>(&self, limit: Duration, work: impl Future<Output = T> + 'static) -> Option<T> {
        let sleep = self.sleep(limit);
        self.run(async move {
            futures::select_biased! {
                result = work.boxed_local().fuse() => Some(result),
                () = sleep.fuse() => None,
            }
        })
    }

    /// Lets everything that has been spawned go on until nothing more happens.
    pub fn settle(&self) {
        loop {
            self.0.pool.borrow_mut().run_until_stalled();
            if !self.jump() {
                return;
            }
        }
    }

    /// Jumps to the next timer somebody still waits for, and rings it.
    fn jump(&self) -> bool {
        loop {
            let next = self.0.timers.borrow_mut().pop_first();
            let Some(((at, _), timer)) = next else { return false };
            if timer.is_canceled() {
                continue;
            }
            self.0.now.set(at.max(self.0.now.get()));
            let _ = timer.send(());
            return true;
        }
    }

    pub fn host(&self) -> Host {
        Rc::new(self.clone())
    }

    pub fn put_server(&self, origin: &str, server: Rc<dyn SimServer>) {
        self.0.servers.borrow_mut().insert(origin.to_owned(), server);
    }

    pub fn set_variable(&self, name: &str, value: &str) {
        self.0.variables.borrow_mut().insert(name.to_owned(), value.to_owned());
    }

    pub fn break_store(&self) {
        self.0.store_fails.set(true);
    }

    pub fn mend_store(&self) {
        self.0.store_fails.set(false);
        self.0.store_failures.set(0);
    }

    /// Lets each operation of the store take up to `most` before its effect, and again after it; so that operations of
    /// different instances come in every order.
    pub fn slow_store(&self, most: Duration) {
        self.0.store_delay.set(u64::try_from(most.as_millis()).unwrap());
    }

    /// Lets one of `one_of` operations fail; whether it has done its work is left to chance.
    pub fn flaky_store(&self, one_of: u64) {
        self.0.store_failures.set(one_of);
    }

    /// Lets no statement be answered any more, or lets them be again.
    pub fn hang_database(&self, hangs: bool) {
        self.0.database_hangs.set(hangs);
    }

    /// The database itself: for what a test wants to know or to spoil.
    pub fn database(&self) -> &SimDatabase {
        &self.0.database
    }

    /// All lines that were logged.
    pub fn log_lines(&self) -> Vec<String> {
        self.0.log.borrow().clone()
    }

    /// The URLs and headers of all requests that were sent.
    pub fn sent(&self) -> Vec<(String, http::HeaderMap)> {
        self.0.sent.borrow().clone()
    }

    /// The origins of all requests that were sent.
    pub fn contacted(&self) -> Vec<String> {
        let origin = |url: &str| url::Url::parse(url).unwrap().origin().ascii_serialization();
        self.0.sent.borrow().iter().map(|(url, _)| origin(url)).collect()
    }

    /// The paths of all requests that were sent.
    pub fn asked(&self) -> Vec<String> {
        self.0.sent.borrow().iter().map(|(url, _)| url::Url::parse(url).unwrap().path().to_owned()).collect()
    }

    /// Lets time go by.
    pub fn pass(&self, time: Duration) {
        let sleep = self.sleep(time);
        self.run(sleep);
    }

    /// Seed of everything in it.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// The next random number, from the seed (SplitMix64).
    pub fn random(&self) -> u64 {
        let state = self.0.randomness.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.randomness.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A random number below `bound`.
    pub fn random_below(&self, bound: u64) -> u64 {
        self.random() % bound
    }

    /// A random time from `least` to `most`, in milliseconds.
    pub fn random_ms(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.random_below(most - least + 1))
    }
}

impl Platform for World {
    fn send(&self, request: Outbound) -> LocalBoxFuture<'static, Result<Inbound, TransportError>> {
        let origin = request.url.origin().ascii_serialization();
        self.0.sent.borrow_mut().push((request.url.to_string(), request.headers.clone()));
        let server = self.0.servers.borrow().get(&origin).cloned();
        match server {
            Some(server) => server.answer(self, request),
            None => Box::pin(async { Err(TransportError::Unreachable("nobody is there".to_owned())) }),
        }
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        let (ring, rung) = oneshot::channel();
        let number = self.0.timer_count.replace(self.0.timer_count.get() + 1);
        self.0.timers.borrow_mut().insert((self.0.now.get() + duration, number), ring);
        Box::pin(async {
            let _ = rung.await;
        })
    }

    fn now(&self) -> Duration {
        self.0.now.get()
    }

    fn unix_time(&self) -> Duration {
        Duration::from_secs(1_800_000_000) + self.0.now.get()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.random().to_le_bytes()[0];
        }
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        self.0.spawner.spawn_local(task).unwrap();
    }

    fn variable(&self, name: &'static str) -> LocalBoxFuture<'static, Option<String>> {
        let value = self.0.variables.borrow().get(name).cloned();
        Box::pin(async { value })
    }

    fn query(
        &self,
        _: &Database,
        sql: Rc<str>,
        parameters: Vec<Value>,
    ) -> LocalBoxFuture<'static, Result<Vec<Row>, StoreError>> {
        let world = self.clone();
        let asked = self.operation(move || world.0.database.query(&sql, &parameters));
        let hangs = self.0.database_hangs.get();
        Box::pin(async move { if hangs { std::future::pending().await } else { asked.await? } })
    }

    fn memory(&self) -> &MemoryBudget {
        &self.0.memory
    }

    fn log(&self, record: &LogRecord<'_>) {
        self.0.log.borrow_mut().push(record.to_line());
    }

    fn tracer(&self) -> Option<&dyn Tracer> {
        self.0.spans.get().map(|spans| spans as &dyn Tracer)
    }
}

impl World {
    /// An operation of the store: it takes its time, has its effect at one moment, and may fail before or after that.
    fn operation<T: 'static>(
        &self,
        work: impl FnOnce() -> T + 'static,
    ) -> LocalBoxFuture<'static, Result<T, StoreError>> {
        let world = self.clone();
        Box::pin(async move {
            let most = world.0.store_delay.get();
            if most > 0 {
                world.sleep(world.random_ms(0, most)).await;
            }
            let one_of = world.0.store_failures.get();
            let (fails, is_done) = (one_of > 0 && world.random_below(one_of) == 0, world.random_below(2) == 0);
            if world.0.store_fails.get() || (fails && !is_done) {
                return Err(StoreError::Failed("the disk is gone".to_owned()));
            }
            let result = work();
            if most > 0 {
                world.sleep(world.random_ms(0, most)).await;
            }
            if fails { Err(StoreError::Failed("the answer is lost".to_owned())) } else { Ok(result) }
        })
    }
}
