//! Statements on figures of the service.

use crate::store::statement::Statement;

/// Adds to figures, with the day on which that is.
pub const ADD: Statement = Statement(
    "INSERT INTO metric (name, labels, bucket, value, written) VALUES :rows \
     ON CONFLICT (name, labels, bucket) DO UPDATE SET value = metric.value + excluded.value, \
     written = excluded.written",
);

/// Reads figures of those names, in order.
pub const READ: Statement = Statement(
    "SELECT name, labels, bucket, value FROM metric WHERE name IN (:names) ORDER BY name, labels, bucket LIMIT :most",
);

/// Deletes figures to which nothing was added for 30 days, each with all of its buckets. One to which an instance is
/// adding stays: the row of its sum, which is written first, is locked.
pub const SWEEP: Statement = Statement(
    "DELETE FROM metric WHERE (name, labels) IN (SELECT name, labels FROM metric WHERE bucket = 0 \
     AND written < CAST(:now AS BIGINT) - 2592000000 ORDER BY written LIMIT :most\
     /*postgres: FOR UPDATE SKIP LOCKED*/) RETURNING 1",
);

#[cfg(test)]
pub(crate) fn samples() -> Vec<super::Sample> {
    use crate::platform::Value;
    use crate::store::statement::Argument;

    let row = vec!["n".into(), "l".into(), Value::Integer(1), Value::Real(1.5), Value::Integer(2)];
    vec![
        ("ADD", ADD, vec![("rows", Argument::Rows(vec![row]))]),
        ("READ", READ, vec![("names", Argument::list(["n", "m"])), ("most", 9_i64.into())]),
        ("SWEEP", SWEEP, vec![("now", 0_i64.into()), ("most", 1_i64.into())]),
    ]
}
