//! Circuit breaker of a Space: after failures it admits no jobs for a while, then one probe.
//!
//! Over all instances, three failures in a row open it, or failures of half of the last 20 outcomes (10 at least). It
//! stays open for 5 s, 10 s, 20 s and so on up to 5 min; then it is half open and admits one probe. A success closes
//! it, a failure opens it for longer. A failure of a job that began before it opened counts, but doesn't prolong it: it
//! has the same cause.
//!
//! Each instance shortens that time by a jitter of its own, up to a half, so that not all claim the probe at once.
//!
//! A Space that announces its return (`Retry-After`, a ZeroGPU message, being asleep) rests until exactly then.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Consecutive failures that open it.
const IN_A_ROW: u32 = 3;
/// Number of outcomes that the breaker considers.
const WINDOW: u32 = 20;
/// Minimum number of outcomes for the failure rate.
const LEAST: u32 = 10;
/// First open time.
const BASE: Duration = Duration::from_secs(5);
/// Maximum open time.
const MOST: Duration = Duration::from_secs(300);

/// State of the breaker. Times are since the Unix epoch, as all instances share them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::dispatch) struct Breaker {
    open: Option<OpenPeriod>,
    /// Failures since the last success.
    pub(in crate::dispatch) in_a_row: u32,
    /// Openings since a success last closed it.
    trips: u32,
    /// Last outcomes, one bit each, the latest lowest; set for a failure.
    outcomes: u32,
    /// Number of recorded outcomes, up to the window's size.
    count: u32,
    /// Time of the last opening or closing, in milliseconds.
    changed: u64,
}

/// An open period.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct OpenPeriod {
    /// End, in milliseconds.
    until: u64,
    /// Marks an end that the Space has named itself.
    #[serde(rename = "is_told")]
    is_announced: bool,
}

/// Admission of jobs to a Space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dispatch) enum Admission {
    /// All jobs.
    Closed,
    /// One job, as a probe.
    Probe,
    /// None before this time, unless as a last resort.
    Tripped(Duration),
    /// None before this time, which the Space has announced.
    Resting(Duration),
}

impl Breaker {
    /// Admission of a job by an instance of that `jitter`, from 0 to 1.
    pub(in crate::dispatch) fn admits(&self, now: Duration, jitter: f64) -> Admission {
        let Some(OpenPeriod { until, is_announced }) = self.open else { return Admission::Closed };
        let until = Duration::from_millis(until);
        if is_announced {
            return if until <= now { Admission::Probe } else { Admission::Resting(until) };
        }
        let length = until.saturating_sub(Duration::from_millis(self.changed));
        let part = if (0.0..=1.0).contains(&jitter) { jitter / 2.0 } else { 0.0 };
        let until = until.saturating_sub(length.mul_f64(part));
        if until <= now { Admission::Probe } else { Admission::Tripped(until) }
    }

    /// End of the open period, if open; a time in the past means half open.
    pub(in crate::dispatch) fn open_until(&self) -> Option<Duration> {
        self.open.map(|open| Duration::from_millis(open.until))
    }

    /// Records a success. Returns true where that changes the admission.
    pub(super) fn succeeded(&mut self, now: Duration) -> bool {
        self.record(false);
        (self.in_a_row, self.trips) = (0, 0);
        if self.is_resting(now) {
            // A job from before. The announcement of the Space stands.
            return false;
        }
        let was_open = self.open.take().is_some();
        if was_open {
            // Outcomes from before say nothing about the recovered Space.
            (self.outcomes, self.count) = (0, 0);
            self.changed = milliseconds(now);
        }
        was_open
    }

    /// Records a failure of a job that began at `began`. Returns true where that changes the admission.
    pub(super) fn failed(&mut self, now: Duration, began: Duration) -> bool {
        self.record(true);
        self.in_a_row = self.in_a_row.saturating_add(1);
        let half = self.count >= LEAST && self.outcomes.count_ones() * 2 >= self.count;
        let is_known = self.open.is_some() && milliseconds(began) < self.changed;
        if self.is_resting(now) || is_known {
            return false;
        }
        // The failure of a probe suffices.
        if self.open.is_none() && self.in_a_row < IN_A_ROW && !half {
            return false;
        }
        let wait = BASE.saturating_mul(1 << self.trips.min(10)).min(MOST);
        self.trips = self.trips.saturating_add(1);
        self.open_for(now, wait, false);
        true
    }

    /// Opens for a time that the Space has announced.
    pub(in crate::dispatch) fn rest(&mut self, now: Duration, wait: Duration) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.open_for(now, wait, true);
    }

    /// True during an announced rest.
    fn is_resting(&self, now: Duration) -> bool {
        self.open.is_some_and(|open| open.is_announced && open.until > milliseconds(now))
    }

    fn open_for(&mut self, now: Duration, wait: Duration, is_announced: bool) {
        self.open = Some(OpenPeriod { until: milliseconds(now.saturating_add(wait)), is_announced });
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

    /// Job that begins and fails in that second.
    fn fails(breaker: &mut Breaker, seconds: u64) -> bool {
        breaker.failed(at(seconds), at(seconds))
    }

    #[test]
    fn three_failures_in_a_row_open_it_and_one_job_tries_it() {
        let mut breaker = Breaker::default();
        assert!(!fails(&mut breaker, 0) && !fails(&mut breaker, 1));
        assert_eq!(breaker.admits(at(1), 0.0), Admission::Closed);
        assert!(fails(&mut breaker, 2));
        assert_eq!(breaker.admits(at(3), 0.0), Admission::Tripped(at(7)));
        assert_eq!(breaker.admits(at(7), 0.0), Admission::Probe);
        assert!(fails(&mut breaker, 8), "the one that tried it");
        assert_eq!(breaker.admits(at(9), 0.0), Admission::Tripped(at(18)));
        assert!(breaker.succeeded(at(19)));
        assert_eq!(breaker.admits(at(19), 0.0), Admission::Closed);
        assert!(!fails(&mut breaker, 20), "and it begins anew");
    }

    #[test]
    fn half_of_many_open_it_too() {
        let mut breaker = Breaker::default();
        let opened =
            (0..20).position(|job| if job % 2 == 0 { fails(&mut breaker, job) } else { breaker.succeeded(at(job)) });
        assert_eq!(opened, Some(10), "of ten at least");
    }

    #[test]
    fn it_stays_open_for_longer_each_time_up_to_five_minutes() {
        let (mut breaker, mut now, mut waits) = (Breaker::default(), at(0), Vec::new());
        for _ in 0..12 {
            if breaker.failed(now, now) {
                let until = breaker.open_until().unwrap();
                waits.push((until - now).as_secs());
                now = until;
            }
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300, 300]);
    }

    #[test]
    fn each_instance_takes_a_part_of_its_own_off_up_to_a_half() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            fails(&mut breaker, 0);
        }
        for (jitter, until) in [(0.0, 10_000), (1.0, 5_000), (0.5, 7_500), (f64::NAN, 10_000), (2.0, 10_000)] {
            let until = at(0) + Duration::from_millis(until);
            assert_eq!(breaker.admits(at(1), jitter), Admission::Tripped(until), "{jitter}");
            assert_eq!(breaker.admits(until, jitter), Admission::Probe, "{jitter}");
        }
    }

    #[test]
    fn jobs_from_before_it_opened_do_not_double_it() {
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            fails(&mut breaker, 10);
        }
        assert!((0..20).all(|_| !breaker.failed(at(16), at(9))), "they began with the others");
        assert_eq!(breaker.open_until(), Some(at(15)));
        assert!(breaker.failed(at(17), at(16)), "this one tried it");
        assert_eq!(breaker.open_until(), Some(at(27)));
    }

    #[test]
    fn a_wait_that_is_told_is_kept_exactly() {
        let mut breaker = Breaker::default();
        breaker.rest(at(0), Duration::from_secs(312));
        assert!(!breaker.succeeded(at(1)) && !fails(&mut breaker, 2), "by jobs that were there before");
        assert_eq!(breaker.admits(at(311), 1.0), Admission::Resting(at(312)));
        assert_eq!(breaker.admits(at(312), 1.0), Admission::Probe);
    }
}
