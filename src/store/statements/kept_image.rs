//! Statements on `kept_image`: images that Spaces have sent inline.

use crate::store::statement::Statement;

/// Adds a part of an image.
pub const ADD: Statement = Statement(
    "INSERT INTO kept_image (id, part, size, made, expires, bytes) \
     VALUES (:id, :part, :size, :made, :expires, :bytes) ON CONFLICT (id, part) DO NOTHING",
);

/// Reads a part of an image.
pub const READ: Statement =
    Statement("SELECT bytes FROM kept_image WHERE id = :id AND part = :part AND expires > :now");

/// Deletes the oldest images beyond `most` bytes, `span` parts at a time.
pub const TRIM: Statement = Statement(
    "DELETE FROM kept_image WHERE made <= (SELECT COALESCE(MAX(made), 0) FROM (\
     SELECT made, SUM(size) OVER (ORDER BY made DESC) AS total FROM (SELECT made, size FROM kept_image WHERE made > 0 \
     ORDER BY made DESC LIMIT CAST(:span AS BIGINT)) AS own_newest) AS own_totals \
     WHERE total > CAST(:most AS BIGINT)) RETURNING 1",
);

/// Deletes parts of images whose time is over.
pub const SWEEP: Statement = Statement(
    "DELETE FROM kept_image WHERE id IN (SELECT id FROM kept_image WHERE expires < :now ORDER BY expires LIMIT :most) \
     RETURNING 1",
);

#[cfg(test)]
pub(crate) fn samples() -> Vec<super::Sample> {
    let add = vec![
        ("id", "x".into()),
        ("part", 0_i64.into()),
        ("size", 3_i64.into()),
        ("made", 1_i64.into()),
        ("expires", 2_i64.into()),
        ("bytes", vec![0_u8].into()),
    ];
    vec![
        ("ADD", ADD, add),
        ("READ", READ, vec![("id", "x".into()), ("part", 0_i64.into()), ("now", 1_i64.into())]),
        ("TRIM", TRIM, vec![("span", 10_i64.into()), ("most", 5_i64.into())]),
        ("SWEEP", SWEEP, vec![("now", 0_i64.into()), ("most", 1_i64.into())]),
    ]
}
