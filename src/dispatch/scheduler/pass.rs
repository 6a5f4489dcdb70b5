//! Scheduling pass: in the order of service, each waiting job starts at a Space or goes on waiting.
//!
//! A pass looks at the jobs of a group up to the first one for which there is no room ([`groups`](super::groups)), and
//! at each job that a stagger holds back. What the others reserve of the Spaces' time is counted, not added up one by
//! one. So a pass takes O(log n) for each job that it looks at, however many wait.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::decision::{Claim, Decision, Reserved};
use super::rank::WaitingPlace;
use super::state::{Effects, SchedulerState, written};
use super::wait_queue::{RowState, WaitQueue};
use crate::gradio::space::Origin;

/// A pass under way.
#[derive(Default)]
struct Pass {
    /// Jobs to look at next: the next one of each group that isn't stuck, with its number, and single ones.
    next: BinaryHeap<Reverse<(WaitingPlace, Option<u32>)>>,
    before: Reserved,
    claims: Vec<(Claim, usize)>,
    stuck: Vec<StuckGroup>,
    effects: Effects,
}

/// A group that is stuck, as far as what its jobs reserve is counted.
struct StuckGroup {
    number: u32,
    /// Number of its jobs that are counted.
    counted: usize,
    /// Space that they wait for, and the generation time of each there, in seconds.
    origin: Origin,
    seconds: f64,
}

impl Pass {
    /// Counts what jobs of stuck groups before `place` reserve.
    fn count_up_to(&mut self, place: &WaitingPlace, queue: &WaitQueue) {
        for stuck in &mut self.stuck {
            let ahead = queue.groups.get(stuck.number).map_or(0, |group| group.order.rank(place));
            let more = u32::try_from(ahead.saturating_sub(stuck.counted)).unwrap_or(u32::MAX);
            if more > 0 {
                stuck.counted = ahead;
                *self.before.seconds.entry(stuck.origin.clone()).or_default() += f64::from(more) * stuck.seconds;
            }
        }
    }

    fn claim(&mut self, claim: Claim) {
        *self.before.claims.entry(claim.origin.clone()).or_default() += 1;
        match self.claims.iter_mut().find(|(known, _)| known.origin == claim.origin) {
            Some((_, count)) => *count += usize::from(!claim.probe),
            None => self.claims.push((claim, 1)),
        }
    }

    fn look_again(&mut self, at: Option<Duration>) {
        self.effects.again = self.effects.again.into_iter().chain(at).min();
    }
}

impl SchedulerState {
    /// Scheduling pass over the waiting jobs, in order. `pause` draws the stagger before the next job of the same
    /// request.
    pub(super) fn schedule(&mut self, now: Duration, mut pause: impl FnMut() -> Duration) -> Effects {
        let mut pass = Pass::default();
        pass.effects.leave = self.queue.promote(now);
        pass.next = self.queue.begin_pass(now).into_iter().map(Reverse).collect();
        while let Some(Reverse((place, number))) = pass.next.pop() {
            let is_single = self.queue.find(place.1).is_some_and(|waiter| waiter.is_staggered());
            // A job that is held back since the pass began comes by itself.
            let goes_on = (is_single && number.is_some()) || self.look_at(&mut pass, &place, number, now, &mut pause);
            if goes_on && let Some(group) = number.and_then(|number| self.queue.groups.get(number)) {
                pass.next.extend(group.order.after(&place).map(|next| Reverse((next.clone(), number))));
            }
        }
        pass.look_again(self.queue.next_promotion());
        let Pass { claims, mut effects, .. } = pass;
        effects.claims = claims;
        if self.is_shared {
            self.give_up(now, &mut effects);
        }
        effects
    }

    /// Looks at a job. Returns false where those behind it in its group need no look.
    fn look_at(
        &mut self,
        pass: &mut Pass,
        place: &WaitingPlace,
        number: Option<u32>,
        now: Duration,
        pause: &mut impl FnMut() -> Duration,
    ) -> bool {
        pass.count_up_to(place, &self.queue);
        let id = place.1;
        let Some(waiter) = self.queue.find(id) else { return true };
        match self.decide(waiter, &pass.before, now) {
            Decision::Start { index, probe } => {
                let candidate = waiter.request.candidates.get(index).cloned();
                let Some((waiter, candidate)) = self.queue.remove(id).zip(candidate) else { return true };
                let slot = self.begin(&waiter, candidate, probe, now, pause());
                for held_back in self.queue.hold_back(waiter.request.request, now) {
                    if held_back > *place {
                        pass.next.push(Reverse((held_back, None)));
                    }
                }
                pass.effects.leave.extend(written(&waiter));
                pass.effects.done.push((waiter, Ok(slot)));
            }
            Decision::Wait { at, claim, again, wants_slot, is_full } => {
                let is_probed = at.is_none() && claim.is_none() && !wants_slot;
                let row = written(waiter).filter(|_| !wants_slot);
                if let Some((origin, seconds)) = &at {
                    *pass.before.seconds.entry(origin.clone()).or_default() += seconds;
                }
                if let Some(claim) = claim {
                    pass.claim(claim);
                }
                pass.look_again(again);
                pass.effects.wants_slots |= wants_slot;
                self.queue.set_wants_slot(id, wants_slot);
                if let Some(row) = row {
                    // Jobs behind it needn't wait for it.
                    pass.effects.leave.push(row);
                    self.queue.set_entry(id, RowState::None);
                }
                if let Some(group) = number.and_then(|number| self.queue.groups.get(number))
                    && ((is_full && wants_slot) || (is_probed && !group.has_rows()))
                    && let Some(number) = number
                {
                    let counted = group.order.rank(place) + 1;
                    pass.stuck.extend(at.map(|(origin, seconds)| StuckGroup { number, counted, origin, seconds }));
                    self.queue.set_stuck(number, place.clone(), wants_slot);
                    return false;
                }
            }
            Decision::Hopeless(refusal) => {
                if let Some(waiter) = self.queue.remove(id) {
                    pass.effects.leave.extend(written(&waiter));
                    pass.effects.done.push((waiter, Err(refusal)));
                }
            }
        }
        true
    }
}
