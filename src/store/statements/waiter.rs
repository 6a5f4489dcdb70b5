//! Statements about jobs that wait for a slot.

use crate::store::statement::Statement;

/// Deletes jobs whose instances have died.
pub const SWEEP: Statement = Statement(
    "DELETE FROM waiter WHERE id IN (SELECT id FROM waiter WHERE expires < :now ORDER BY expires LIMIT :most) RETURNING 1",
);

#[cfg(test)]
pub(crate) fn samples() -> Vec<super::Sample> {
    vec![("SWEEP", SWEEP, vec![("now", 0_i64.into()), ("most", 1_i64.into())])]
}
