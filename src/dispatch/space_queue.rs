//! Queue of a Space, by its reports.

use std::time::Duration;

use crate::generation::QueuePosition;

/// Time for which a report of a queue is valid, in seconds.
const VALIDITY: f64 = 120.0;
/// Assumed length of a full queue.
const FULL: f64 = 10.0;

/// Queue of a Space, by its last report.
#[derive(Debug, Default)]
pub(super) struct SpaceQueue(Option<Report>);

/// Report of a queue, brought up to date by starts of jobs.
#[derive(Clone, Copy, Debug)]
struct Report {
    position: QueuePosition,
    /// Number of waiting jobs.
    size: f64,
    /// Time of one of them, in seconds.
    each: f64,
    at: Duration,
}

/// Last report of a Space's queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeenQueue {
    /// Position in the report; the size without the jobs that have started since.
    pub position: QueuePosition,
    /// Time of the report, in seconds since the Unix epoch.
    pub at: u64,
}

impl SpaceQueue {
    /// Takes the position of a job with a generation time of `generation` seconds.
    pub(super) fn report(&mut self, position: QueuePosition, generation: f64, now: Duration) {
        let each = each(position, generation);
        self.0 = Some(Report { position, size: count(position.size), each, at: now });
    }

    /// Removes a job that has started, and those that have started since the report.
    pub(super) fn job_started(&mut self, now: Duration) {
        if let Some(report) = &mut self.0 {
            let passed = now.saturating_sub(report.at).as_secs_f64() / report.each.max(f64::MIN_POSITIVE);
            (report.size, report.at) = ((report.size - 1.0 - passed.floor()).max(0.0), now);
        }
    }

    /// Notes that the queue is full.
    pub(super) fn full(&mut self, generation: f64, now: Duration) {
        let size = self.0.map_or(0.0, |report| report.size).max(FULL);
        let position = self.0.map(|report| report.position).unwrap_or_default();
        self.0 = Some(Report { position, size, each: generation, at: now });
    }

    /// Time until the queue is empty, in seconds.
    pub(super) fn left(&self, now: Duration) -> f64 {
        let left = |report: Report| {
            let age = now.saturating_sub(report.at).as_secs_f64();
            if age > VALIDITY { 0.0 } else { (report.size * report.each - age).max(0.0) }
        };
        self.0.map_or(0.0, left)
    }

    /// Last report, while it is valid.
    pub(super) fn seen(&self, now: Duration) -> Option<SeenQueue> {
        let is_valid = |report: &Report| now.saturating_sub(report.at).as_secs_f64() <= VALIDITY;
        self.0.filter(is_valid).map(|report| {
            let size = Duration::try_from_secs_f64(report.size).map_or(report.position.size, |size| size.as_secs());
            SeenQueue { position: QueuePosition { size, ..report.position }, at: report.at.as_secs() }
        })
    }
}

/// Time of one job in a queue, in seconds: by the Space's estimate at `position`, or `generation` without one.
fn each(position: QueuePosition, generation: f64) -> f64 {
    let eta = position.eta.filter(|eta| eta.is_finite() && *eta >= 0.0);
    eta.map_or(generation, |eta| eta / (count(position.rank) + 1.0))
}

/// Time until a job at `position` starts, in seconds.
pub(super) fn begins_in(position: QueuePosition, generation: f64) -> f64 {
    each(position, generation) * count(position.rank)
}

/// Number of jobs as a float, saturated at `u32::MAX`.
fn count(jobs: u64) -> f64 {
    f64::from(u32::try_from(jobs).unwrap_or(u32::MAX))
}
