//! State of a Space as an instance sees it, and the forecast of a job's end there.
//!
//! ```text
//! generation = work · peak EWMA of seconds per unit            (see `health::latency`)
//! queue      = wait by the Space's last report of its queue, less the time since
//! ours       = time until the last of our jobs there is expected to end
//! finish     = max(stagger, queue, ours + jobs waiting ahead of it) + generation
//! finish     = 2 · finish + 5 s                                 for a probe of a Space that failed
//! forecast   = finish / weight
//! ```
//!
//! `ours` assumes a Space that makes one image after another, as a Space on one GPU does. One that makes several at
//! once is overestimated by up to a generation while our jobs run there: jobs go elsewhere first, if others are less
//! than twice as slow. Jobs of other instances are assumed to be half done.

use std::time::Duration;

use super::health::ANONYMOUS;
use super::health::breaker::Admission;
use super::health::shared::SharedHealth;
use super::space_queue::{SeenQueue, SpaceQueue, begins_in};
use crate::catalog::PoolMember;
use crate::generation::QueuePosition;
use crate::gradio::space::Token;

/// Time for which another instance's probe is assumed to last after it was observed.
const PROBED: Duration = Duration::from_secs(2);
/// Time for which a slot goes on serving jobs of the instance that it was granted to, though others are ahead. Handing
/// it over takes some ten milliseconds, which is more than a fast Space's generation; a generation of a second leaves
/// nothing of the slice.
const SLICE: Duration = Duration::from_millis(100);

/// State of a Space as an instance sees it. Times are since the Unix epoch.
#[derive(Debug, Default)]
pub(super) struct SpaceState {
    pub(super) health: SharedHealth,
    /// Jobs of this instance at the Space.
    running: Vec<RunningJob>,
    /// Idle slots of this instance, with the times since when they are idle.
    idle: Vec<(HeldSlot, Duration)>,
    /// Free slots by the last read of the database; none before the first.
    free: Option<FreeSlots>,
    /// Jobs of other instances by the last read of the database.
    elsewhere: u32,
    /// Set while this instance holds the right to probe the Space.
    pub(super) has_probe: bool,
    /// Set while a probe of this instance is running.
    pub(super) is_probing: bool,
    /// Assumed end of another instance's probe.
    probed_until: Option<Duration>,
    /// Last report of its queue.
    queue: SpaceQueue,
    /// Index of the next token in the round robin.
    turn_of: usize,
    /// Number of slots, by the pool of the last job.
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct FreeSlots {
    count: u32,
    /// Begin of the time for which every read has found a free slot.
    since: Option<Duration>,
}

#[derive(Debug)]
struct RunningJob {
    id: u64,
    /// Expected end.
    until: Duration,
    /// Start; none while the job is queued.
    began: Option<Duration>,
    /// Slot of the job; none where the database failed.
    slot: Option<HeldSlot>,
}

/// A slot that this instance holds.
#[derive(Clone, Copy, Debug)]
struct HeldSlot {
    number: i64,
    /// End of its time slice.
    until: Duration,
}

/// Access of jobs to a member of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SpaceAccess {
    /// Open to jobs, or to one `probe`.
    Open { probe: bool },
    /// Closed while another job probes it.
    Probed,
    /// Closed until this time by its breaker; open as a last resort.
    Tripped(Duration),
    /// Closed until this time, which the Space has announced.
    Resting(Duration),
}

/// Room for a job at a Space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// This instance holds a slot.
    Held,
    /// The database probably grants a slot.
    Likely,
    /// No slot.
    None,
}

impl SpaceState {
    /// Access to the Space as `member` of a pool, for an instance of that `jitter`.
    pub(super) fn access(&self, member: &PoolMember, jitter: f64, now: Duration) -> SpaceAccess {
        if let Some(until) = self.all_exhausted_until(member.space.tokens(), now) {
            return SpaceAccess::Resting(until);
        }
        let is_probed = self.is_probing || self.probed_until.is_some_and(|until| until > now);
        match self.health.view().breaker.admits(now, jitter) {
            Admission::Closed => SpaceAccess::Open { probe: false },
            Admission::Probe | Admission::Tripped(_) if is_probed => SpaceAccess::Probed,
            Admission::Probe => SpaceAccess::Open { probe: true },
            Admission::Tripped(until) => SpaceAccess::Tripped(until),
            Admission::Resting(until) => SpaceAccess::Resting(until),
        }
    }

    fn all_exhausted_until(&self, tokens: &[Token], now: Duration) -> Option<Duration> {
        if tokens.is_empty() {
            return self.health.view().exhausted_until(ANONYMOUS, now);
        }
        let until = |token: &Token| self.health.view().exhausted_until(&token.fingerprint(), now);
        let untils: Option<Vec<Duration>> = tokens.iter().map(until).collect();
        untils?.into_iter().min()
    }

    /// Notes that another instance probes the Space.
    pub(super) fn is_probed(&mut self, now: Duration) {
        self.probed_until = Some(now.saturating_add(PROBED));
    }

    /// Number of this instance's jobs.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// Number of all instances' jobs, by the last read of the database.
    pub(super) fn in_flight(&self) -> usize {
        self.running.len() + usize::try_from(self.elsewhere).unwrap_or(usize::MAX)
    }

    /// Number of this instance's jobs without a slot.
    pub(super) fn without_slot(&self) -> usize {
        self.running.iter().filter(|job| job.slot.is_none()).count()
    }

    /// Room for one more job behind `before` jobs of other instances and `claimed` of this one.
    pub(super) fn room(&self, before: usize, claimed: usize, now: Duration) -> Room {
        let Some(free) = self.free else {
            return if self.idle.is_empty() { Room::Likely } else { Room::Held };
        };
        let count = usize::try_from(free.count).unwrap_or(usize::MAX);
        // Those ahead have free slots of their own, or wait for the end of the slice.
        if self.idle.iter().any(|(slot, _)| before <= count || slot.until > now) {
            return Room::Held;
        }
        if count > before + claimed { Room::Likely } else { Room::None }
    }

    /// Room for one more job of an instance without a database, which has all `slots` for itself.
    pub(super) fn standalone_room(&self, slots: usize) -> Room {
        if self.running.len() < slots { Room::Held } else { Room::None }
    }

    /// Takes the numbers of free and of taken slots from a read of the database.
    pub(super) fn set_free(&mut self, count: u32, taken: u32, now: Duration) {
        let known = self.free.and_then(|free| free.since);
        let since = if count == 0 { None } else { Some(known.unwrap_or(now)) };
        self.free = Some(FreeSlots { count, since });
        let mine = u32::try_from(self.held()).unwrap_or(u32::MAX);
        self.elsewhere = taken.saturating_sub(mine);
    }

    /// True if this instance holds all slots, so that only the ends of its own jobs change anything.
    pub(super) fn is_all_ours(&self) -> bool {
        self.free.is_some_and(|free| free.count == 0) && self.elsewhere == 0
    }

    /// Begin of the time for which every read has found a free slot.
    pub(super) fn free_since(&self) -> Option<Duration> {
        self.free?.since
    }

    /// Number of slots that nobody holds, as far as is known.
    pub(super) fn free(&self) -> usize {
        self.free.map_or(0, |free| usize::try_from(free.count).unwrap_or(usize::MAX))
    }

    /// Forgets what the database has returned about its slots.
    pub(super) fn forget_free(&mut self) {
        (self.free, self.elsewhere) = (None, 0);
    }

    /// Adds granted slots, of `asked`. Jobs without a slot get theirs first.
    pub(super) fn add_slots(&mut self, slots: &[i64], asked: usize, now: Duration) {
        let mut given = slots.iter().map(|number| HeldSlot { number: *number, until: now.saturating_add(SLICE) });
        for job in self.running.iter_mut().filter(|job| job.slot.is_none()) {
            job.slot = given.next();
        }
        self.idle.extend(given.map(|slot| (slot, now)));
        if let Some(free) = &mut self.free {
            let got = u32::try_from(slots.len()).unwrap_or(u32::MAX);
            free.count = if slots.len() < asked { 0 } else { free.count.saturating_sub(got) };
            free.since = free.since.filter(|_| free.count > 0);
        }
    }

    /// Removes slots that another instance holds by now.
    pub(super) fn lose_slots(&mut self, slots: &[i64]) {
        self.idle.retain(|(slot, _)| !slots.contains(&slot.number));
        for job in &mut self.running {
            job.slot = job.slot.filter(|slot| !slots.contains(&slot.number));
        }
    }

    /// Removes up to `most` slots that have been idle since `before` or longer, for their release.
    pub(super) fn take_idle(&mut self, most: usize, before: Duration) -> Vec<i64> {
        let mut taken = Vec::new();
        self.idle.retain(|(slot, since)| {
            let goes = taken.len() < most && *since <= before;
            if goes {
                taken.push(slot.number);
            }
            !goes
        });
        taken
    }

    /// Number of slots of the Space.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// True while this instance has jobs or slots there.
    pub(super) fn is_used(&self) -> bool {
        self.running() > 0 || self.idle() > 0
    }

    /// Number of idle slots of this instance.
    pub(super) fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Time since when the slot is idle that has been for the longest.
    pub(super) fn idle_since(&self) -> Option<Duration> {
        self.idle.iter().map(|(_, since)| *since).min()
    }

    /// Number of slots that this instance holds.
    pub(super) fn held(&self) -> usize {
        self.idle.len() + self.running.len() - self.without_slot()
    }

    /// Time until the next of this instance's jobs is expected to end, in seconds.
    pub(super) fn next_slot(&self, now: Duration) -> f64 {
        let lefts = self.running.iter().map(|job| job.until.saturating_sub(now));
        lefts.min().unwrap_or_default().as_secs_f64()
    }

    /// Time until a job sent now would start, in seconds, waiting jobs left out.
    fn begins(&self, generation: f64, now: Duration) -> f64 {
        let ours = self.running.iter().map(|job| job.until.saturating_sub(now)).max().unwrap_or_default();
        let others = f64::from(self.elsewhere) * generation / 2.0;
        self.queue.left(now).max(ours.as_secs_f64() + others)
    }

    /// Time of a generation of `work` units, in seconds. `usual` is the average time of a unit elsewhere.
    pub(super) fn generation(&self, work: f64, usual: f64, now: Duration) -> f64 {
        work * self.health.view().latency.estimate(usual, now)
    }

    /// Forecast of a job sent now, in seconds, divided by the weight of `member`. `before` is the time of jobs that
    /// wait ahead of it, `stagger` the time until it may start.
    pub(super) fn forecast(
        &self,
        member: &PoolMember,
        generation: f64,
        before: f64,
        stagger: f64,
        now: Duration,
    ) -> f64 {
        let finish = (self.begins(generation, now) + before).max(stagger) + generation;
        let is_open = self.health.view().breaker.open_until().is_some();
        let finish = if is_open { 2.0 * finish + 5.0 } else { finish };
        finish / member.weight.max(f64::MIN_POSITIVE)
    }

    /// Adds a job of `generation` seconds. Returns its token.
    pub(super) fn enter(&mut self, id: u64, member: &PoolMember, generation: f64, now: Duration) -> Option<Token> {
        let until = now.saturating_add(span(self.begins(generation, now) + generation));
        let slot = self.idle.pop().map(|(slot, _)| slot);
        self.limit = member.slots;
        self.running.push(RunningJob { id, until, began: None, slot });
        self.next_token(member.space.tokens(), now)
    }

    /// Next token whose quota isn't exhausted.
    fn next_token(&mut self, tokens: &[Token], now: Duration) -> Option<Token> {
        let health = self.health.view();
        let good = |token: &&Token| health.exhausted_until(&token.fingerprint(), now).is_none();
        let found = tokens.iter().cycle().skip(self.turn_of).take(tokens.len()).find(good).cloned();
        self.turn_of = self.turn_of.wrapping_add(1).checked_rem(tokens.len().max(1)).unwrap_or(0);
        found
    }

    /// Removes a job, whose slot becomes idle.
    pub(super) fn leave(&mut self, id: u64, now: Duration) {
        if let Some(at) = self.running.iter().position(|job| job.id == id) {
            let job = self.running.swap_remove(at);
            self.idle.extend(job.slot.map(|slot| (slot, now)));
        }
    }

    /// Takes the queue position of a job.
    pub(super) fn queued(&mut self, id: u64, position: QueuePosition, generation: f64, now: Duration) {
        self.queue.report(position, generation, now);
        let left = span(begins_in(position, generation) + generation);
        if let Some(job) = self.running.iter_mut().find(|job| job.id == id) {
            job.until = now.saturating_add(left);
        }
    }

    /// Notes the start of a job.
    pub(super) fn started(&mut self, id: u64, generation: f64, now: Duration) {
        self.queue.job_started(now);
        if let Some(job) = self.running.iter_mut().find(|job| job.id == id) {
            job.until = now.saturating_add(span(generation));
            job.began = Some(now);
        }
    }

    /// Takes the progress of a job, from 0 to 1.
    pub(super) fn stepped(&mut self, id: u64, done: f64, now: Duration) {
        if let Some(job) = self.running.iter_mut().find(|job| job.id == id)
            && let Some(began) = job.began
            && done > 0.0
        {
            let left = now.saturating_sub(began).as_secs_f64() * (1.0 - done).max(0.0) / done;
            job.until = now.saturating_add(span(left));
        }
    }

    /// Notes that the queue is full.
    pub(super) fn full(&mut self, generation: f64, now: Duration) {
        self.queue.full(generation, now);
    }

    /// Last report of the queue, while it is valid.
    pub(super) fn seen_queue(&self, now: Duration) -> Option<SeenQueue> {
        self.queue.seen(now)
    }
}

/// Seconds as a duration of a day at most; zero for NaN.
pub(super) fn span(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, 86_400.0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::health::{SpaceOutcome, SpaceOutcomeKind};
    use crate::gradio::failure::Failure;
    use crate::gradio::space::Space;

    fn member(weight: f64) -> PoolMember {
        let tokens = ["hf_a", "hf_b"].map(|token| Token::new(token).unwrap()).to_vec();
        PoolMember { weight, ..PoolMember::new(Space::parse("a/b").unwrap().with_tokens(tokens)) }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000_000 + seconds)
    }

    fn happens(space: &mut SpaceState, kind: SpaceOutcomeKind) {
        space.health.record(SpaceOutcome { at: at(0), began: at(0), kind });
    }

    #[test]
    fn jobs_of_ours_and_the_spaces_own_queue_put_off_the_finish() {
        let (mut space, member) = (SpaceState::default(), member(1.0));
        assert_eq!(space.forecast(&member, 10.0, 0.0, 0.0, at(0)), 10.0);
        assert_eq!(space.forecast(&member, 10.0, 0.0, 2.5, at(0)), 12.5);
        space.enter(1, &member, 10.0, at(0));
        assert_eq!(space.forecast(&member, 10.0, 0.0, 2.5, at(4)), 16.0);
        space.queued(1, QueuePosition { rank: 2, size: 5, eta: Some(30.0) }, 10.0, at(4));
        assert_eq!(space.forecast(&member, 10.0, 0.0, 0.0, at(4)), 60.0, "five wait, ten seconds each");
        assert_eq!(space.forecast(&member, 10.0, 0.0, 0.0, at(14)), 50.0, "and go on");
        space.started(1, 10.0, at(24));
        assert_eq!(space.forecast(&member, 10.0, 0.0, 0.0, at(24)), 30.0, "two are left");
        assert_eq!(space.seen_queue(at(24)).unwrap().position.size, 2, "as the queue is told, too");
        space.stepped(1, 0.25, at(26));
        space.leave(1, at(26));
        assert_eq!(space.forecast(&member, 10.0, 0.0, 0.0, at(300)), 10.0);
        assert_eq!(space.seen_queue(at(300)), None);
        space.set_free(0, 2, at(300));
        assert_eq!(space.forecast(&member, 10.0, 0.0, 0.0, at(300)), 20.0, "two of others, half done");
    }

    #[test]
    fn a_heavier_space_seems_faster_and_a_broken_one_slower() {
        let mut space = SpaceState::default();
        assert_eq!(space.forecast(&member(2.0), 10.0, 0.0, 0.0, at(0)), 5.0);
        happens(&mut space, SpaceOutcomeKind::Rests(Failure::Cut, Duration::from_secs(5)));
        assert_eq!(space.access(&member(1.0), 0.0, at(1)), SpaceAccess::Resting(at(5)));
        assert_eq!(space.access(&member(1.0), 0.0, at(5)), SpaceAccess::Open { probe: true });
        assert_eq!(space.forecast(&member(1.0), 10.0, 0.0, 0.0, at(5)), 25.0);
        space.is_probing = true;
        assert_eq!(space.access(&member(1.0), 0.0, at(5)), SpaceAccess::Probed);
        space.is_probing = false;
        space.is_probed(at(5));
        assert_eq!(space.access(&member(1.0), 0.0, at(6)), SpaceAccess::Probed, "by another instance");
        assert_eq!(space.access(&member(1.0), 0.0, at(7)), SpaceAccess::Open { probe: true });
    }

    #[test]
    fn tokens_take_turns_and_each_has_its_own_quota() {
        let (mut space, member) = (SpaceState::default(), member(1.0));
        let name = |token: Option<Token>| token.map(|token| token.fingerprint());
        let (a, b) = (member.space.tokens()[0].fingerprint(), member.space.tokens()[1].fingerprint());
        let next = |space: &mut SpaceState| name(space.enter(1, &member, 1.0, at(0)));
        assert_eq!(
            (next(&mut space), next(&mut space), next(&mut space)),
            (Some(a.clone()), Some(b.clone()), Some(a.clone()))
        );
        let exhaust = |caller: &str, wait| {
            SpaceOutcomeKind::Exhausted(Failure::Cut, caller.to_owned(), Duration::from_secs(wait))
        };
        happens(&mut space, exhaust(&a, 60));
        assert_eq!((next(&mut space), next(&mut space)), (Some(b.clone()), Some(b.clone())));
        happens(&mut space, exhaust(&b, 30));
        assert_eq!(space.access(&member, 0.0, at(10)), SpaceAccess::Resting(at(30)));
        assert_eq!(space.access(&member, 0.0, at(30)), SpaceAccess::Open { probe: false });
    }

    #[test]
    fn without_a_token_the_quota_is_the_anonymous_callers_and_not_the_spaces() {
        let (mut space, with_token) = (SpaceState::default(), member(1.0));
        let anonymous = PoolMember::new(Space::parse("a/b").unwrap());
        let used_up = SpaceOutcomeKind::Exhausted(Failure::Cut, ANONYMOUS.to_owned(), Duration::from_secs(30));
        happens(&mut space, used_up);
        assert_eq!(space.access(&anonymous, 0.0, at(1)), SpaceAccess::Resting(at(30)));
        assert_eq!(space.access(&with_token, 0.0, at(1)), SpaceAccess::Open { probe: false });
    }

    #[test]
    fn a_slot_is_used_again_unless_others_come_first() {
        let (mut space, member) = (SpaceState::default(), member(1.0));
        assert_eq!(space.room(0, 0, at(9)), Room::Likely, "nobody knows");
        space.set_free(1, 1, at(0));
        assert_eq!((space.room(0, 0, at(9)), space.room(1, 0, at(9))), (Room::Likely, Room::None));
        assert_eq!(space.room(0, 1, at(9)), Room::None, "it is claimed for another one here");
        space.add_slots(&[4], 1, at(0));
        assert_eq!((space.room(0, 0, at(9)), space.room(1, 0, at(9))), (Room::Held, Room::None));
        assert_eq!(space.room(1, 0, at(0)), Room::Held, "its slice has begun");
        space.enter(1, &member, 1.0, at(0));
        assert_eq!((space.room(0, 0, at(9)), space.idle()), (Room::None, 0));
        space.leave(1, at(3));
        assert_eq!(space.room(0, 0, at(9)), Room::Held);
        assert_eq!(space.take_idle(1, at(2)), [0; 0], "it was used a moment ago");
        assert_eq!(space.take_idle(1, at(3)), [4]);
        space.set_free(1, 1, at(4));
        space.set_free(2, 1, at(5));
        assert_eq!((space.free_since(), space.room(2, 0, at(9))), (Some(at(4)), Room::None));
        space.add_slots(&[4], 1, at(5));
        assert_eq!(space.room(1, 0, at(9)), Room::Held, "there is a slot for the one before");
        assert_eq!(space.room(2, 0, at(9)), Room::None, "and none for another");
    }

    #[test]
    fn jobs_that_began_without_a_slot_get_theirs_first() {
        let (mut space, member) = (SpaceState::default(), member(1.0));
        assert_eq!((space.standalone_room(1), space.in_flight()), (Room::Held, 0));
        space.enter(1, &member, 1.0, at(0));
        assert_eq!((space.standalone_room(1), space.without_slot()), (Room::None, 1));
        space.add_slots(&[0, 1], 2, at(1));
        assert_eq!((space.without_slot(), space.idle()), (0, 1));
        space.lose_slots(&[0, 1]);
        assert_eq!((space.without_slot(), space.idle()), (1, 0));
    }
}
