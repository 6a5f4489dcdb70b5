//! Choice of a Space for a waiting job.
//!
//! **Choice.** Of the Spaces that accept the job and haven't failed it yet, two are drawn, and the one with the earlier
//! forecast ([`space_state`](crate::dispatch::space_state)) is chosen: the power of two choices. Drawing two instead of
//! comparing all keeps many instances with the same knowledge from rushing to the same Space; it costs little, as the
//! better of two is never the worst of all. If the chosen one has no room, all are compared, and the job takes the best
//! of all or waits for it. So a job waits for a fast Space where that promises an earlier end than an idle slow one.
//!
//! **Last resort.** Where all Spaces have failed the job, or their breakers are open by failures, one that may still
//! work is probed with one job at a time. Where all have announced a rest, the job is refused at once.
//!
//! Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing"; linkerd2-proxy's balancer.

use std::time::Duration;

use super::decision::{Claim, Decision, Reserved};
use super::request::{Candidate, Past};
use super::stagger::Stagger;
use super::state::SchedulerState;
use super::wait_queue::Waiter;
use crate::catalog::PoolMember;
use crate::dispatch::health::latency::USUAL;
use crate::dispatch::policy::SelectionRule;
use crate::dispatch::refusal::{Refusal, Tried};
use crate::dispatch::space_state::{Room, SpaceAccess, SpaceState, span};
use crate::gradio::failure::Failure;
use crate::gradio::space::Space;

/// Rating of a candidate at the moment.
pub(super) struct Rating<'a> {
    index: usize,
    member: &'a PoolMember,
    probe: bool,
    generation: f64,
    pub(super) forecast: f64,
    room: Room,
    is_due: bool,
}

impl Rating<'_> {
    fn has_room(&self) -> bool {
        self.is_due && self.room != Room::None
    }
}

impl SchedulerState {
    pub(super) fn decide(&self, waiter: &Waiter, before: &Reserved, now: Duration) -> Decision {
        let candidates = &waiter.request.candidates;
        let stagger = &waiter.request.stagger;
        let usual = self.usual(candidates);
        for past in [Past::Fresh, Past::Earlier, Past::Last] {
            let those = candidates.iter().enumerate().filter(|(_, candidate)| candidate.past == past);
            let ratings: Vec<_> = those
                .filter_map(|(index, candidate)| self.rate(index, candidate, usual, stagger, Some(waiter), before, now))
                .collect();
            // The Space that failed last comes after all others, even those with open breakers.
            if past == Past::Last
                && let Some(decision) = self.last_resort(waiter, Past::Earlier, before, now)
            {
                return decision;
            }
            if let Some(best) = self.best(waiter, &ratings) {
                let is_full = ratings.iter().all(|rating| rating.room == Room::None);
                return self.begin_or_wait(waiter, best, is_full, now);
            }
        }
        self.last_resort(waiter, Past::Last, before, now).unwrap_or_else(|| self.hopeless(candidates, now))
    }

    fn begin_or_wait(&self, waiter: &Waiter, best: &Rating<'_>, is_full: bool, now: Duration) -> Decision {
        let origin = best.member.space.origin();
        let may_try = !best.probe || !self.is_shared || self.known(origin).is_some_and(|space| space.has_probe);
        if best.is_due && best.room == Room::Held && may_try {
            return Decision::Start { index: best.index, probe: best.probe };
        }
        let claim =
            best.has_room().then(|| Claim { origin: origin.clone(), limit: best.member.slots, probe: best.probe });
        Decision::Wait {
            at: Some((origin.clone(), best.generation)),
            claim,
            again: self.next_change(&waiter.request.candidates, &waiter.request.stagger, now),
            wants_slot: best.is_due,
            is_full,
        }
    }

    /// The better of two drawn from `ratings`, or the best of all where that one has no room.
    fn best<'a>(&self, waiter: &Waiter, ratings: &'a [Rating<'a>]) -> Option<&'a Rating<'a>> {
        let (one, other) = draw_two(waiter.draw, ratings.len())?;
        let earlier = |rating: &&Rating<'_>, than: &&Rating<'_>| rating.forecast.total_cmp(&than.forecast);
        match self.rule {
            SelectionRule::Forecast => {
                let better = [ratings.get(one), ratings.get(other)].into_iter().flatten().min_by(earlier)?;
                if better.has_room() { Some(better) } else { ratings.iter().min_by(earlier) }
            }
            #[cfg(feature = "simulated")]
            SelectionRule::Random => ratings.get(one),
            #[cfg(feature = "simulated")]
            SelectionRule::RoundRobin => {
                let number = usize::try_from(waiter.id).ok()?;
                ratings.get(number.checked_rem(ratings.len())?)
            }
        }
    }

    /// Rating of a candidate, if it accepts the job; without a waiter, for a job ahead of all others.
    #[allow(clippy::too_many_arguments, reason = "a rating depends on each of them")]
    fn rate<'a>(
        &self,
        index: usize,
        candidate: &'a Candidate,
        usual: f64,
        stagger: &Stagger,
        waiter: Option<&Waiter>,
        before: &Reserved,
        now: Duration,
    ) -> Option<Rating<'a>> {
        let Candidate { member, work, .. } = candidate;
        let origin = member.space.origin();
        let new = SpaceState::default();
        let space = self.known(origin).unwrap_or(&new);
        let SpaceAccess::Open { probe } = space.access(member, self.jitter, now) else { return None };
        let generation = space.generation(*work, usual, now);
        let stagger = stagger.left(origin, now);
        let seconds = before.seconds.get(origin).copied().unwrap_or_default();
        let forecast = space.forecast(member, generation, seconds, stagger.as_secs_f64(), now);
        let room = self.room(space, member, waiter, before, now);
        Some(Rating { index, member, probe, generation, forecast, room, is_due: stagger.is_zero() })
    }

    fn room(
        &self,
        space: &SpaceState,
        member: &PoolMember,
        waiter: Option<&Waiter>,
        before: &Reserved,
        now: Duration,
    ) -> Room {
        if !self.is_shared {
            return space.standalone_room(member.slots);
        }
        let origin = member.space.origin();
        let foreign = waiter.map_or(0, |waiter| self.view.before(&waiter.rank, origin, &self.crowds));
        let claimed = before.claims.get(origin).copied().unwrap_or_default();
        match space.room(foreign, claimed, now) {
            // No more than it has, as long as nobody knows how many are free.
            Room::Likely if claimed >= member.slots => Room::None,
            room => room,
        }
    }

    /// Decision where no Space up to `past` accepts the job: probes one whose breaker is open by failures, or waits for
    /// the probe of another job.
    fn last_resort(&self, waiter: &Waiter, past: Past, before: &Reserved, now: Duration) -> Option<Decision> {
        let candidates = &waiter.request.candidates;
        let stagger = &waiter.request.stagger;
        let new = SpaceState::default();
        let mut tripped = Vec::new();
        let mut is_probed = false;
        for (index, candidate) in candidates.iter().enumerate() {
            let space = self.known(candidate.member.space.origin()).unwrap_or(&new);
            match space.access(&candidate.member, self.jitter, now) {
                SpaceAccess::Probed => is_probed = true,
                SpaceAccess::Tripped(until) => tripped.push((candidate.past, until, index, candidate)),
                SpaceAccess::Open { .. } | SpaceAccess::Resting(_) => {}
            }
        }
        let again = self.next_change(candidates, stagger, now);
        if is_probed {
            return Some(Decision::Wait { at: None, claim: None, again, wants_slot: false, is_full: false });
        }
        let is_meant = |one: &(Past, Duration, usize, &Candidate)| one.0 <= past;
        let (_, _, index, candidate) = tripped.into_iter().filter(is_meant).min_by_key(|one| (one.0, one.1))?;
        let rating = Rating {
            index,
            member: &candidate.member,
            probe: true,
            generation: 0.0,
            forecast: 0.0,
            room: self.room(
                self.known(candidate.member.space.origin()).unwrap_or(&new),
                &candidate.member,
                Some(waiter),
                before,
                now,
            ),
            is_due: stagger.left(candidate.member.space.origin(), now).is_zero(),
        };
        Some(self.begin_or_wait(waiter, &rating, rating.room == Room::None, now))
    }

    /// Decision where all Spaces have announced a rest.
    fn hopeless(&self, candidates: &[Candidate], now: Duration) -> Decision {
        let resting = candidates.iter().filter_map(|candidate| {
            match self.known(candidate.member.space.origin())?.access(&candidate.member, self.jitter, now) {
                SpaceAccess::Resting(until) => Some((until, candidate)),
                _ => None,
            }
        });
        Decision::Hopeless(match resting.min_by_key(|(until, _)| *until) {
            Some((until, candidate)) => self.resting(&candidate.member.space, until, now),
            None => Failure::NoImage.into(),
        })
    }

    fn resting(&self, space: &Space, until: Duration, now: Duration) -> Refusal {
        let wait = until.saturating_sub(now).max(Duration::from_secs(1));
        let cause = self.known(space.origin()).map(|state| state.health.view().cause.clone()).unwrap_or_default();
        Refusal::Resting { last: Box::new(Tried::new(space, cause.into_failure(wait))), wait }
    }

    /// Best forecast among fresh candidates with room, in seconds.
    pub(super) fn elsewhere(&self, candidates: &[Candidate], stagger: &Stagger, now: Duration) -> Option<f64> {
        let before = Reserved::default();
        let ratings = candidates.iter().enumerate().filter(|(_, candidate)| candidate.past == Past::Fresh);
        let usual = self.usual(candidates);
        let ratings =
            ratings.filter_map(|(index, candidate)| self.rate(index, candidate, usual, stagger, None, &before, now));
        ratings.filter(|rating| rating.has_room() && !rating.probe).map(|rating| rating.forecast).min_by(f64::total_cmp)
    }

    /// Time of the next change without any event: the end of a stagger, or a breaker that admits a job.
    fn next_change(&self, candidates: &[Candidate], stagger: &Stagger, now: Duration) -> Option<Duration> {
        let changes = candidates.iter().flat_map(|candidate| {
            let origin = candidate.member.space.origin();
            let space = self.known(origin);
            let entry = space.map(|space| space.access(&candidate.member, self.jitter, now));
            let due = Some(now.saturating_add(stagger.left(origin, now))).filter(|due| *due > now);
            let admitted = match entry {
                Some(SpaceAccess::Resting(until) | SpaceAccess::Tripped(until)) => Some(until),
                // Another instance may have abandoned its probe.
                Some(SpaceAccess::Probed) => Some(now.saturating_add(Duration::from_secs(1))),
                _ => None,
            };
            // A wrong forecast shows at the forecast time.
            let free = space.filter(|space| space.running() > 0).map(|space| space.next_slot(now));
            let free = free.map(|seconds| now.saturating_add(span(seconds.max(1.0))));
            [due, admitted, free].into_iter().flatten()
        });
        changes.min()
    }

    /// Average time of a unit of work at the candidates with samples, in seconds.
    pub(super) fn usual(&self, candidates: &[Candidate]) -> f64 {
        let spaces = candidates.iter().filter_map(|candidate| self.known(candidate.member.space.origin()));
        let known: Vec<f64> = spaces.filter_map(|space| space.health.view().latency.known()).collect();
        let count = u32::try_from(known.len()).unwrap_or(u32::MAX);
        if known.is_empty() { USUAL } else { known.iter().sum::<f64>() / f64::from(count) }
    }
}

/// Two different indexes below `count`, or the same one twice where `count` is 1.
fn draw_two(draw: u64, count: usize) -> Option<(usize, usize)> {
    let count = u64::try_from(count).ok().filter(|count| *count > 0)?;
    let one = draw % count;
    let others = count - 1;
    let other = if others == 0 { one } else { (one + 1 + (draw >> 32) % others) % count };
    Some((usize::try_from(one).ok()?, usize::try_from(other).ok()?))
}
