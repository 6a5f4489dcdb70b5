//! A circuit breaker for each Space: one that fails gets no jobs for a while, then one to try.
//!
//! Three failures in a row open it, or half of the last 20 (of ten at least). It stays open for 5 s, 10 s, 20 s and so on up to
//! five minutes, of which a random part of up to a half is taken off, so that many instances don't come back in the same moment. After that one job
//! is let through. If it goes well the breaker closes, else it opens for longer.
//!
//! Where the Space itself says when to come back (`Retry-After`, a ZeroGPU message, being asleep), it rests until exactly then.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How many failures in a row open it.
const IN_A_ROW: u32 = 3;
/// Of how many outcomes half must be failures.
const WINDOW: u32 = 20;
/// Of fewer outcomes nothing is concluded.
const LEAST: u32 = 10;
/// How long it stays open the first time.
const BASE: Duration = Duration::from_secs(5);
/// How long it stays open at most.
const MOST: Duration = Duration::from_secs(300);

/// The breaker. Times are since the Unix epoch, so that they mean the same to every instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Breaker {
    open: Option<Open>,
    /// Failures since the last success.
    pub(super) in_a_row: u32,
    /// How often it has opened since it was last closed by a success.
    trips: u32,
    /// The last outcomes, one bit each, the latest lowest; set for a failure.
    outcomes: u32,
    /// How many outcomes there are, up to the window's size.
    count: u32,
    /// When it last opened or closed, in milliseconds.
    changed: u64,
}

/// Why and until when it is open.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Open {
    /// In milliseconds.
    until: u64,
    /// Whether the Space has said so itself.
    is_told: bool,
}

/// Whether a Space may have a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Yes.
    Closed,
    /// One, to try.
    Probe,
    /// Not before then, but for want of a better one it may be tried.
    Tripped(Duration),
    /// Not before then: the Space has said so.
    Resting(Duration),
}

impl Breaker {
    /// Whether a job may go there.
    pub(super) fn admits(&self, now: Duration) -> Admission {
        match self.open {
            None => Admission::Closed,
            Some(open) if open.until <= milliseconds(now) => Admission::Probe,
            Some(Open { until, is_told: true }) => Admission::Resting(Duration::from_millis(until)),
            Some(Open { until, .. }) => Admission::Tripped(Duration::from_millis(until)),
        }
    }

    /// Until when it is open, where it is; a time that has gone by means that a job is to try it.
    pub(super) fn open_until(&self) -> Option<Duration> {
        self.open.map(|open| Duration::from_millis(open.until))
    }

    /// A job went well. Returns whether that changes what is admitted.
    pub(super) fn succeeded(&mut self, now: Duration) -> bool {
        self.record(false);
        (self.in_a_row, self.trips) = (0, 0);
        if self.is_told(now) {
            // A job that was there before. What the Space has said of the next ones holds.
            return false;
        }
        let was_open = self.open.take().is_some();
        if was_open {
            // What went before it closed tells nothing of the Space as it is now.
            (self.outcomes, self.count) = (0, 0);
            self.changed = milliseconds(now);
        }
        was_open
    }

    /// A job failed by the Space's fault; `random` is from 0 to 1. Returns whether that changes what is admitted.
    pub(super) fn failed(&mut self, now: Duration, random: f64) -> bool {
        self.record(true);
        self.in_a_row = self.in_a_row.saturating_add(1);
        let half = self.count >= LEAST && self.outcomes.count_ones() * 2 >= self.count;
        if self.is_told(now) {
            return false;
        }
        // One that was let through to try it says it all.
        if self.open.is_none() && self.in_a_row < IN_A_ROW && !half {
            return false;
        }
        let longest = BASE.saturating_mul(1 << self.trips.min(10)).min(MOST);
        let part = if (0.0..=1.0).contains(&random) { random / 2.0 } else { 0.0 };
        let wait = longest.mul_f64(1.0 - part);
        self.trips = self.trips.saturating_add(1);
        self.open_for(now, wait, false);
        true
    }

    /// The Space has said that it is of no use for that long.
    pub(super) fn rest(&mut self, now: Duration, wait: Duration) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.open_for(now, wait, true);
    }

    /// Whether it has opened or closed later than `other`.
    pub(super) fn is_newer(&self, other: &Self) -> bool {
        self.changed > other.changed
    }

    /// Whether the Space has said that it is of no use now.
    fn is_told(&self, now: Duration) -> bool {
        self.open.is_some_and(|open| open.is_told && open.until > milliseconds(now))
    }

    fn open_for(&mut self, now: Duration, wait: Duration, is_told: bool) {
        self.open = Some(Open { until: milliseconds(now.saturating_add(wait)), is_told });
        self.changed = milliseconds(now);
    }

    fn record(&mut self, is_failure: bool) {
        self.outcomes = ((self.outcomes << 1) | u32::from(is_failure)) & ((1 << WINDOW) - 1);
        self.count = (self.count + 1).min(WINDOW);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn three_failures_in_a_row_open_it_and_one_job_tries_it() {
        let mut breaker = Breaker::default();
        assert!(!breaker.failed(at(0), 0.0) && !breaker.failed(at(1), 0.0));
        assert_eq!(breaker.admits(at(1)), Admission::Closed);
        assert!(breaker.failed(at(2), 0.0));
        assert_eq!(breaker.admits(at(3)), Admission::Tripped(at(7)));
        assert_eq!(breaker.admits(at(7)), Admission::Probe);
        assert!(breaker.failed(at(8), 0.0), "the one that tried it");
        assert_eq!(breaker.admits(at(9)), Admission::Tripped(at(18)));
        assert!(breaker.succeeded(at(19)));
        assert_eq!(breaker.admits(at(19)), Admission::Closed);
        assert!(!breaker.failed(at(20), 0.0), "and it begins anew");
    }

    #[test]
    fn half_of_many_open_it_too() {
        let mut breaker = Breaker::default();
        let opened = (0..20)
            .position(|job| if job % 2 == 0 { breaker.failed(at(job), 0.0) } else { breaker.succeeded(at(job)) });
        assert_eq!(opened, Some(10), "of ten at least");
    }

    #[test]
    fn it_stays_open_for_longer_each_time_up_to_five_minutes_less_a_random_half() {
        for (random, part) in [(0.0, 1.0), (1.0, 0.5), (f64::NAN, 1.0)] {
            let mut breaker = Breaker::default();
            let mut waits = Vec::new();
            let mut now = at(0);
            for _ in 0..12 {
                if breaker.failed(now, random) {
                    let until = breaker.open_until().unwrap();
                    waits.push((until - now).as_secs_f64());
                    now = until;
                }
            }
            let expected: Vec<f64> = [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0, 300.0]
                .iter()
                .map(|wait| wait * part)
                .collect();
            assert_eq!(waits, expected, "{random}");
        }
    }

    #[test]
    fn a_wait_that_is_told_is_kept_exactly() {
        let mut breaker = Breaker::default();
        breaker.rest(at(0), Duration::from_secs(312));
        assert!(!breaker.succeeded(at(1)) && !breaker.failed(at(2), 0.0), "by jobs that were there before");
        assert_eq!(breaker.admits(at(311)), Admission::Resting(at(312)));
        assert_eq!(breaker.admits(at(312)), Admission::Probe);
    }

    #[test]
    fn of_two_instances_breakers_the_one_that_changed_last_holds() {
        let (mut mine, mut theirs) = (Breaker::default(), Breaker::default());
        mine.rest(at(0), Duration::from_secs(60));
        assert!(mine.is_newer(&Breaker::default()) && !mine.is_newer(&mine));
        theirs.rest(at(1), Duration::from_secs(3));
        theirs.succeeded(at(5));
        assert!(theirs.is_newer(&mine));
        assert_eq!(theirs.admits(at(6)), Admission::Closed);
    }
}
