//! An instance of the component, which can die at any step.
//!
//! Whatever an instance asks of the host is a step. When its last one has come, nothing that it began goes on: what it
//! had spawned is dropped, and what it waits for never comes. Whether the last step still has its effect is left to
//! chance, as with a machine that loses its power.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{AbortHandle, Abortable, LocalBoxFuture, pending};

use super::World;
use crate::platform::log::LogRecord;
use crate::platform::span::Tracer;
use crate::platform::wall_clock::WallClock;
use crate::platform::{
    Database, Host, Inbound, MemoryBudget, Outbound, Platform, Row, StoreError, TransportError, Value,
};

/// The instance. Clones are the same.
#[derive(Clone)]
pub struct Instance(Rc<InstanceInner>);

struct InstanceInner {
    world: World,
    tasks: RefCell<Vec<AbortHandle>>,
    /// Number of steps so far.
    steps: Cell<u64>,
    /// Number of the step that is its last.
    last: Cell<u64>,
    is_dead: Cell<bool>,
    /// Time by which its clock is ahead of the world's slowest.
    ahead: Cell<Duration>,
    memory: MemoryBudget,
    clock: WallClock,
}

impl Instance {
    /// An instance in that world, that dies with its step number `last`.
    pub fn new(world: &World, last: u64) -> Self {
        Self(Rc::new(InstanceInner {
            world: world.clone(),
            tasks: RefCell::default(),
            steps: Cell::default(),
            last: Cell::new(last),
            is_dead: Cell::default(),
            ahead: Cell::default(),
            memory: MemoryBudget::default(),
            clock: WallClock::default(),
        }))
    }

    /// Sets its clock ahead of the world's.
    pub fn set_clock(&self, ahead: Duration) {
        self.0.ahead.set(ahead);
    }

    pub fn host(&self) -> Host {
        Rc::new(self.clone())
    }

    pub fn is_dead(&self) -> bool {
        self.0.is_dead.get()
    }

    /// Number of steps so far.
    pub fn steps(&self) -> u64 {
        self.0.steps.get()
    }

    pub fn kill(&self) {
        self.0.is_dead.set(true);
        for task in self.0.tasks.take() {
            task.abort();
        }
    }

    /// Runs `work` in it: to its end, or to the instance's, or for `limit`.
    pub fn run<T: 'static>(&self, limit: Duration, work: impl Future<Output = T> + 'static) -> Option<T> {
        let (work, handle) = futures::future::abortable(work);
        self.0.tasks.borrow_mut().push(handle);
        self.0.world.run_for(limit, work.map(Result::ok)).flatten()
    }

    /// A step: it comes to nothing where the instance is dead, or dies with it.
    fn step<T: 'static>(&self, work: impl FnOnce(&World) -> LocalBoxFuture<'static, T>) -> LocalBoxFuture<'static, T> {
        if self.is_dead() {
            return Box::pin(pending());
        }
        self.0.steps.set(self.0.steps.get() + 1);
        if self.0.steps.get() < self.0.last.get() {
            let (this, work) = (self.clone(), work(&self.0.world));
            return Box::pin(async move {
                let done = work.await;
                if this.is_dead() { pending().await } else { done }
            });
        }
        let (this, has_effect) = (self.clone(), self.0.world.random_below(2) == 0);
        let work = has_effect.then(|| work(&self.0.world));
        if let Some(work) = work {
            // Nobody hears of it.
            self.0.world.spawn(Box::pin(work.map(drop)));
        }
        // Not within the step: what is dropped then may be what takes it.
        self.0.world.spawn(Box::pin(async move { this.kill() }));
        Box::pin(pending())
    }
}

impl Platform for Instance {
    fn send(&self, request: Outbound) -> LocalBoxFuture<'static, Result<Inbound, TransportError>> {
        self.step(|world| world.send(request))
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        self.step(|world| world.sleep(duration))
    }

    fn now(&self) -> Duration {
        self.0.world.now()
    }

    fn unix_time(&self) -> Duration {
        self.0.clock.read(self.0.world.unix_time() + self.0.ahead.get(), self.now())
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.0.world.fill_random(bytes);
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        if self.is_dead() {
            return;
        }
        let (handle, registration) = AbortHandle::new_pair();
        self.0.tasks.borrow_mut().push(handle);
        self.0.world.spawn(Box::pin(Abortable::new(task, registration).map(drop)));
    }

    fn variable(&self, name: &'static str) -> LocalBoxFuture<'static, Option<String>> {
        self.step(|world| world.variable(name))
    }

    fn query(
        &self,
        database: &Database,
        sql: Rc<str>,
        parameters: Vec<Value>,
    ) -> LocalBoxFuture<'static, Result<Vec<Row>, StoreError>> {
        let database = database.clone();
        self.step(move |world| world.query(&database, sql, parameters))
    }

    fn memory(&self) -> &MemoryBudget {
        &self.0.memory
    }

    fn log(&self, record: &LogRecord<'_>) {
        self.0.world.log(record);
    }

    fn tracer(&self) -> Option<&dyn Tracer> {
        self.0.world.tracer()
    }
}
