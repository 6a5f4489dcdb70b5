//! Scheduler of slots at Spaces.
//!
//! The slots of a Space belong to the whole service: they are leases in the database. An instance keeps a slot for its
//! next job, renews it in the background, and releases it when it is idle or others wait. So a job on an instance that
//! holds a slot needs no statement; without one, the instance asks the database ([`exchange`]), and the job waits there
//! in the order of all instances ([`wait_queue`]) while no slot is free.
//!
//! Without a database, or while it fails, each instance decides by what it knows and has all slots for itself.

mod alarm;
mod choice;
mod decision;
mod entering;
mod exchange;
mod groups;
mod guard;
mod health;
mod notify;
mod pass;
mod rank;
mod ranked;
mod request;
mod ringing;
mod slot;
mod stagger;
mod state;
mod turns;
mod upkeep;
mod view;
mod wait_queue;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::channel::{mpsc, oneshot};
use futures::future::{Either, LocalBoxFuture, select};

use self::alarm::Alarm;
use self::decision::Claim;
pub(super) use self::guard::SlotGuard;
use self::guard::SlotOwner;
use self::request::Signal;
pub(super) use self::request::{Candidate, Past, SlotRequest};
pub(super) use self::stagger::Stagger;
use self::state::{Effects, SchedulerState, written};
use super::budget::Budget;
use super::crowd::{Crowds, QueueKey};
use super::health::SpaceOutcome;
use super::knowledge::Knowledge;
use super::policy::Policy;
use super::refusal::Refusal;
use super::space_state::SpaceState;
use crate::catalog::Catalog;
use crate::gradio::failure::Failure;
use crate::gradio::space::Origin;
use crate::platform::{Host, random_bytes};
use crate::store::Store;
use crate::store::lease::Leases;
use crate::store::once::Once;

/// Scheduler of an instance.
pub(super) struct Scheduler {
    host: Host,
    policy: Policy,
    store: Store,
    leases: Rc<Leases>,
    knowledge: Rc<Knowledge>,
    state: RefCell<SchedulerState>,
    budget: RefCell<Budget>,
    /// Slots to be claimed after the last scheduling pass.
    claims: RefCell<Vec<(Claim, usize)>>,
    /// Time of the last read of the database, monotonic.
    viewed: Cell<Option<Duration>>,
    /// Set where a job has started since then.
    has_begun: Cell<bool>,
    /// End of the time without claims after a failure of the database, monotonic.
    standalone_until: Cell<Duration>,
    /// Ids of rows of jobs that wait no longer, to be deleted.
    leaving: RefCell<Vec<String>>,
    learning: RefCell<HashMap<Rc<str>, Rc<Once<()>>>>,
    is_exchanging: Cell<bool>,
    has_upkeep: Cell<bool>,
    /// Wakes the upkeep where it waits for idle slots.
    upkeep_wake: RefCell<Option<oneshot::Sender<()>>>,
    alarm: Alarm,
    /// Earliest time of the next notification of all positions, monotonic.
    notify_from: Cell<Duration>,
    is_notifying: Cell<bool>,
    wake: RefCell<Option<oneshot::Sender<()>>>,
}

/// Lease resource of a Space's slots.
fn slots_of(origin: &Origin) -> String {
    format!("space/{origin}")
}

/// Lease resource of the right to probe a Space.
fn probe_of(origin: &Origin) -> String {
    format!("probe/{origin}")
}

impl Scheduler {
    /// A scheduler for the Spaces of `catalog`, with slots in `leases`.
    pub(super) fn new(leases: &Rc<Leases>, policy: Policy, catalog: &Catalog, knowledge: &Rc<Knowledge>) -> Rc<Self> {
        let store = leases.store().clone();
        let host = Rc::clone(store.host());
        let [jitter] = random_bytes::<1>(&host);
        let state = SchedulerState::new(Crowds::of(catalog), policy.rule, f64::from(jitter) / 255.0, store.is_on());
        let this = Rc::new(Self {
            budget: RefCell::new(Budget::new(host.now())),
            host,
            policy,
            store,
            leases: Rc::clone(leases),
            knowledge: Rc::clone(knowledge),
            state: RefCell::new(state),
            claims: RefCell::default(),
            viewed: Cell::default(),
            has_begun: Cell::default(),
            standalone_until: Cell::default(),
            leaving: RefCell::default(),
            learning: RefCell::default(),
            is_exchanging: Cell::default(),
            has_upkeep: Cell::default(),
            upkeep_wake: RefCell::default(),
            alarm: Alarm::default(),
            notify_from: Cell::default(),
            is_notifying: Cell::default(),
            wake: RefCell::default(),
        });
        let listener = Rc::downgrade(&this);
        leases.listen(Rc::new(move |resource, slots| {
            if let Some(this) = listener.upgrade() {
                this.lose(resource, slots);
            }
        }));
        this
    }

    /// The database.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Monotonic time.
    pub(super) fn now(&self) -> Duration {
        self.host.now()
    }

    /// Time since the Unix epoch.
    pub(super) fn unix_time(&self) -> Duration {
        self.host.unix_time()
    }

    /// Sleeps for `time`.
    pub(super) fn pause(&self, time: Duration) -> LocalBoxFuture<'static, ()> {
        self.host.sleep(time)
    }

    /// Number of a new request, unique within this instance.
    pub(super) fn new_request(&self) -> u64 {
        self.state.borrow_mut().id()
    }

    /// State, for reading.
    pub(super) fn state(&self) -> std::cell::Ref<'_, SchedulerState> {
        self.state.borrow()
    }

    /// Queue and crowd of jobs for `pool`.
    pub(super) fn place(&self, pool: &[crate::catalog::PoolMember]) -> QueueKey {
        self.state.borrow().crowds.place(pool)
    }

    /// Deposits a new job's share in the retry budget.
    pub(super) fn deposit(&self) {
        self.budget.borrow_mut().deposit(self.host.now());
    }

    /// Withdraws a retry of a job that a Space has worked on. Returns false where the budget is exhausted.
    pub(super) fn withdraw_retry(&self) -> bool {
        self.budget.borrow_mut().withdraw(self.host.now())
    }

    /// Waits for a slot until `deadline`, in monotonic time. While it waits, each change of the number of jobs ahead
    /// goes to `waits`.
    ///
    /// # Errors
    /// No slot to wait for, a full queue, or the deadline.
    pub(super) async fn take(
        self: &Rc<Self>,
        request: SlotRequest,
        deadline: Duration,
        mut waits: impl FnMut(usize),
    ) -> Result<SlotGuard, Refusal> {
        let (signal, mut signals) = mpsc::unbounded();
        let draw = u64::from_le_bytes(random_bytes(&self.host));
        let begun = self.host.now();
        let is_admitted = Rc::clone(&request.is_admitted);
        let (id, is_full) = {
            let mut state = self.state.borrow_mut();
            let is_full = state.queue.is_full(&request, self.policy.max_waiting);
            let id = state.id();
            state.queue.push(id, request, draw, signal, self.host.unix_time());
            (id, is_full)
        };
        let _waiting = Waiting { scheduler: self, id };
        self.schedule();
        let is_waiting = self.state.borrow().queue.find(id).is_some();
        if is_waiting && is_full && !is_admitted.get() && !self.state.borrow().is_shared {
            return Err(Refusal::Crowded { waiting: self.state.borrow().queue.len().saturating_sub(1) });
        }
        let too_late = || Refusal::NoSlot { after: self.host.now().saturating_sub(begun) };
        loop {
            let left = deadline.saturating_sub(self.host.now());
            // The host rounds times down: waking a moment too early would spin.
            match select(signals.next(), self.host.sleep(left.saturating_add(Duration::from_millis(1)))).await {
                // A slot that comes with the end of the request's time is for somebody else.
                Either::Left((Some(Signal::Done(outcome)), _)) if outcome.is_ok() && self.host.now() >= deadline => {
                    return Err(too_late());
                }
                Either::Left((Some(Signal::Done(outcome)), _)) => {
                    if outcome.is_ok() {
                        is_admitted.set(true);
                    }
                    return *outcome;
                }
                Either::Left((Some(Signal::Waiting(before)), _)) => waits(before),
                Either::Left((None, _)) => return Err(Failure::NoImage.into()),
                Either::Right(_) if self.host.now() >= deadline => return Err(too_late()),
                Either::Right(_) => {}
            }
        }
    }

    /// Best forecast among `candidates` with room for a job that starts now, in seconds.
    pub(super) fn elsewhere(&self, candidates: &[Candidate], stagger: &Stagger) -> Option<f64> {
        self.state.borrow().elsewhere(candidates, stagger, self.host.unix_time())
    }

    /// Refuses all waiting jobs of a request.
    pub(super) fn dismiss(self: &Rc<Self>, request: u64, why: &Refusal) {
        let effects = self.state.borrow_mut().dismiss(request, false, why);
        self.apply(effects);
    }

    /// Dismisses the waiting jobs of a request that have no images of their own, as all images have a job.
    pub(super) fn dismiss_idle(self: &Rc<Self>, request: u64) {
        let effects = self.state.borrow_mut().dismiss(request, true, &Failure::NoImage.into());
        self.apply(effects);
    }

    /// Schedules waiting jobs: starts those that can start.
    fn schedule(self: &Rc<Self>) {
        let now = self.host.unix_time();
        let mut effects = self.state.borrow_mut().schedule(now, || self.policy.stagger.draw(&self.host));
        *self.claims.borrow_mut() = std::mem::take(&mut effects.claims);
        let wants = effects.wants_slots;
        self.alarm.set(effects.again);
        self.apply(effects);
        self.start_alarm();
        self.notify_positions();
        if wants && self.store.is_on() {
            self.ask();
        }
        self.start_upkeep();
    }

    /// Applies the effects of a scheduling pass.
    fn apply(self: &Rc<Self>, effects: Effects) {
        if !effects.leave.is_empty() {
            self.leave(effects.leave);
        }
        for (origin, slots) in effects.release {
            self.leases.release(&slots_of(&origin), &slots);
        }
        for (waiter, outcome) in effects.done {
            if outcome.is_ok() {
                self.has_begun.set(true);
            }
            let owner = || -> Rc<dyn SlotOwner> { Rc::<Self>::clone(self) };
            let outcome = outcome.map(|slot| SlotGuard::new(owner(), slot));
            // A slot whose receiver is gone is dropped, and so becomes free.
            let _ = waiter.signal.unbounded_send(Signal::Done(Box::new(outcome)));
        }
    }

    /// Removes a job from the queue.
    fn forget(self: &Rc<Self>, id: u64) {
        let removed = self.state.borrow_mut().queue.remove(id);
        if removed.is_some() && self.state.borrow().queue.len() == 0 {
            self.alarm.set(None);
        }
        if let Some(entry) = removed.as_ref().and_then(written) {
            self.leave([entry]);
        }
    }

    /// Drops leases that another instance holds by now.
    fn lose(self: &Rc<Self>, resource: &str, slots: &[i64]) {
        let mut state = self.state.borrow_mut();
        for (origin, space) in state.spaces_mut() {
            if slots_of(origin) == resource {
                space.lose_slots(slots);
            } else if probe_of(origin) == resource {
                space.has_probe = false;
            }
        }
    }
}

impl SlotOwner for Scheduler {
    fn unix_time(&self) -> Duration {
        self.host.unix_time()
    }

    fn sleep(&self, time: Duration) -> LocalBoxFuture<'static, ()> {
        self.host.sleep(time)
    }

    fn draw_stagger(&self) -> Duration {
        self.policy.stagger.draw(&self.host)
    }

    fn update_space(&self, origin: &Origin, change: &mut dyn FnMut(&mut SpaceState)) {
        change(self.state.borrow_mut().space(origin));
    }

    fn has_sent(&self, request: u64, now: Duration) {
        self.state.borrow_mut().queue.hold_back(request, now);
    }

    fn record_outcome(self: Rc<Self>, origin: &Origin, outcome: SpaceOutcome) {
        self.record(origin, outcome);
    }

    fn slot_is_free(self: Rc<Self>, origin: &Origin, releases_probe: bool) {
        if releases_probe {
            self.leases.release(&probe_of(origin), &[0]);
        }
        self.schedule();
    }
}

/// Guard of a waiting job, which removes it from the queue when dropped.
struct Waiting<'a> {
    scheduler: &'a Rc<Scheduler>,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.scheduler.forget(self.id);
    }
}
