//! A Space as an instance sees it, and when a job given to it would be done.
//!
//! ```text
//! generation = work · peak EWMA of seconds per unit            (see `latency`)
//! queue      = what the Space last said of its queue, less the time since
//! ours       = until the last of our jobs there is expected to be done
//! finish     = max(stagger, queue, ours + jobs that wait here before it) + generation
//! finish     = 2 · finish + 5 s                                 where the job is to try a Space that failed
//! forecast   = finish / weight
//! ```
//!
//! `ours` takes the Space for one that makes an image after the other, which is what a Space on one GPU does. One that makes several at once is
//! thought up to a generation slower than it is, as long as jobs of ours run there: then jobs go to others first, if
//! those are less than twice as slow.

use std::time::Duration;

use super::breaker::Admission;
use super::condition::{Condition, Uncounted};
use crate::catalog::Seat;
use crate::gradio::message::QueuePosition;
use crate::gradio::space::Token;

/// What a Space has said of its queue counts for so long.
const QUEUE_SEEN: f64 = 120.0;
/// So many jobs are thought to wait in a queue that is full.
const FULL: f64 = 10.0;

/// A Space as an instance sees it. Times are since the Unix epoch.
#[derive(Debug, Default)]
pub(super) struct Site {
    /// What outlives the instance.
    pub(super) condition: Condition,
    /// What of that isn't kept yet.
    pub(super) uncounted: Uncounted,
    /// Our jobs there.
    running: Vec<Running>,
    /// Whether one of them is there to try it.
    pub(super) probing: bool,
    /// What it last said of its queue.
    queue: Option<QueueSeen>,
    /// Which token is next.
    turn_of: usize,
    /// When the store was last read; `None` if it never was.
    pub(super) read_at: Option<Duration>,
    /// Whether somebody is about to write it to the store.
    pub(super) is_saving: bool,
}

#[derive(Debug)]
struct Running {
    id: u64,
    /// When it is expected to be done.
    until: Duration,
    /// When the Space began with it.
    began: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct QueueSeen {
    position: QueuePosition,
    /// How many jobs wait.
    size: f64,
    /// How long one of them takes, in seconds.
    each: f64,
    at: Duration,
}

/// What a Space has last said of its queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeenQueue {
    /// As it said it.
    pub position: QueuePosition,
    /// When, in seconds since the Unix epoch.
    pub at: u64,
}

/// Whether a seat can have a job, and with which token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It can. `probe` if it is to try the Space.
    Open { probe: bool },
    /// Somebody else's job is trying it.
    Probed,
    /// Not before then, but it may be tried for want of a better one.
    Tripped(Duration),
    /// Not before then.
    Resting(Duration),
}

impl Site {
    /// Whether `seat`, which is here, can have a job.
    pub(super) fn entry(&self, seat: &Seat, now: Duration) -> Entry {
        if let Some(until) = self.all_exhausted_until(seat.space.tokens(), now) {
            return Entry::Resting(until);
        }
        match self.condition.breaker.admits(now) {
            Admission::Closed => Entry::Open { probe: false },
            Admission::Probe if self.probing => Entry::Probed,
            Admission::Probe => Entry::Open { probe: true },
            Admission::Tripped(_) if self.probing => Entry::Probed,
            Admission::Tripped(until) => Entry::Tripped(until),
            Admission::Resting(until) => Entry::Resting(until),
        }
    }

    fn all_exhausted_until(&self, tokens: &[Token], now: Duration) -> Option<Duration> {
        let until = |token: &Token| self.condition.exhausted_until(&token.fingerprint(), now);
        let untils: Option<Vec<Duration>> = tokens.iter().map(until).collect();
        untils?.into_iter().min()
    }

    /// How many of our jobs are there.
    pub(super) fn in_flight(&self) -> usize {
        self.running.len()
    }

    /// How long until the next of our jobs there is expected to be done, in seconds.
    pub(super) fn next_slot(&self, now: Duration) -> f64 {
        let lefts = self.running.iter().map(|job| job.until.saturating_sub(now));
        lefts.min().unwrap_or_default().as_secs_f64()
    }

    /// When a job would begin that came now, in seconds from now, but for what is before it on our side.
    fn begins(&self, now: Duration) -> f64 {
        let ours = self.running.iter().map(|job| job.until.saturating_sub(now)).max().unwrap_or_default();
        self.queue_left(now).max(ours.as_secs_f64())
    }

    fn queue_left(&self, now: Duration) -> f64 {
        let left = |seen: QueueSeen| {
            let age = now.saturating_sub(seen.at).as_secs_f64();
            if age > QUEUE_SEEN { 0.0 } else { (seen.size * seen.each - age).max(0.0) }
        };
        self.queue.map_or(0.0, left)
    }

    /// How long a generation of `work` units takes, in seconds, where `usual` is what a unit takes elsewhere.
    pub(super) fn generation(&self, work: f64, usual: f64, now: Duration) -> f64 {
        work * self.condition.latency.estimate(usual, now)
    }

    /// In how many seconds a job is done that is given to `seat`, which is here. `before` is the time that jobs take which wait for the same Space, `stagger` that
    /// which must pass before it begins.
    pub(super) fn forecast(&self, seat: &Seat, generation: f64, before: f64, stagger: f64, now: Duration) -> f64 {
        let finish = (self.begins(now) + before).max(stagger) + generation;
        let finish = if self.condition.breaker.open_until().is_some() { 2.0 * finish + 5.0 } else { finish };
        finish / seat.weight.max(f64::MIN_POSITIVE)
    }

    /// A job begins that takes `generation` seconds. Returns the token that it is to bring.
    pub(super) fn enter(&mut self, id: u64, seat: &Seat, generation: f64, now: Duration) -> Option<Token> {
        let until = now.saturating_add(span(self.begins(now) + generation));
        self.running.push(Running { id, until, began: None });
        self.next_token(seat.space.tokens(), now)
    }

    /// The next token whose quota isn't used up.
    fn next_token(&mut self, tokens: &[Token], now: Duration) -> Option<Token> {
        let good = |token: &&Token| self.condition.exhausted_until(&token.fingerprint(), now).is_none();
        let found = tokens.iter().cycle().skip(self.turn_of).take(tokens.len()).find(good).cloned();
        self.turn_of = self.turn_of.wrapping_add(1).checked_rem(tokens.len().max(1)).unwrap_or(0);
        found
    }

    /// A job has left.
    pub(super) fn leave(&mut self, id: u64) {
        self.running.retain(|job| job.id != id);
    }

    /// The Space says where a job of ours stands.
    pub(super) fn queued(&mut self, id: u64, position: QueuePosition, generation: f64, now: Duration) {
        let each = each(position, generation);
        self.queue = Some(QueueSeen { position, size: count(position.size), each, at: now });
        let left = span(begins_in(position, generation) + generation);
        if let Some(job) = self.running.iter_mut().find(|job| job.id == id) {
            job.until = now.saturating_add(left);
        }
    }

    /// The Space has begun with a job of ours.
    pub(super) fn started(&mut self, id: u64, generation: f64, now: Duration) {
        if let Some(seen) = &mut self.queue {
            // It waits no longer.
            let passed = now.saturating_sub(seen.at).as_secs_f64() / seen.each.max(f64::MIN_POSITIVE);
            (seen.size, seen.at) = ((seen.size - 1.0 - passed.floor()).max(0.0), now);
        }
        if let Some(job) = self.running.iter_mut().find(|job| job.id == id) {
            job.until = now.saturating_add(span(generation));
            job.began = Some(now);
        }
    }

    /// A job of ours is so far, from 0 to 1.
    pub(super) fn stepped(&mut self, id: u64, done: f64, now: Duration) {
        if let Some(job) = self.running.iter_mut().find(|job| job.id == id)
            && let Some(began) = job.began
            && done > 0.0
        {
            let left = now.saturating_sub(began).as_secs_f64() * (1.0 - done).max(0.0) / done;
            job.until = now.saturating_add(span(left));
        }
    }

    /// Its queue is full.
    pub(super) fn full(&mut self, generation: f64, now: Duration) {
        let size = self.queue.map_or(0.0, |seen| seen.size).max(FULL);
        let position = self.queue.map(|seen| seen.position).unwrap_or_default();
        self.queue = Some(QueueSeen { position, size, each: generation, at: now });
    }

    /// What it last said of its queue, if that was lately.
    pub(super) fn seen_queue(&self, now: Duration) -> Option<SeenQueue> {
        let lately = |seen: &QueueSeen| now.saturating_sub(seen.at).as_secs_f64() <= QUEUE_SEEN;
        self.queue.filter(lately).map(|seen| SeenQueue { position: seen.position, at: seen.at.as_secs() })
    }
}

/// How long a job takes in a queue where one stands there, in seconds: as the Space estimates, or as a `generation` does.
fn each(position: QueuePosition, generation: f64) -> f64 {
    let eta = position.eta.filter(|eta| eta.is_finite() && *eta >= 0.0);
    eta.map_or(generation, |eta| eta / (count(position.rank) + 1.0))
}

/// In how many seconds a Space begins with a job that stands there.
pub(super) fn begins_in(position: QueuePosition, generation: f64) -> f64 {
    each(position, generation) * count(position.rank)
}

/// Seconds as a time, of a day at most; what is no number is none.
pub(super) fn span(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, 86_400.0)).unwrap_or_default()
}

/// A number of jobs; more than can be told apart are none that anybody waits for.
fn count(jobs: u64) -> f64 {
    f64::from(u32::try_from(jobs).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradio::space::Space;

    fn seat(weight: f64) -> Seat {
        let tokens = ["hf_a", "hf_b"].map(|token| Token::new(token).unwrap()).to_vec();
        Seat { weight, ..Seat::new(Space::parse("a/b").unwrap().with_tokens(tokens)) }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn jobs_of_ours_and_the_spaces_own_queue_put_off_the_finish() {
        let (mut site, seat) = (Site::default(), seat(1.0));
        assert_eq!(site.forecast(&seat, 10.0, 0.0, 0.0, at(0)), 10.0);
        assert_eq!(site.forecast(&seat, 10.0, 0.0, 2.5, at(0)), 12.5);
        site.enter(1, &seat, 10.0, at(0));
        assert_eq!(site.forecast(&seat, 10.0, 0.0, 2.5, at(4)), 16.0);
        site.queued(1, QueuePosition { rank: 2, size: 5, eta: Some(30.0) }, 10.0, at(4));
        assert_eq!(site.forecast(&seat, 10.0, 0.0, 0.0, at(4)), 60.0, "five wait, ten seconds each");
        assert_eq!(site.forecast(&seat, 10.0, 0.0, 0.0, at(14)), 50.0, "and go on");
        site.started(1, 10.0, at(24));
        assert_eq!(site.forecast(&seat, 10.0, 0.0, 0.0, at(24)), 30.0, "two are left");
        site.stepped(1, 0.25, at(26));
        site.leave(1);
        assert_eq!(site.forecast(&seat, 10.0, 0.0, 0.0, at(300)), 10.0);
        assert_eq!(site.seen_queue(at(300)), None);
    }

    #[test]
    fn a_heavier_space_seems_faster_and_a_broken_one_slower() {
        let mut site = Site::default();
        assert_eq!(site.forecast(&seat(2.0), 10.0, 0.0, 0.0, at(0)), 5.0);
        site.condition.breaker.rest(at(0), Duration::from_secs(5));
        assert_eq!(site.entry(&seat(1.0), at(1)), Entry::Resting(at(5)));
        assert_eq!(site.entry(&seat(1.0), at(5)), Entry::Open { probe: true });
        assert_eq!(site.forecast(&seat(1.0), 10.0, 0.0, 0.0, at(5)), 25.0);
        site.probing = true;
        assert_eq!(site.entry(&seat(1.0), at(5)), Entry::Probed);
    }

    #[test]
    fn tokens_take_turns_and_each_has_its_own_quota() {
        let (mut site, seat) = (Site::default(), seat(1.0));
        let name = |token: Option<Token>| token.map(|token| token.fingerprint());
        let (a, b) = (seat.space.tokens()[0].fingerprint(), seat.space.tokens()[1].fingerprint());
        let next = |site: &mut Site| name(site.enter(1, &seat, 1.0, at(0)));
        assert_eq!(
            (next(&mut site), next(&mut site), next(&mut site)),
            (Some(a.clone()), Some(b.clone()), Some(a.clone()))
        );
        site.condition.exhaust(&a, at(0), Duration::from_secs(60));
        assert_eq!((next(&mut site), next(&mut site)), (Some(b.clone()), Some(b.clone())));
        site.condition.exhaust(&b, at(0), Duration::from_secs(30));
        assert_eq!(site.entry(&seat, at(10)), Entry::Resting(at(30)));
        assert_eq!(site.entry(&seat, at(30)), Entry::Open { probe: false });
    }
}
