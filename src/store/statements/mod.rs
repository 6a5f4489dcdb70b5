//! All statements, by the room that runs them.
//!
//! Each finds its rows by an index, so that none costs more for what others have stored: a test explains them all, and
//! so each file has `samples`, its statements with parameters.

pub mod history;
pub mod idempotency;
pub mod lease;
pub mod limits;
pub mod meta;
pub mod responses;
pub mod tasks;
pub mod waiter;

use super::statement::Statement;

/// Statements that delete expired rows: up to `most` that have expired before `now`, of each of which it returns a row.
pub const SWEEPS: &[&Statement] = &[
    &waiter::SWEEP,
    &limits::SWEEP,
    &idempotency::SWEEP,
    &responses::SWEEP,
    &tasks::SWEEP,
    &tasks::SWEEP_FILES,
    &history::SWEEP,
];

/// A statement, its name, and parameters to explain it with.
#[cfg(test)]
pub(crate) type Sample = (&'static str, Statement, Vec<super::statement::Parameter>);

/// All statements.
#[cfg(test)]
pub(crate) fn samples() -> Vec<Sample> {
    [
        history::samples(),
        idempotency::samples(),
        lease::samples(),
        limits::samples(),
        meta::samples(),
        responses::samples(),
        tasks::samples(),
        waiter::samples(),
    ]
    .concat()
}
