//! Exchange with the database: claims of slots, rows of waiting jobs, and the state of other instances.
//!
//! One task of an instance serves all of its waiting jobs. A round reads the shared state (one statement), claims slots
//! for jobs whose turn it is (one for each Space), and enters jobs without a slot into the common queue (one for all of
//! them). Rounds follow each other after 50 to 250 ms (20 ms at the fastest Spaces), longer the farther the first job
//! is from the front, and end once no job waits for a slot.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};

use super::decision::Claim;
use super::rank::Rank;
use super::request::Candidate;
use super::view::{RemoteWaiter, View};
use super::{Scheduler, probe_of, slots_of};
use crate::catalog::PoolMember;
use crate::dispatch::health::SpaceHealth;
use crate::dispatch::space_state::{SpaceState, span};
use crate::gradio::space::Origin;
use crate::platform::{Row, StoreError, random_bytes};
use crate::store::lease::{RENEWAL, free_before};
use crate::store::once::Once;
use crate::store::row::Columns;
use crate::store::statement::Argument;
use crate::store::statements::waiter;

/// Minimum interval of rounds, for Spaces whose generations are as short as that.
const SHORTEST: Duration = Duration::from_millis(20);
/// Interval of rounds near the front of other Spaces.
const USUAL: Duration = Duration::from_millis(50);
/// Age of the last read up to which its free slots are claimed without another.
const RECENT: Duration = Duration::from_millis(200);
/// Maximum interval of rounds.
const LONGEST: Duration = Duration::from_millis(250);
/// Maximum interval of rounds while this instance holds all slots: they only read the waiting jobs of others.
const UNHURRIED: Duration = Duration::from_secs(1);
/// Time without claims after a failure of the database.
const STANDALONE: Duration = Duration::from_secs(2);
/// Assumed number of free slots of a Space without rows in the database.
const UNKNOWN: u32 = 10_000;

/// Interval of rounds near the front, for Spaces that take `generation`.
fn near_the_front(generation: Duration) -> Duration {
    generation.clamp(SHORTEST, USUAL)
}

impl Scheduler {
    /// Starts the rounds in the background, or wakes them for new jobs.
    pub(super) fn ask(self: &Rc<Self>) {
        if self.is_exchanging.replace(true) {
            let has_news = self.state.borrow().queue.unentered().next().is_some();
            if has_news && let Some(wake) = self.wake.take() {
                let _ = wake.send(());
            }
            return;
        }
        let this = Rc::clone(self);
        self.host.spawn(Box::pin(async move { this.exchange().await }));
    }

    async fn exchange(self: Rc<Self>) {
        let mut extended = self.host.now();
        // A slot of this instance may be free before the database has answered.
        let soon = self.least_generation().saturating_mul(2);
        if soon <= SHORTEST && self.has_running() {
            self.host.sleep(soon).await;
            self.schedule();
        }
        loop {
            if !self.wants_slots() {
                self.is_exchanging.set(false);
                return;
            }
            let begun = self.host.now();
            let generation = self.least_generation();
            let age = self.viewed.get().map_or(Duration::MAX, |at| begun.saturating_sub(at));
            // What was free a moment ago is asked for at once: whoever is wrong gets none.
            let has_claims = !self.claims.borrow().is_empty() && self.state.borrow().is_shared;
            if age >= if has_claims { RECENT } else { near_the_front(generation) } {
                self.refresh(&HashSet::new()).await;
            }
            self.schedule();
            // Jobs that have come meanwhile are claimed for too, before any is entered.
            while self.claim_all().await {}
            self.enter_all().await;
            if begun.saturating_sub(extended) >= RENEWAL {
                extended = begun;
                self.extend();
            }
            if self.wants_slots() {
                self.rest(begun, generation).await;
            }
        }
    }

    /// Waits for the next round, which a wake-up brings forward.
    async fn rest(&self, begun: Duration, generation: Duration) {
        let (wake, woken) = oneshot::channel();
        *self.wake.borrow_mut() = Some(wake);
        let pause = self.between_rounds(generation);
        if let Either::Left(_) = select(woken, self.host.sleep(pause)).await {
            let left = near_the_front(generation).saturating_sub(self.host.now().saturating_sub(begun));
            self.host.sleep(left).await;
        }
    }

    /// True while a job lacks nothing but a slot.
    fn wants_slots(&self) -> bool {
        self.state.borrow().queue.wanting().next().is_some()
    }

    /// Shortest generation that a job without a slot waits for, as far as is known.
    fn least_generation(&self) -> Duration {
        let now = self.host.unix_time();
        let state = self.state.borrow();
        let Some(waiter) = state.queue.first_wanting() else { return UNHURRIED };
        let usual = state.usual(&waiter.request.candidates);
        let generations = waiter.request.candidates.iter().filter_map(|Candidate { member, work, .. }| {
            Some(state.known(member.space.origin())?.generation(*work, usual, now))
        });
        generations.min_by(f64::total_cmp).map_or(UNHURRIED, span)
    }

    /// True while a job of this instance is at a Space that the first job without a slot may have.
    fn has_running(&self) -> bool {
        let state = self.state.borrow();
        let waiter = state.queue.first_wanting();
        let mut candidates = waiter.iter().flat_map(|waiter| &waiter.request.candidates);
        candidates.any(|one| state.known(one.member.space.origin()).is_some_and(|space| space.running() > 0))
    }

    /// Time until the next round: shorter near the front, and with a jitter to spread the instances.
    fn between_rounds(&self, generation: Duration) -> Duration {
        let state = self.state.borrow();
        let wanting = state.queue.first_wanting();
        let before = wanting.map_or(0, |waiter| state.view.all_before(&waiter.rank, &waiter.request.place.queue));
        let wanted = state.queue.wanting().flat_map(|waiter| &waiter.request.candidates);
        let mut wanted = wanted.filter_map(|candidate| state.known(candidate.member.space.origin()));
        if state.is_shared && wanted.all(SpaceState::is_all_ours) {
            return generation.clamp(USUAL, UNHURRIED);
        }
        let slots: usize =
            wanting.map_or(0, |waiter| waiter.request.candidates.iter().map(|candidate| candidate.member.slots).sum());
        let [lot] = random_bytes::<1>(&self.host);
        let rounds = u32::try_from(before / (slots / 4).max(2)).unwrap_or(u32::MAX).saturating_add(1);
        let base = near_the_front(generation).saturating_mul(rounds).min(LONGEST);
        (base + base * u32::from(lot) / 512).min(LONGEST + LONGEST / 4)
    }

    /// Reads the shared state of the Spaces of `pool`, once.
    pub(in crate::dispatch) async fn learn(self: &Rc<Self>, pool: &[PoolMember]) {
        if !self.store.is_on() {
            return;
        }
        let is_known = {
            let state = self.state.borrow();
            pool.iter().all(|member| state.known(member.space.origin()).is_some_and(|space| space.health.is_read))
        };
        if is_known {
            return;
        }
        let queue = self.place(pool).queue;
        let once = Rc::clone(self.learning.borrow_mut().entry(queue).or_insert_with(|| Rc::new(Once::default())));
        let (this, pool) = (Rc::clone(self), pool.to_vec());
        let read = || -> futures::future::LocalBoxFuture<'static, ()> {
            Box::pin(async move {
                let origins = pool.iter().map(|member| member.space.origin().clone()).collect();
                this.knowledge_wanted(&pool);
                this.refresh(&origins).await;
            })
        };
        once.get(&self.host, read).await;
    }

    fn knowledge_wanted(&self, pool: &[PoolMember]) {
        for member in pool {
            self.knowledge.want(&member.space);
        }
    }

    /// Reads the shared state of the Spaces `more`, and of all that are in use or waited for.
    pub(in crate::dispatch) async fn refresh(self: &Rc<Self>, more: &HashSet<Origin>) {
        if !self.store.is_on() {
            return;
        }
        let origins = self.origins(more);
        if origins.is_empty() {
            return;
        }
        match self.read_view(&origins).await {
            Ok(rows) => {
                self.viewed.set(Some(self.host.now()));
                self.has_begun.set(false);
                let is_shared = self.host.now() >= self.standalone_until.get();
                self.state.borrow_mut().is_shared = is_shared;
                self.apply_view(&origins, rows);
            }
            Err(_) => self.run_standalone(),
        }
    }

    /// Switches to decisions without the database, after its failure.
    pub(super) fn run_standalone(self: &Rc<Self>) {
        self.standalone_until.set(self.host.now() + STANDALONE);
        {
            let mut state = self.state.borrow_mut();
            state.is_shared = false;
            state.view = View::default();
            for (_, space) in state.spaces_mut() {
                space.forget_free();
            }
        }
        self.schedule();
    }

    fn origins(&self, more: &HashSet<Origin>) -> HashSet<Origin> {
        let state = self.state.borrow();
        let mut origins = more.clone();
        let waited_for = state.queue.samples().flat_map(|waiter| &waiter.request.candidates);
        origins.extend(waited_for.map(|candidate| candidate.member.space.origin().clone()));
        let used = state.spaces().filter(|(_, space)| space.is_used());
        origins.extend(used.map(|(origin, _)| origin.clone()));
        origins
    }

    async fn read_view(&self, origins: &HashSet<Origin>) -> Result<Vec<Row>, StoreError> {
        let queues = self.state.borrow().crowds.queues_for(origins);
        let resources = origins.iter().flat_map(|origin| [slots_of(origin), probe_of(origin)]);
        let now = self.host.unix_time();
        let parameters = vec![
            ("before", free_before(now).into()),
            ("resources", Argument::list(resources)),
            ("queues", Argument::list(queues.iter().map(|queue| &**queue))),
            ("holder", self.store.instance().into()),
            ("now", self.store.now().into()),
            ("spaces", Argument::list(origins.iter().map(ToString::to_string))),
            ("profiles", Argument::list(self.knowledge.wanted())),
        ];
        self.store.query(&waiter::VIEW, parameters).await
    }

    /// Applies the rows of a read.
    fn apply_view(&self, origins: &HashSet<Origin>, rows: Vec<Row>) {
        let now = self.host.unix_time();
        let mut state = self.state.borrow_mut();
        for origin in origins {
            let space = state.space(origin);
            space.health.is_read = true;
            space.set_free(UNKNOWN, 0, now);
        }
        let mut foreign = Vec::new();
        for row in rows {
            let Ok(row) = ViewRow::read(row) else { continue };
            match row.kind.as_str() {
                "slots" => {
                    let (free, taken) = (count(row.a), count(row.b));
                    for origin in origins {
                        if slots_of(origin) == row.id {
                            state.space(origin).set_free(free, taken, now);
                        } else if probe_of(origin) == row.id && taken > 0 && !state.space(origin).has_probe {
                            state.space(origin).is_probed(now);
                        }
                    }
                }
                "waiter" => foreign.push(RemoteWaiter {
                    rank: Rank { priority: row.a, turn: row.b, since: row.c, id: row.text.into() },
                    queue: row.id,
                    avoid: row.more,
                    since: now,
                    is_silent: false,
                }),
                "health" => {
                    if let Some(origin) = origins.iter().find(|origin| origin.to_string() == row.id) {
                        let health = SpaceHealth::read(&row.text).unwrap_or_default();
                        state.space(origin).health.read(row.a, health);
                    }
                }
                "profile" => self.knowledge.offer(&row.id, &row.text),
                _ => {}
            }
        }
        state.renew_view(foreign, now);
        drop(state);
        self.knowledge.offered();
    }

    /// Claims the slots that the last scheduling pass wants. Returns true where each Space has granted all of them, so
    /// that it may grant more.
    async fn claim_all(self: &Rc<Self>) -> bool {
        let claims = self.claims.take();
        if claims.is_empty() || !self.state.borrow().is_shared {
            return false;
        }
        let mut has_all = true;
        for (claim, count) in claims {
            match self.claim(&claim, count).await {
                Ok(is_all) => has_all &= is_all,
                Err(_) => {
                    self.run_standalone();
                    return false;
                }
            }
        }
        self.schedule();
        self.release_probes();
        has_all
    }

    /// Claims `count` slots, and the right to probe where that is wanted. Returns true where all are granted.
    async fn claim(self: &Rc<Self>, claim: &Claim, count: usize) -> Result<bool, StoreError> {
        if claim.probe && !self.state.borrow_mut().space(&claim.origin).has_probe {
            let got = !self.leases.claim(&probe_of(&claim.origin), 1, 1).await?.is_empty();
            let now = self.host.unix_time();
            let mut state = self.state.borrow_mut();
            let space = state.space(&claim.origin);
            if !got {
                space.is_probed(now);
                return Ok(false);
            }
            space.has_probe = true;
            if space.idle() > 0 {
                return Ok(false);
            }
        }
        self.claim_slots(&claim.origin, count, claim.limit).await
    }

    /// Claims slots of a Space. Returns true where all are granted.
    pub(super) async fn claim_slots(
        self: &Rc<Self>,
        origin: &Origin,
        count: usize,
        limit: usize,
    ) -> Result<bool, StoreError> {
        let asked = count + self.state.borrow_mut().spare(origin, count, limit);
        let most = u32::try_from(asked).unwrap_or(u32::MAX);
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let slots = self.leases.claim(&slots_of(origin), most, limit).await?;
        let now = self.host.unix_time();
        self.state.borrow_mut().space(origin).add_slots(&slots, asked, now);
        Ok(slots.len() == asked)
    }

    /// Releases rights to probe that no job uses.
    fn release_probes(&self) {
        let mut unused = Vec::new();
        for (origin, space) in self.state.borrow_mut().spaces_mut() {
            if space.has_probe && !space.is_probing {
                space.has_probe = false;
                unused.push(origin.clone());
            }
        }
        for origin in unused {
            self.leases.release(&probe_of(&origin), &[0]);
        }
    }
}

/// A row of the read [`waiter::VIEW`].
struct ViewRow {
    kind: String,
    id: String,
    a: i64,
    b: i64,
    c: i64,
    text: String,
    more: String,
}

impl ViewRow {
    fn read(row: Row) -> Result<Self, StoreError> {
        let mut columns = Columns::of(row);
        Ok(Self {
            kind: columns.text()?,
            id: columns.text()?,
            a: columns.integer()?,
            b: columns.integer()?,
            c: columns.integer()?,
            text: columns.text()?,
            more: columns.text()?,
        })
    }
}

fn count(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}
