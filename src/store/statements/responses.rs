//! Statements on responses that a request can continue.

use crate::store::statement::Statement;

/// Adds a response.
pub const KEEP: Statement = Statement(
    "INSERT INTO response (id, owner, expires, prompt, images) VALUES (:id, :owner, :expires, :prompt, :images) \
     ON CONFLICT (id) DO NOTHING",
);

/// Reads a response.
pub const READ: Statement =
    Statement("SELECT prompt, images FROM response WHERE id = :id AND owner = :owner AND expires > :now");

/// Deletes expired responses.
pub const SWEEP: Statement = Statement(
    "DELETE FROM response WHERE id IN (SELECT id FROM response WHERE expires < :now ORDER BY expires LIMIT :most) \
     RETURNING 1",
);

#[cfg(test)]
pub(crate) fn samples() -> Vec<super::Sample> {
    let keep = vec![
        ("id", "r".into()),
        ("owner", "me".into()),
        ("expires", 1_i64.into()),
        ("prompt", "a fox".into()),
        ("images", "[]".into()),
    ];
    vec![
        ("KEEP", KEEP, keep),
        ("READ", READ, vec![("id", "r".into()), ("owner", "me".into()), ("now", 1_i64.into())]),
        ("SWEEP", SWEEP, vec![("now", 0_i64.into()), ("most", 1_i64.into())]),
    ]
}
