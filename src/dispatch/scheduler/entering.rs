//! Rows of this instance's jobs in the common queue: entered, extended and deleted, many by one statement.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use super::Scheduler;
use super::request::{Past, Signal};
use super::wait_queue::{RowState, Waiter};
use crate::dispatch::crowd::QueueKey;
use crate::dispatch::refusal::Refusal;
use crate::platform::{StoreError, Value};
use crate::store::lease::{TTL, expiry};
use crate::store::row::Columns;
use crate::store::statement::Argument;
use crate::store::statements::waiter;

/// Time within which rows of jobs that wait no longer are deleted by one statement.
const MOMENT: Duration = Duration::from_millis(20);
/// Number of jobs that one statement enters at most.
const MAX_ENTERING: usize = 64;

/// A job to be entered into the common queue.
struct Entering {
    id: u64,
    /// Id of its row.
    entry: String,
    place: QueueKey,
    caller: Rc<str>,
    priority: i64,
    row: Vec<Value>,
}

/// Row of a job in [`waiter::ENTER`].
fn row(waiter: &Waiter, place: usize, entry: &str, ahead: usize, queued: usize) -> Vec<Value> {
    let failed = waiter.request.candidates.iter().filter(|candidate| candidate.past != Past::Fresh);
    let avoid: Vec<String> = failed.map(|candidate| candidate.member.space.origin().to_string()).collect();
    // A job that all Spaces have failed takes any slot.
    let avoid = if avoid.len() == waiter.request.candidates.len() { Vec::new() } else { avoid };
    let turn = if waiter.has_turn { waiter.rank.turn } else { 0 };
    vec![
        place.to_string().into(),
        entry.into(),
        (&*waiter.request.place.crowd).into(),
        (&*waiter.request.place.queue).into(),
        waiter.rank.priority.to_string().into(),
        (&*waiter.request.caller).into(),
        turn.to_string().into(),
        ahead.to_string().into(),
        queued.to_string().into(),
        waiter.rank.since.to_string().into(),
        avoid.join(" ").into(),
        u8::from(waiter.request.is_admitted.get()).to_string().into(),
    ]
}

impl Scheduler {
    /// Enters jobs without a slot into the common queue: by one statement, and another for jobs that have had
    /// a turn.
    pub(super) async fn enter_all(self: &Rc<Self>) {
        for had_turn in [true, false] {
            loop {
                let entering = self.entering(had_turn);
                if entering.is_empty() {
                    break;
                }
                if self.enter(entering).await.is_err() {
                    return self.run_standalone();
                }
            }
        }
        self.notify_positions();
    }

    /// Jobs to enter now, up to [`MAX_ENTERING`].
    fn entering(&self, had_turn: bool) -> Vec<Entering> {
        let mut state = self.state.borrow_mut();
        let mut entering: Vec<Entering> = Vec::new();
        if !state.is_shared {
            return entering;
        }
        let meant = state.queue.unentered().filter(|waiter| waiter.has_turn == had_turn);
        let mut ids: Vec<u64> = meant.map(|waiter| waiter.id).take(MAX_ENTERING).collect();
        ids.sort_unstable();
        for id in ids {
            // Never reused: a row of that id may be about to be deleted.
            let entry = format!("{}{:08x}", self.store.instance(), state.id());
            state.queue.set_entry(id, RowState::Pending);
            let Some(waiter) = state.queue.find(id) else { continue };
            let of_caller = || entering.iter().filter(|other| other.caller == waiter.request.caller);
            let place = &waiter.request.place;
            let is_level =
                |other: &&Entering| other.place.crowd == place.crowd && other.priority == waiter.rank.priority;
            let ahead = of_caller().filter(is_level).count();
            let queued = of_caller().filter(|other| other.place.queue == place.queue).count();
            let row = row(waiter, entering.len(), &entry, ahead, queued);
            let (place, caller) = (place.clone(), Rc::clone(&waiter.request.caller));
            entering.push(Entering { id, entry, place, caller, priority: waiter.rank.priority, row });
        }
        entering
    }

    async fn enter(self: &Rc<Self>, mut entering: Vec<Entering>) -> Result<(), StoreError> {
        let most = i64::try_from(self.policy.max_waiting).unwrap_or(i64::MAX);
        let parameters = vec![
            ("rows", Argument::Rows(entering.iter_mut().map(|one| std::mem::take(&mut one.row)).collect())),
            ("holder", self.store.instance().into()),
            ("expires", expiry(self.host.unix_time(), TTL).into()),
            ("now", self.store.now().into()),
            ("most", most.into()),
        ];
        let entered = async {
            let rows = self.store.query(&waiter::ENTER, parameters).await?;
            let read = |row| {
                let mut columns = Columns::of(row);
                Ok::<_, StoreError>((columns.text()?, columns.integer()?))
            };
            rows.into_iter().map(read).collect::<Result<HashMap<String, i64>, _>>()
        };
        let turns = match entered.await {
            Ok(turns) => turns,
            Err(error) => {
                let mut state = self.state.borrow_mut();
                for one in entering {
                    state.queue.set_entry(one.id, RowState::None);
                }
                return Err(error);
            }
        };
        for Entering { id, entry, .. } in entering {
            let Some(turn) = turns.get(&entry) else {
                self.refuse(id);
                continue;
            };
            let is_there = {
                let mut state = self.state.borrow_mut();
                if let Some(waiter) = state.queue.find(id) {
                    waiter.request.is_admitted.set(true);
                }
                state.queue.reorder(id, *turn, entry.clone())
            };
            if !is_there {
                self.leave([entry]);
            }
        }
        Ok(())
    }

    /// Deletes rows of jobs that wait no longer, those of a moment together.
    pub(super) fn leave(self: &Rc<Self>, rows: impl IntoIterator<Item = String>) {
        let mut leaving = self.leaving.borrow_mut();
        let is_first = leaving.is_empty();
        leaving.extend(rows);
        if !is_first || leaving.is_empty() {
            return;
        }
        let this = Rc::clone(self);
        self.host.spawn(Box::pin(async move {
            this.host.sleep(MOMENT).await;
            let rows = this.leaving.take();
            // Where the store fails, they are gone when they have expired.
            let _ = this.store.query(&waiter::LEAVE, vec![("ids", Argument::list(rows))]).await;
        }));
    }

    /// Refuses a job whose caller has filled its share of the queue.
    fn refuse(&self, id: u64) {
        let removed = self.state.borrow_mut().queue.remove(id);
        if let Some(waiter) = removed {
            let refusal = Refusal::Crowded { waiting: self.policy.max_waiting };
            let _ = waiter.signal.unbounded_send(Signal::Done(Box::new(Err(refusal))));
        }
    }

    /// Extends the rows of this instance's waiting jobs.
    pub(super) fn extend(&self) {
        if self.state.borrow().queue.has_rows() {
            let expires = expiry(self.host.unix_time(), TTL);
            let parameters = vec![("expires", expires.into()), ("holder", self.store.instance().into())];
            self.store.spawn(&waiter::EXTEND, parameters);
        }
    }
}
