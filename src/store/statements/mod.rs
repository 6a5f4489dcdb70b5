//! All statements, by room.
//!
//! Each finds its rows by an index, so that its cost doesn't grow with the rows of others. A test explains all of them,
//! with the parameters in each file's `samples`.

pub mod converted;
pub mod history;
pub mod idempotency;
pub mod kept_image;
pub mod lease;
pub mod limits;
pub mod meta;
pub mod metric;
pub mod responses;
pub mod tasks;
pub mod waiter;

use super::statement::Statement;

/// Statements that delete up to `most` rows that have expired before `now`, and return a row for each.
pub const SWEEPS: &[&Statement] = &[
    &waiter::SWEEP,
    &limits::SWEEP,
    &idempotency::SWEEP,
    &responses::SWEEP,
    &tasks::SWEEP,
    &tasks::SWEEP_FILES,
    &history::SWEEP,
    &converted::SWEEP,
    &kept_image::SWEEP,
    &metric::SWEEP,
];

/// A statement with its name and sample parameters.
#[cfg(test)]
pub(crate) type Sample = (&'static str, Statement, Vec<super::statement::Parameter>);

/// All statements.
#[cfg(test)]
pub(crate) fn samples() -> Vec<Sample> {
    [
        converted::samples(),
        history::samples(),
        idempotency::samples(),
        kept_image::samples(),
        lease::samples(),
        limits::samples(),
        meta::samples(),
        metric::samples(),
        responses::samples(),
        tasks::samples(),
        waiter::samples(),
    ]
    .concat()
}
