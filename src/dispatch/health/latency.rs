//! Latency of a Space: peak EWMA of its generation time per unit of work.
//!
//! A unit of work is a megapixel times a step, so that samples of small and large images are comparable. A sample is
//! the time from the function's start to its end, queues excluded. A sample above the estimate replaces it; one below
//! pulls it down:
//!
//! ```text
//! w        = min(e^(-Δt / 120 s), 0.7)
//! estimate = estimate · w + sample · (1 - w)
//! ```
//!
//! So one job reveals a slow Space, and several good ones restore its reputation. The bias is cautious: a Space with
//! one slow job among many is underrated, which costs nothing while another Space is there. An estimate without new
//! samples drifts towards the average of its pool, by half every ten minutes, so that a Space that was slow gets jobs
//! again.
//!
//! Source: Finagle's `PeakEwma` and linkerd2-proxy's `ewma`. They measure thousands of round trips a second; here a
//! sample weighs at least 0.3, as a dozen samples an hour would change nothing otherwise.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time until a sample's weight has fallen to 1/e, in seconds.
const DECAY: f64 = 120.0;
/// Maximum weight of the past against a new sample.
const MEMORY: f64 = 0.7;
/// Half-life of the estimate without samples, in seconds.
const HALF_LIFE: f64 = 600.0;
/// Assumed time of a unit of work without any estimate, in seconds.
pub(in crate::dispatch) const USUAL: f64 = 1.0;

/// Estimate of a Space's latency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::dispatch) struct Latency {
    /// Seconds per unit of work.
    per_unit: f64,
    /// Time of the last change, in seconds since the Unix epoch.
    at: f64,
    /// Number of samples so far.
    pub(in crate::dispatch) samples: u32,
}

impl Latency {
    /// Adds a sample: `work` units took `seconds`.
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

    /// Seconds per unit of work by the samples alone; none before the first.
    pub(in crate::dispatch) fn known(&self) -> Option<f64> {
        (self.samples > 0).then_some(self.per_unit)
    }

    /// Seconds per unit of work at `now`, drifting towards `usual`, the average elsewhere.
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
