//! The scheduling pass beside one that looks at each waiting job: the same choice, whatever happens.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use futures::channel::mpsc;
use proptest::prelude::*;

use super::decision::{Decision, Reserved};
use super::rank::{Rank, WaitingPlace};
use super::request::{Candidate, Past, SlotRequest};
use super::stagger::Stagger;
use super::state::SchedulerState;
use super::view::RemoteWaiter;
use super::wait_queue::RowState;
use crate::catalog::{Catalog, PoolMember};
use crate::dispatch::crowd::Crowds;
use crate::dispatch::policy::SelectionRule;
use crate::generation::Priority;
use crate::gradio::space::Origin;

/// Something that happens to a scheduler.
#[derive(Clone, Debug)]
enum SchedulerEvent {
    /// A request for so many images comes.
    Comes { model: usize, caller: u8, priority: usize, work: u8, images: u64, failed: Option<usize> },
    /// A waiting job leaves.
    Leaves(usize),
    /// A job ends.
    Ends(usize),
    /// So many milliseconds pass.
    Passes(u64),
    /// The database is read: free slots at each Space, and the turns of other instances' jobs.
    Read([u32; 3], Vec<(usize, i64)>),
    /// Slots are granted.
    Granted(usize, i64),
    /// Rows of jobs are written, with a turn.
    Entered(usize, i64),
    /// The database fails.
    Fails,
}

fn event() -> impl Strategy<Value = SchedulerEvent> {
    let comes = (0..3_usize, 0..3_u8, 0..3_usize, 1..4_u8, 1..4_u64, prop::option::weighted(0.2, 0..2_usize));
    let comes = comes.prop_map(|(model, caller, priority, work, images, failed)| SchedulerEvent::Comes {
        model,
        caller,
        priority,
        work,
        images,
        failed,
    });
    prop_oneof![
        8 => comes,
        1 => (0..40_usize).prop_map(SchedulerEvent::Leaves),
        4 => (0..40_usize).prop_map(SchedulerEvent::Ends),
        3 => (1..20_000_u64).prop_map(SchedulerEvent::Passes),
        3 => (prop::array::uniform3(0..4_u32), prop::collection::vec((0..3_usize, 1..9_i64), 0..4))
            .prop_map(|(free, rows)| SchedulerEvent::Read(free, rows)),
        2 => (0..3_usize, 0..4_i64).prop_map(|(space, slot)| SchedulerEvent::Granted(space, slot)),
        3 => (0..40_usize, 1..9_i64).prop_map(|(at, turn)| SchedulerEvent::Entered(at, turn)),
        1 => Just(SchedulerEvent::Fails),
    ]
}

/// A scheduler and the jobs that it has begun.
struct Site {
    state: SchedulerState,
    catalog: Catalog,
    running: Vec<(u64, Origin)>,
    now: Duration,
    is_linear: bool,
}

/// PassOutcome of a pass: begun jobs with their Spaces, claims, and the next pass without any event.
#[derive(Debug, PartialEq)]
struct PassOutcome {
    begun: Vec<(u64, Origin)>,
    claims: BTreeMap<String, usize>,
    wanting: BTreeSet<u64>,
    positions: BTreeMap<u64, usize>,
    again: Option<Duration>,
}

impl Site {
    fn new(is_linear: bool) -> Self {
        let catalog = Catalog::parse("a=o/1,a=o/2,b=o/2,c=o/2,c=o/3", "", &mut Vec::new());
        let state = SchedulerState::new(Crowds::of(&catalog), SelectionRule::Forecast, 0.0, true);
        Self { state, catalog, running: Vec::new(), now: Duration::from_secs(1_000_000), is_linear }
    }

    fn pool(&self, model: usize) -> Vec<PoolMember> {
        self.catalog.find(Some(["a", "b", "c"][model])).unwrap().pool.clone()
    }

    fn origin(&self, space: usize) -> Origin {
        [self.pool(0)[0].clone(), self.pool(0)[1].clone(), self.pool(2)[1].clone()][space].space.origin().clone()
    }

    /// Waiting jobs, in order.
    fn places(&self) -> Vec<WaitingPlace> {
        let mut places: Vec<WaitingPlace> = self.state.queue.iter().map(|waiter| waiter.place()).collect();
        places.sort();
        places
    }

    fn happens(&mut self, event: &SchedulerEvent) {
        match event.clone() {
            SchedulerEvent::Comes { model, caller, priority, work, images, failed } => {
                let (stagger, pool) = (Rc::new(Stagger::default()), self.pool(model));
                let request = self.state.id();
                for _ in 0..images {
                    let candidate = |(at, member): (usize, &PoolMember)| Candidate {
                        member: member.clone(),
                        work: f64::from(work),
                        past: if failed == Some(at) { Past::Last } else { Past::Fresh },
                    };
                    let asked = SlotRequest {
                        request,
                        place: self.state.crowds.place(&pool),
                        caller: caller.to_string().into(),
                        is_admitted: Rc::default(),
                        priority: [Priority::High, Priority::Normal, Priority::Low][priority],
                        is_followed: false,
                        is_idle: false,
                        since: self.now,
                        candidates: pool.iter().enumerate().map(candidate).collect(),
                        stagger: Rc::clone(&stagger),
                    };
                    let id = self.state.id();
                    self.state.queue.push(id, asked, id.wrapping_mul(0x9e37_79b9), mpsc::unbounded().0, self.now);
                }
            }
            SchedulerEvent::Leaves(at) => {
                if let Some((_, id)) = self.places().get(at) {
                    self.state.queue.remove(*id);
                }
            }
            SchedulerEvent::Ends(at) => {
                if at < self.running.len() {
                    let (id, origin) = self.running.remove(at);
                    let now = self.now;
                    self.state.space(&origin).leave(id, now);
                }
            }
            SchedulerEvent::Passes(milliseconds) => self.now += Duration::from_millis(milliseconds),
            SchedulerEvent::Read(free, rows) => {
                self.state.is_shared = true;
                for (space, free) in free.into_iter().enumerate() {
                    let (origin, now) = (self.origin(space), self.now);
                    self.state.space(&origin).set_free(free, 4 - free, now);
                }
                let row = |(number, (model, turn)): (usize, (usize, i64))| RemoteWaiter {
                    rank: Rank { priority: 1, turn, since: 0, id: format!("row {number}").into() },
                    queue: self.state.crowds.place(&self.pool(model)).queue.to_string(),
                    avoid: String::new(),
                    since: self.now,
                    is_silent: false,
                };
                let rows = rows.into_iter().enumerate().map(row).collect();
                self.state.renew_view(rows, self.now);
            }
            SchedulerEvent::Granted(space, slot) => {
                let (origin, now) = (self.origin(space), self.now);
                self.state.space(&origin).add_slots(&[slot], 1, now);
            }
            SchedulerEvent::Entered(at, turn) => {
                if let Some((_, id)) = self.places().get(at) {
                    self.state.queue.reorder(*id, turn, format!("entry {id}"));
                }
            }
            SchedulerEvent::Fails => self.state.is_shared = false,
        }
    }

    fn pass(&mut self) -> PassOutcome {
        let pause = Duration::from_millis(2000);
        let (begun, claims, again) = if self.is_linear {
            self.look_at_all(pause)
        } else {
            let effects = self.state.schedule(self.now, || pause);
            let done = effects.done.iter();
            let begun: Vec<_> =
                done.map(|(waiter, slot)| (waiter.id, slot.as_ref().unwrap().member.space.origin().clone())).collect();
            let claims = effects.claims.iter().map(|(claim, count)| (claim.origin.to_string(), *count)).collect();
            (begun, claims, effects.again)
        };
        self.running.extend(begun.iter().cloned());
        let queue = &self.state.queue;
        let wanting = queue.iter().filter(|waiter| queue.wants_slot(waiter)).map(|waiter| waiter.id).collect();
        let first = queue.iter().filter(|waiter| queue.wants_slot(waiter)).map(|waiter| waiter.place()).min();
        assert_eq!(queue.first_wanting().map(|waiter| waiter.place()), first);
        let positions = if self.is_linear {
            let mut lines: HashMap<Rc<str>, usize> = HashMap::new();
            let mut position = |(_, id): WaitingPlace| {
                let place = queue.find(id).unwrap().request.place.queue.clone();
                let line = lines.entry(place).or_default();
                *line += 1;
                (id, *line - 1)
            };
            self.places().into_iter().map(&mut position).collect()
        } else {
            queue.iter().map(|waiter| (waiter.id, queue.ahead(waiter))).collect()
        };
        PassOutcome { begun, claims, wanting, positions, again }
    }

    /// A pass that looks at each job, and adds up what each reserves.
    #[allow(clippy::type_complexity, reason = "a test's own")]
    fn look_at_all(&mut self, pause: Duration) -> (Vec<(u64, Origin)>, BTreeMap<String, usize>, Option<Duration>) {
        let (state, now) = (&mut self.state, self.now);
        state.queue.promote(now);
        state.queue.begin_pass(now);
        let (mut before, mut full) = (Reserved::default(), HashMap::new());
        let (mut begun, mut claims, mut agains) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut places: Vec<WaitingPlace> = state.queue.iter().map(|waiter| waiter.place()).collect();
        places.sort();
        for (_, id) in places {
            let waiter = state.queue.find(id).unwrap();
            let features = |one: &Candidate| (one.member.space.origin().clone(), one.past);
            let place = waiter.request.place.queue.clone();
            let features = (place, waiter.request.candidates.iter().map(features).collect::<Vec<_>>());
            let is_plain = waiter.request.stagger.is_over(now);
            if let Some((at, wants_slot)) = full.get(&features).filter(|_| is_plain) {
                if let Some((origin, seconds)) = at {
                    *before.seconds.entry(Origin::clone(origin)).or_default() += seconds;
                }
                state.queue.set_wants_slot(id, *wants_slot);
                continue;
            }
            match state.decide(waiter, &before, now) {
                Decision::Start { index, probe } => {
                    let waiter = state.queue.remove(id).unwrap();
                    let candidate = waiter.request.candidates[index].clone();
                    let origin = candidate.member.space.origin().clone();
                    state.begin(&waiter, candidate, probe, now, pause);
                    begun.push((id, origin));
                }
                Decision::Wait { at, claim, again, wants_slot, is_full } => {
                    if let Some((origin, seconds)) = &at {
                        *before.seconds.entry(origin.clone()).or_default() += seconds;
                    }
                    if let Some(claim) = claim {
                        *before.claims.entry(claim.origin.clone()).or_default() += 1;
                        *claims.entry(claim.origin.to_string()).or_default() += 1;
                    }
                    if is_full && wants_slot && is_plain {
                        full.insert(features, (at, wants_slot));
                    }
                    agains.extend(again);
                    if !wants_slot && matches!(waiter.entry, RowState::Written(_)) {
                        state.queue.set_entry(id, RowState::None);
                    }
                    state.queue.set_wants_slot(id, wants_slot);
                }
                Decision::Hopeless(_) => panic!("no Space rests"),
            }
        }
        agains.extend(state.queue.next_promotion());
        let mut effects = super::state::Effects::default();
        if state.is_shared {
            state.give_up(now, &mut effects);
        }
        (begun, claims, agains.into_iter().min())
    }
}

proptest! {
    #[test]
    fn a_pass_chooses_as_one_that_looks_at_each_job(events in prop::collection::vec(event(), 1..120)) {
        let (mut site, mut linear) = (Site::new(false), Site::new(true));
        for (number, event) in events.iter().enumerate() {
            site.happens(event);
            linear.happens(event);
            prop_assert_eq!(site.places(), linear.places(), "before pass {}: {:?}", number, event);
            prop_assert_eq!(site.pass(), linear.pass(), "pass {}, after {:?}", number, event);
        }
    }
}
