//! Statements on leases.

use crate::store::statement::Statement;

/// Adds the slots of a resource from `first` to `end`, exclusively; existing ones stay.
pub const ADD: Statement = Statement(
    "WITH RECURSIVE number (slot) AS (SELECT CAST(:first AS BIGINT) \
     UNION ALL SELECT slot + 1 FROM number WHERE slot + 1 < CAST(:end AS BIGINT)) \
     INSERT INTO lease (resource, slot, holder, expires) \
     SELECT CAST(:resource AS TEXT), slot, '', 0 FROM number WHERE true ON CONFLICT (resource, slot) DO NOTHING",
);

/// Claims up to `most` slots of a resource below `limit` that have expired `before`.
pub const CLAIM: Statement = Statement(
    "UPDATE lease SET holder = :holder, expires = :expires WHERE resource = :resource AND slot IN \
     (SELECT slot FROM lease WHERE resource = :resource AND slot < :limit AND expires < :before \
     ORDER BY slot LIMIT :most/*postgres: FOR UPDATE SKIP LOCKED*/) AND expires < :before RETURNING slot",
);

/// Claims `most` slots of a resource below `limit` that have expired `before`, or none.
pub const CLAIM_ALL: Statement = Statement(
    "WITH own_free AS (SELECT slot FROM lease WHERE resource = :resource AND slot < :limit AND expires < :before \
     ORDER BY slot LIMIT :most/*postgres: FOR UPDATE SKIP LOCKED*/) \
     UPDATE lease SET holder = :holder, expires = :expires WHERE resource = :resource AND expires < :before \
     AND slot IN (SELECT slot FROM own_free) AND (SELECT COUNT(*) FROM own_free) = :most RETURNING slot",
);

/// Renews the leases of a holder and returns them.
pub const RENEW: Statement =
    Statement("UPDATE lease SET expires = :expires WHERE holder = :holder RETURNING resource, slot");

/// Releases slots of a resource.
pub const RELEASE: Statement = Statement(
    "UPDATE lease SET holder = '', expires = 0 WHERE resource = :resource AND slot IN (:slots) AND holder = :holder",
);

#[cfg(test)]
pub(crate) fn samples() -> Vec<super::Sample> {
    use crate::store::statement::Argument;

    let claim = || {
        vec![
            ("holder", "i".into()),
            ("expires", 1_i64.into()),
            ("resource", "space/x".into()),
            ("limit", 2_i64.into()),
            ("before", 1_i64.into()),
            ("most", 1_i64.into()),
        ]
    };
    let add = vec![("first", 0_i64.into()), ("end", 2_i64.into()), ("resource", "space/x".into())];
    let release = vec![("resource", "space/x".into()), ("slots", Argument::list([0_i64, 1])), ("holder", "i".into())];
    vec![
        ("ADD", ADD, add),
        ("CLAIM", CLAIM, claim()),
        ("CLAIM_ALL", CLAIM_ALL, claim()),
        ("RENEW", RENEW, vec![("expires", 1_i64.into()), ("holder", "i".into())]),
        ("RELEASE", RELEASE, release),
    ]
}
