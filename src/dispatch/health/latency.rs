//! Speed of a Space: the peak EWMA of its generation time per unit of work.
//!
//! A unit of work is a megapixel times a step, so that a sketch and a poster at thirty steps say something about each
//! other. A sample is the time from the function's begin to its end, without any queue. A sample above the estimate
//! takes its place at once; one below pulls it down,
//!
//! ```text
//! w        = min(e^(-Δt / 120 s), 0.7)
//! estimate = estimate · w + sample · (1 - w)
//! ```
//!
//! so that a Space that has become slow is known as slow by one job, and believed again after some good ones. That errs
//! on the side of caution: a Space with one slow job among many is thought slower than it is, which costs nothing while
//! another is there. What hasn't been looked at for long drifts towards what is usual in its pool, by half every ten
//! minutes: a Space that once was slow gets jobs again.
//!
//! Source: Finagle's `PeakEwma` and linkerd2-proxy's `ewma`, which measure round trips, thousands of them a second;
//! hence the floor of 0.3 for a sample's part, without which a dozen samples an hour would change nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time until a sample's weight has fallen to 1/e, in seconds.
const DECAY: f64 = 120.0;
/// The most that the past weighs against a new sample.
const MEMORY: f64 = 0.7;
/// Time in which half of what is known is forgotten, in seconds.
const HALF_LIFE: f64 = 600.0;
/// Time that a unit of work is thought to take where nobody knows, in seconds.
pub(in crate::dispatch) const USUAL: f64 = 1.0;

/// The estimate. None before the first sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::dispatch) struct Latency {
    /// Seconds per unit of work.
    per_unit: f64,
    /// Time of the last change, in seconds since the Unix epoch.
    at: f64,
    /// Number of samples that it comes from.
    pub(in crate::dispatch) samples: u32,
}

impl Latency {
    /// Takes a sample: `work` units took `seconds`.
    pub(in crate::dispatch) fn observe(&mut self, seconds: f64, work: f64, now: Duration) {
        let sample = seconds / work;
        if !sample.is_finite() || sample <= 0.0 {
            return;
        }
        let now = now.as_secs_f64();
        let weight = (-(now - self.at).max(0.0) / DECAY).exp().min(MEMORY);
        self.per_unit = if self.samples == 0 || sample > self.per_unit {
            sample
        } else {
            self.per_unit * weight + sample * (1.0 - weight)
        };
        (self.at, self.samples) = (now, self.samples.saturating_add(1));
    }

    /// The seconds that a unit of work takes, by the last samples alone.
    pub(in crate::dispatch) fn known(&self) -> Option<f64> {
        (self.samples > 0).then_some(self.per_unit)
    }

    /// The seconds that a unit of work takes, where `usual` is what it takes elsewhere.
    pub(in crate::dispatch) fn estimate(&self, usual: f64, now: Duration) -> f64 {
        if self.samples == 0 {
            return usual;
        }
        let age = (now.as_secs_f64() - self.at).max(0.0);
        usual + (self.per_unit - usual) * (-age / HALF_LIFE).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn a_slow_job_counts_at_once_and_good_ones_make_up_for_it() {
        let mut latency = Latency::default();
        assert_eq!(latency.estimate(3.0, at(0)), 3.0, "nothing is known");
        latency.observe(9.0, 9.0, at(0));
        assert_eq!(latency.known(), Some(1.0));
        latency.observe(90.0, 9.0, at(10));
        assert_eq!(latency.known(), Some(10.0));
        for job in 1..=6 {
            latency.observe(9.0, 9.0, at(10 + job));
        }
        assert!(latency.known().unwrap() < 2.1, "{latency:?}");
        latency.observe(9.0, 9.0, at(10_000));
        assert!(latency.known().unwrap() < 1.01, "after a long time, the past weighs nothing");
    }

    #[test]
    fn what_is_old_drifts_to_what_is_usual() {
        let mut latency = Latency::default();
        latency.observe(10.0, 1.0, at(0));
        assert!((latency.estimate(2.0, at(600)) - 6.0).abs() < 1e-6);
        assert!((latency.estimate(2.0, at(6000)) - 2.0).abs() < 0.1);
    }

    #[test]
    fn what_is_no_time_is_no_sample() {
        let mut latency = Latency::default();
        for (seconds, work) in [(0.0, 1.0), (-1.0, 1.0), (f64::NAN, 1.0), (f64::INFINITY, 1.0), (1.0, f64::NAN)] {
            latency.observe(seconds, work, at(0));
        }
        assert_eq!(latency.known(), None);
    }
}
