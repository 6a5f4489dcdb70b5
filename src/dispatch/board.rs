//! Who waits for a Space, and whose turn it is.
//!
//! Jobs wait here until the Space that they are best given to has room: they aren't tied to one before. Whenever something changes (a
//! slot gets free, a stagger has passed, a breaker opens or may be tried) the waiting jobs are looked at in their order, and each is given to a
//! Space, or goes on waiting.
//!
//! **Order.** By priority, then by arrival, with aging: a job of high priority is treated as if it had come a minute earlier, one of low
//! priority as if a minute later. So none waits more than two minutes' worth of arrivals longer than the others, and none starves.
//!
//! **Choice.** Of the Spaces that may have a job and haven't failed it yet, two are drawn, and the one with the earlier forecast ([`super::site`]) is
//! taken: the power of two choices. Drawing two, and not looking at all, keeps the many instances that know the same of the same Spaces from rushing to one of them
//! together; it costs little, since the second best of two is never the worst of all. If the one taken has no room, all are looked at, and the best of all is
//! waited for, or taken if it has room. So a job waits for a fast Space where that promises an earlier end than a slow one that is idle.
//!
//! **For want of better.** Where all Spaces have failed the job, or their breakers have opened by failures, one that may yet work is tried all the
//! same, with one job at a time. Where all have said that they are of no use until some time, that is told to the client at once.
//!
//! Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing"; linkerd2-proxy's balancer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;

use super::latency::USUAL;
use super::refusal::Refusal;
use super::site::{Entry, Site, span};
use super::turns::Held;
use crate::catalog::Seat;
use crate::generation::Priority;
use crate::gradio::failure::Failure;
use crate::gradio::space::{Origin, Token};

/// How much earlier a job of high priority, or later one of low, is taken to have come.
const HEAD_START: Duration = Duration::from_secs(60);

/// How a Space is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rule {
    /// By forecast, of two that are drawn.
    #[default]
    Forecast,
    /// Any.
    #[cfg(test)]
    Random,
    /// One after the other.
    #[cfg(test)]
    RoundRobin,
}

/// A Space that a job may be given to.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) seat: Seat,
    /// How much work the job is there.
    pub(super) work: f64,
    /// What it has been to the job.
    pub(super) past: Past,
}

/// What a Space has been to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Past {
    /// Nothing yet.
    Fresh,
    /// It has failed it, and another one has since.
    Earlier,
    /// It was the last that failed it.
    Last,
}

/// When a request's next job may begin at each Space, since the Unix epoch.
#[derive(Debug, Default)]
pub(super) struct Stagger {
    /// When the next one may have a turn there.
    turns: RefCell<HashMap<Origin, Duration>>,
    /// When the next one may be sent there: a turn may have taken a while to get that far.
    sent: RefCell<HashMap<Origin, Duration>>,
}

impl Stagger {
    /// How long until the next one may have a turn.
    fn left(&self, origin: &Origin, now: Duration) -> Duration {
        self.turns.borrow().get(origin).map_or(Duration::ZERO, |at| at.saturating_sub(now))
    }

    fn begin(&self, origin: &Origin, next: Duration) {
        let mut turns = self.turns.borrow_mut();
        let known = turns.entry(origin.clone()).or_default();
        *known = next.max(*known);
    }

    /// Sends one now, if it may be, and the next one at `next`; else tells how long until it may.
    pub(super) fn send(&self, origin: &Origin, now: Duration, next: Duration) -> Result<(), Duration> {
        let mut sent = self.sent.borrow_mut();
        let known = sent.entry(origin.clone()).or_default();
        let left = known.saturating_sub(now);
        if !left.is_zero() {
            return Err(left);
        }
        *known = next;
        drop(sent);
        self.begin(origin, next);
        Ok(())
    }
}

/// A job that wants a turn.
pub(super) struct Wish {
    /// Which request it is of.
    pub(super) request: u64,
    pub(super) priority: Priority,
    /// Whether it has no images of its own yet.
    pub(super) is_idle: bool,
    /// When it came.
    pub(super) since: Duration,
    pub(super) candidates: Vec<Candidate>,
    pub(super) stagger: Rc<Stagger>,
}

/// A turn at a Space.
#[derive(Debug)]
pub(super) struct Turn {
    /// Which.
    pub(super) id: u64,
    pub(super) seat: Seat,
    pub(super) stagger: Rc<Stagger>,
    pub(super) token: Option<Token>,
    /// Whether it is to try the Space.
    pub(super) probe: bool,
    /// How much work the job is.
    pub(super) work: f64,
    /// How long it is expected to take, in seconds.
    pub(super) generation: f64,
}

/// What comes of a wish.
pub(super) type Outcome = Result<Turn, Refusal>;

/// It, as the one who waits gets it: a turn that is lost on the way is the next one's.
pub(super) type Answer = Result<Held, Refusal>;

struct Waiter {
    id: u64,
    wish: Wish,
    /// Its place in the order.
    rank: Duration,
    /// What draws its two Spaces.
    draw: u64,
    tell: oneshot::Sender<Answer>,
    /// When it is to be looked at again, if nothing else happens.
    again: Option<Duration>,
}

/// What an instance knows of Spaces, and who waits for them.
#[derive(Default)]
pub(super) struct Board {
    sites: HashMap<Origin, Site>,
    /// In their order.
    waiting: Vec<Waiter>,
    next_id: u64,
    rule: Rule,
}

/// What becomes of a waiting job.
enum Decision {
    /// It is the turn of the candidate of that index.
    Start { index: usize, probe: bool },
    /// It goes on waiting: for that Space, whose jobs so take that much longer, and until then at most.
    Wait { at: Option<(Origin, f64)>, again: Option<Duration> },
    /// There is nothing to wait for.
    Hopeless(Refusal),
}

/// A candidate as it is now.
struct Look<'a> {
    index: usize,
    seat: &'a Seat,
    probe: bool,
    generation: f64,
    forecast: f64,
    has_room: bool,
}

impl Board {
    /// An empty one.
    pub(super) fn new(rule: Rule) -> Self {
        Self { rule, ..Self::default() }
    }

    /// What is known of the Space at `origin`.
    pub(super) fn site(&mut self, origin: &Origin) -> &mut Site {
        self.sites.entry(origin.clone()).or_default()
    }

    /// What is known of it, if anything is.
    pub(super) fn known(&self, origin: &Origin) -> Option<&Site> {
        self.sites.get(origin)
    }

    /// How many jobs wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many jobs wait that could go to the Space at `origin`.
    pub(super) fn waiting_for(&self, origin: &Origin) -> usize {
        let could = |waiter: &&Waiter| waiter.wish.candidates.iter().any(|one| one.seat.space.origin() == origin);
        self.waiting.iter().filter(could).count()
    }

    /// How many jobs are before the one of that id.
    pub(super) fn before(&self, id: u64) -> usize {
        self.waiting.iter().take_while(|waiter| waiter.id != id).count()
    }

    /// A job begins to wait. `draw` is random. Its turn comes through `tell`.
    pub(super) fn enter(&mut self, wish: Wish, draw: u64, tell: oneshot::Sender<Answer>) -> u64 {
        let id = self.id();
        let rank = match wish.priority {
            Priority::High => wish.since.saturating_sub(HEAD_START),
            Priority::Normal => wish.since,
            Priority::Low => wish.since.saturating_add(HEAD_START),
        };
        let place = self.waiting.partition_point(|waiter| waiter.rank <= rank);
        self.waiting.insert(place, Waiter { id, wish, rank, draw, tell, again: None });
        id
    }

    /// A number that nothing else has.
    pub(super) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// A job waits no longer.
    pub(super) fn forget(&mut self, id: u64) {
        self.waiting.retain(|waiter| waiter.id != id);
    }

    /// No waiting job of that request is wanted any more; or none that has no images of its own.
    pub(super) fn dismiss(
        &mut self,
        request: u64,
        only_idle: bool,
        why: &Refusal,
    ) -> Vec<(oneshot::Sender<Answer>, Outcome)> {
        let is_meant = |waiter: &Waiter| waiter.wish.request == request && (waiter.wish.is_idle || !only_idle);
        let (dismissed, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting).into_iter().partition(is_meant);
        self.waiting = kept;
        dismissed.into_iter().map(|waiter| (waiter.tell, Err(why.clone()))).collect()
    }

    /// When the job of that id is to be looked at again, if nothing else happens.
    pub(super) fn again(&self, id: u64) -> Option<Duration> {
        self.waiting.iter().find(|waiter| waiter.id == id)?.again
    }

    /// Looks at all that wait, in their order. Those whose turn it is, or who wait in vain, are told by the caller, once nothing of this is borrowed any more.
    /// `stagger` gives the time until the next job of the same request may follow.
    pub(super) fn look(
        &mut self,
        now: Duration,
        mut stagger: impl FnMut() -> Duration,
    ) -> Vec<(oneshot::Sender<Answer>, Outcome)> {
        let mut told = Vec::new();
        // How long the jobs take that wait for a Space before the one that is looked at.
        let mut before: HashMap<Origin, f64> = HashMap::new();
        for waiter in std::mem::take(&mut self.waiting) {
            match self.decide(&waiter, &before, now) {
                Decision::Start { index, probe } => {
                    let Waiter { id, wish, tell, .. } = waiter;
                    let usual = self.usual(&wish.candidates);
                    if let Some(Candidate { seat, work, .. }) = wish.candidates.into_iter().nth(index) {
                        let pause = stagger();
                        let stagger = wish.stagger;
                        stagger.begin(seat.space.origin(), now.saturating_add(pause));
                        let site = self.site(seat.space.origin());
                        let generation = site.generation(work, usual, now);
                        let token = site.enter(id, &seat, generation, now);
                        site.probing |= probe;
                        told.push((tell, Ok(Turn { id, seat, stagger, token, probe, work, generation })));
                    }
                }
                Decision::Wait { at, again } => {
                    if let Some((origin, seconds)) = at {
                        *before.entry(origin).or_default() += seconds;
                    }
                    self.waiting.push(Waiter { again, ..waiter });
                }
                Decision::Hopeless(refusal) => told.push((waiter.tell, Err(refusal))),
            }
        }
        told
    }

    /// When a job of `request` that waits at a Space for its turn would be done elsewhere, if it began there at once, in seconds.
    pub(super) fn elsewhere(&self, candidates: &[Candidate], stagger: &Stagger, now: Duration) -> Option<f64> {
        let before = HashMap::new();
        let looks = candidates.iter().enumerate().filter(|(_, candidate)| candidate.past == Past::Fresh);
        let usual = self.usual(candidates);
        let looks = looks.filter_map(|(index, candidate)| self.see(index, candidate, usual, stagger, &before, now));
        looks.filter(|look| look.has_room && !look.probe).map(|look| look.forecast).min_by(f64::total_cmp)
    }

    fn decide(&self, waiter: &Waiter, before: &HashMap<Origin, f64>, now: Duration) -> Decision {
        let Wish { candidates, stagger, .. } = &waiter.wish;
        let usual = self.usual(candidates);
        for past in [Past::Fresh, Past::Earlier, Past::Last] {
            let those = candidates.iter().enumerate().filter(|(_, candidate)| candidate.past == past);
            let looks: Vec<_> = those
                .filter_map(|(index, candidate)| self.see(index, candidate, usual, stagger, before, now))
                .collect();
            // One that has just failed the job is asked again after all others, whatever their breakers say.
            if past == Past::Last
                && let Some(decision) = self.for_want_of_better(waiter, Past::Earlier, now)
            {
                return decision;
            }
            if let Some(best) = self.best(waiter, &looks) {
                if best.has_room {
                    return Decision::Start { index: best.index, probe: best.probe };
                }
                let at = Some((best.seat.space.origin().clone(), best.generation));
                return Decision::Wait { at, again: self.next_change(candidates, stagger, now) };
            }
        }
        self.for_want_of_better(waiter, Past::Last, now).unwrap_or_else(|| self.hopeless(candidates, now))
    }

    /// Two of `looks` drawn, and the better one; the best of all where that one has no room.
    fn best<'a>(&self, waiter: &Waiter, looks: &'a [Look<'a>]) -> Option<&'a Look<'a>> {
        let (one, other) = draw_two(waiter.draw, looks.len())?;
        let earlier = |look: &&Look<'_>, than: &&Look<'_>| look.forecast.total_cmp(&than.forecast);
        match self.rule {
            Rule::Forecast => {
                let better = [looks.get(one), looks.get(other)].into_iter().flatten().min_by(earlier)?;
                if better.has_room { Some(better) } else { looks.iter().min_by(earlier) }
            }
            #[cfg(test)]
            Rule::Random => looks.get(one),
            #[cfg(test)]
            Rule::RoundRobin => looks.get(usize::try_from(waiter.id).unwrap() % looks.len()),
        }
    }

    /// A candidate as it is now, if it may have a job.
    fn see<'a>(
        &self,
        index: usize,
        candidate: &'a Candidate,
        usual: f64,
        stagger: &Stagger,
        before: &HashMap<Origin, f64>,
        now: Duration,
    ) -> Option<Look<'a>> {
        let Candidate { seat, work, .. } = candidate;
        let origin = seat.space.origin();
        let new = Site::default();
        let site = self.sites.get(origin).unwrap_or(&new);
        let Entry::Open { probe } = site.entry(seat, now) else { return None };
        let generation = site.generation(*work, usual, now);
        let stagger = stagger.left(origin, now);
        let before = before.get(origin).copied().unwrap_or_default();
        let forecast = site.forecast(seat, generation, before, stagger.as_secs_f64(), now);
        Some(Look {
            index,
            seat,
            probe,
            generation,
            forecast,
            has_room: site.in_flight() < seat.slots && stagger.is_zero(),
        })
    }

    /// None of the Spaces before `past` may have the job: one whose breaker has opened by failures is tried all the same, if nobody else does; if somebody does,
    /// that is waited for.
    fn for_want_of_better(&self, waiter: &Waiter, past: Past, now: Duration) -> Option<Decision> {
        let Wish { candidates, stagger, .. } = &waiter.wish;
        let new = Site::default();
        let mut tripped = Vec::new();
        let mut is_probed = false;
        for (index, candidate) in candidates.iter().enumerate() {
            let site = self.sites.get(candidate.seat.space.origin()).unwrap_or(&new);
            match site.entry(&candidate.seat, now) {
                Entry::Probed => is_probed = true,
                Entry::Tripped(until) => tripped.push((candidate.past, until, index, candidate)),
                Entry::Open { .. } | Entry::Resting(_) => {}
            }
        }
        let wait = || Decision::Wait { at: None, again: self.next_change(candidates, stagger, now) };
        if is_probed {
            return Some(wait());
        }
        let is_meant = |one: &(Past, Duration, usize, &Candidate)| one.0 <= past;
        let (_, _, index, candidate) = tripped.into_iter().filter(is_meant).min_by_key(|one| (one.0, one.1))?;
        let origin = candidate.seat.space.origin();
        let has_room = self.known(origin).is_none_or(|site| site.in_flight() < candidate.seat.slots);
        let is_due = stagger.left(origin, now).is_zero();
        Some(if has_room && is_due { Decision::Start { index, probe: true } } else { wait() })
    }

    /// All have said that they are of no use for some time.
    fn hopeless(&self, candidates: &[Candidate], now: Duration) -> Decision {
        let resting = candidates.iter().filter_map(|candidate| {
            match self.known(candidate.seat.space.origin())?.entry(&candidate.seat, now) {
                Entry::Resting(until) => Some((until, candidate)),
                _ => None,
            }
        });
        Decision::Hopeless(match resting.min_by_key(|(until, _)| *until) {
            Some((until, candidate)) => self.resting(candidate.seat.space.origin(), until, now),
            None => Failure::NoImage.into(),
        })
    }

    fn resting(&self, origin: &Origin, until: Duration, now: Duration) -> Refusal {
        let wait = until.saturating_sub(now).max(Duration::from_secs(1));
        let cause = self.known(origin).map(|site| site.condition.cause.clone()).unwrap_or_default();
        Refusal::Resting { last: Box::new(cause.into_failure(wait)), wait }
    }

    /// When time alone changes something: a stagger has passed, or a breaker lets a job through.
    fn next_change(&self, candidates: &[Candidate], stagger: &Stagger, now: Duration) -> Option<Duration> {
        let changes = candidates.iter().flat_map(|candidate| {
            let origin = candidate.seat.space.origin();
            let entry = self.sites.get(origin).map(|site| site.entry(&candidate.seat, now));
            let due = Some(now.saturating_add(stagger.left(origin, now))).filter(|due| *due > now);
            let admitted = match entry {
                Some(Entry::Resting(until) | Entry::Tripped(until)) => Some(until),
                _ => None,
            };
            // A forecast that was wrong is seen to be so when the time has come.
            let free = self.sites.get(origin).filter(|site| site.in_flight() > 0).map(|site| site.next_slot(now));
            let free = free.map(|seconds| now.saturating_add(span(seconds.max(1.0))));
            [due, admitted, free].into_iter().flatten()
        });
        changes.min()
    }

    /// What a unit of work usually takes at those Spaces, by the ones that are known.
    fn usual(&self, candidates: &[Candidate]) -> f64 {
        let sites = candidates.iter().filter_map(|candidate| self.known(candidate.seat.space.origin()));
        let known: Vec<f64> = sites.filter_map(|site| site.condition.latency.known()).collect();
        let count = u32::try_from(known.len()).unwrap_or(u32::MAX);
        if known.is_empty() { USUAL } else { known.iter().sum::<f64>() / f64::from(count) }
    }
}

/// Two different numbers below `count`, or the same one twice where there is but one.
fn draw_two(draw: u64, count: usize) -> Option<(usize, usize)> {
    let count = u64::try_from(count).ok().filter(|count| *count > 0)?;
    let one = draw % count;
    let others = count - 1;
    let other = if others == 0 { one } else { (one + 1 + (draw >> 32) % others) % count };
    Some((usize::try_from(one).ok()?, usize::try_from(other).ok()?))
}
