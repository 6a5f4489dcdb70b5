//! Figures of an instance that are not in the database yet.

use std::collections::BTreeMap;
use std::time::Duration;

use super::family::{Family, FamilyKind};
use crate::platform::Value;

/// Bucket of a figure that has no buckets, and of a histogram's sum.
pub const TOTAL: i64 = 0;
/// Bucket of what is above all bounds.
pub const ABOVE: i64 = i64::MAX;

/// A figure's place: name of the family, labels, and upper bound of the bucket in microseconds.
pub type Place = (&'static str, String, i64);

/// Figures that are not in the database yet. Their number is bounded, as that of their labels is.
#[derive(Debug, Default)]
pub struct PendingFigures(BTreeMap<Place, f64>);

impl PendingFigures {
    /// Adds to a counter.
    pub fn add(&mut self, family: &Family, labels: String, number: f64) {
        if number > 0.0 {
            *self.0.entry((family.name, labels, TOTAL)).or_default() += number;
        }
    }

    /// Adds a time to a histogram.
    pub fn observe(&mut self, family: &Family, labels: String, time: Duration) {
        let FamilyKind::Histogram(bounds) = family.kind else { return };
        let micros = i64::try_from(time.as_micros()).unwrap_or(ABOVE);
        let bound = bounds.iter().find(|bound| micros <= **bound).copied().unwrap_or(ABOVE);
        *self.0.entry((family.name, labels.clone(), bound)).or_default() += 1.0;
        *self.0.entry((family.name, labels, TOTAL)).or_default() += time.as_secs_f64();
    }

    /// Number of figures.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Takes up to `most`, in the order of their places: two instances that write the same ones lock them in the same
    /// order.
    pub fn take(&mut self, most: usize) -> Vec<(Place, f64)> {
        let mut taken = Vec::with_capacity(most.min(self.0.len()));
        while taken.len() < most
            && let Some(first) = self.0.pop_first()
        {
            taken.push(first);
        }
        taken
    }

    /// Puts figures back that could not be written.
    pub fn put_back(&mut self, figures: Vec<(Place, f64)>) {
        for (place, number) in figures {
            *self.0.entry(place).or_default() += number;
        }
    }
}

/// A figure as a row of the database, written on that `day`.
pub fn row(((name, labels, bucket), number): &(Place, f64), day: i64) -> Vec<Value> {
    vec![(*name).into(), labels.as_str().into(), (*bucket).into(), (*number).into(), day.into()]
}

#[cfg(test)]
mod tests {
    use super::super::family::{REQUESTS, STATEMENTS};
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_that_holds_it() {
        let mut pending = PendingFigures::default();
        for micros in [0, 500, 501, 3_000_000, 3_000_001] {
            pending.observe(&STATEMENTS, String::new(), Duration::from_micros(micros));
        }
        pending.add(&REQUESTS, "a".to_owned(), 2.0);
        pending.add(&REQUESTS, "a".to_owned(), 1.0);
        pending.add(&REQUESTS, "b".to_owned(), 0.0);
        let figures = pending.take(2);
        pending.put_back(figures);
        let figures: Vec<_> = pending.take(100).into_iter().map(|((_, _, bucket), number)| (bucket, number)).collect();
        let sum = 6.001_002;
        assert!((figures[0].1 - sum).abs() < 1e-9 && pending.count() == 0, "{figures:?}");
        assert_eq!(figures[1..], [(500, 2.0), (1_000, 1.0), (3_000_000, 1.0), (ABOVE, 1.0), (TOTAL, 3.0)]);
    }
}
