//! Times, and what they come to.

use std::time::Duration;

/// The value that this part of `values` is at most: the nearest rank, one of the values themselves.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of samples are far below 2^52"
)]
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}

/// The times of many calls.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    /// Adds times.
    pub(crate) fn extend(&mut self, times: Vec<Duration>) {
        self.0.extend(times);
    }

    /// Number of calls.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The time, in milliseconds, that this part of the calls took at most.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let times: Vec<f64> = self.0.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
        quantile(&times, part)
    }

    /// Calls per second, if all of them took `spent`.
    #[allow(clippy::cast_precision_loss, reason = "counts of samples are far below 2^52")]
    pub(crate) fn per_second(&self, spent: Duration) -> f64 {
        self.0.len() as f64 / spent.as_secs_f64()
    }
}

/// Calls of one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    /// Milliseconds that half of the calls took at most.
    pub(crate) p50: f64,
    /// Milliseconds that all but a hundredth took at most.
    pub(crate) p99: f64,
    pub(crate) per_second: f64,
}

impl Round {
    /// Figures of calls that all together took `spent`.
    pub(crate) fn of(samples: &Samples, spent: Duration) -> Self {
        Self { p50: samples.quantile(0.5), p99: samples.quantile(0.99), per_second: samples.per_second(spent) }
    }
}

/// Median of the rounds.
pub(crate) fn median(rounds: &[Round], of: fn(&Round) -> f64) -> f64 {
    quantile(&rounds.iter().map(of).collect::<Vec<_>>(), 0.5)
}

/// Median of what a round's figure is of the same round's figure of another contender.
pub(crate) fn median_ratio(own: &[Round], other: &[Round], of: fn(&Round) -> f64) -> f64 {
    quantile(&own.iter().zip(other).map(|(own, other)| of(own) / of(other)).collect::<Vec<_>>(), 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples_by_nearest_rank() {
        let mut samples = Samples::default();
        samples.extend((1..=100).rev().map(Duration::from_millis).collect());
        for (part, expected) in [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (0.991, 100.0), (1.0, 100.0)] {
            assert!((samples.quantile(part) - expected).abs() < 1e-9, "{part}: {}", samples.quantile(part));
        }
        assert!(Samples::default().quantile(0.5).is_nan());
        assert!((samples.per_second(Duration::from_secs(4)) - 25.0).abs() < 1e-9);
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let rounds = |times: [f64; 3]| times.map(|p50| Round { p50, p99: p50, per_second: 1.0 / p50 });
        let (own, other) = (rounds([1.0, 20.0, 3.0]), rounds([2.0, 40.0, 3.0]));
        assert!((median_ratio(&own, &other, |round| round.p50) - 0.5).abs() < 1e-9);
        assert!((median(&own, |round| round.p50) - 3.0).abs() < 1e-9);
    }
}
