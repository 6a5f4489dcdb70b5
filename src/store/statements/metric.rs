//! Statements on figures of the service.

use crate::store::statement::Statement;

/// Adds to figures.
pub const ADD: Statement = Statement(
    "INSERT INTO metric (name, labels, bucket, value) VALUES :rows \
     ON CONFLICT (name, labels, bucket) DO UPDATE SET value = metric.value + excluded.value",
);

/// Reads figures of those names, in order.
pub const READ: Statement = Statement(
    "SELECT name, labels, bucket, value FROM metric WHERE name IN (:names) ORDER BY name, labels, bucket LIMIT :most",
);

#[cfg(test)]
pub(crate) fn samples() -> Vec<super::Sample> {
    use crate::platform::Value;
    use crate::store::statement::Argument;

    let row = vec!["n".into(), "l".into(), Value::Integer(1), Value::Real(1.5)];
    vec![
        ("ADD", ADD, vec![("rows", Argument::Rows(vec![row]))]),
        ("READ", READ, vec![("names", Argument::list(["n", "m"])), ("most", 9_i64.into())]),
    ]
}
