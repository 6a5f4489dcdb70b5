//! Statements on images in another format than their Spaces made.

use crate::store::statement::Statement;

/// Reads a row, which may be in the making.
pub const READ: Statement = Statement("SELECT holder, format, bytes FROM converted WHERE id = :id AND expires > :now");

/// Claims the making of an image that isn't there, and returns a row if it was claimed.
pub const CLAIM: Statement = Statement(
    "INSERT INTO converted (id, holder, format, size, made, expires, bytes) \
     VALUES (:id, :holder, '', 0, 0, :expires, :bytes) ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, \
     format = '', size = 0, made = 0, expires = excluded.expires, bytes = excluded.bytes \
     WHERE converted.expires <= CAST(:now AS BIGINT) RETURNING 1",
);

/// Keeps an image whose making was claimed.
pub const KEEP: Statement = Statement(
    "UPDATE converted SET holder = '', format = :format, size = :size, made = :now, expires = :expires, \
     bytes = :bytes WHERE id = :id AND holder = :holder",
);

/// Gives a claim up.
pub const RELEASE: Statement = Statement("DELETE FROM converted WHERE id = :id AND holder = :holder");

/// Deletes the oldest images beyond `most` bytes, `span` of them at a time.
pub const TRIM: Statement = Statement(
    "DELETE FROM converted WHERE id IN (SELECT id FROM converted WHERE made > 0 AND made <= (\
     SELECT COALESCE(MAX(made), 0) FROM (SELECT made, SUM(size) OVER (ORDER BY made DESC) AS total FROM (\
     SELECT made, size FROM converted WHERE made > 0 ORDER BY made DESC LIMIT CAST(:span AS BIGINT)) AS own_newest) \
     AS own_totals WHERE total > CAST(:most AS BIGINT)) ORDER BY made LIMIT CAST(:span AS BIGINT)) RETURNING 1",
);

/// Deletes images whose links have expired, and claims of dead instances.
pub const SWEEP: Statement = Statement(
    "DELETE FROM converted WHERE id IN (SELECT id FROM converted WHERE expires < :now ORDER BY expires LIMIT :most) \
     RETURNING 1",
);

#[cfg(test)]
pub(crate) fn samples() -> Vec<super::Sample> {
    let claim = vec![
        ("id", "x".into()),
        ("holder", "me".into()),
        ("expires", 2_i64.into()),
        ("bytes", Vec::new().into()),
        ("now", 1_i64.into()),
    ];
    let keep = vec![
        ("format", "png".into()),
        ("size", 3_i64.into()),
        ("now", 1_i64.into()),
        ("expires", 2_i64.into()),
        ("bytes", vec![0_u8].into()),
        ("id", "x".into()),
        ("holder", "me".into()),
    ];
    vec![
        ("READ", READ, vec![("id", "x".into()), ("now", 1_i64.into())]),
        ("CLAIM", CLAIM, claim),
        ("KEEP", KEEP, keep),
        ("RELEASE", RELEASE, vec![("id", "x".into()), ("holder", "me".into())]),
        ("TRIM", TRIM, vec![("span", 10_i64.into()), ("most", 5_i64.into())]),
        ("SWEEP", SWEEP, vec![("now", 0_i64.into()), ("most", 1_i64.into())]),
    ]
}
