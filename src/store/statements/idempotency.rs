//! Statements on idempotent requests.

use crate::store::statement::Statement;

/// Marks a request as in flight and returns a row, unless it is in flight on another instance or has a response.
///
/// A mark of the same instance was abandoned, and is replaced. Marks of others are free if they expired `before`.
pub const BEGIN: Statement = Statement(
    "INSERT INTO idempotency (id, fingerprint, holder, flight, status, expires, head, body) \
     VALUES (:id, :fingerprint, :holder, :flight, 0, :expires, '', :body) ON CONFLICT (id) DO UPDATE SET \
     fingerprint = excluded.fingerprint, holder = excluded.holder, flight = excluded.flight, status = 0, \
     expires = excluded.expires, head = '', body = excluded.body WHERE (idempotency.status <= 0 AND \
     (idempotency.holder = excluded.holder OR idempotency.expires < CAST(:before AS BIGINT))) \
     OR (idempotency.status > 0 AND idempotency.expires <= CAST(:now AS BIGINT)) RETURNING 1",
);

/// Reads the row of a key.
pub const READ: Statement = Statement(
    "SELECT fingerprint, status, head, body FROM idempotency WHERE id = :id AND \
     expires > CASE WHEN status > 0 THEN CAST(:now AS BIGINT) ELSE CAST(:before AS BIGINT) - 1 END",
);

/// Reads the states of keys.
pub const STATES: Statement = Statement(
    "SELECT id, status FROM idempotency WHERE id IN (:ids) AND \
     expires > CASE WHEN status > 0 THEN CAST(:now AS BIGINT) ELSE CAST(:before AS BIGINT) - 1 END",
);

/// Renews the marks of an instance.
pub const RENEW: Statement =
    Statement("UPDATE idempotency SET expires = :expires WHERE id IN (:ids) AND holder = :holder AND status <= 0");

/// Marks the response of a request as a stream.
pub const STREAM: Statement = Statement(
    "UPDATE idempotency SET status = -1 WHERE id = :id AND holder = :holder AND flight = :flight AND status = 0",
);

/// Stores a response, unless another instance leads by now.
pub const KEEP: Statement = Statement(
    "INSERT INTO idempotency (id, fingerprint, holder, flight, status, expires, head, body) \
     VALUES (:id, :fingerprint, :holder, :flight, :status, :expires, :head, :body) ON CONFLICT (id) DO UPDATE SET \
     status = excluded.status, expires = excluded.expires, head = excluded.head, body = excluded.body \
     WHERE idempotency.holder = excluded.holder AND idempotency.flight = excluded.flight",
);

/// Deletes a mark.
pub const FORGET: Statement =
    Statement("DELETE FROM idempotency WHERE id = :id AND holder = :holder AND flight = :flight AND status <= 0");

/// Deletes rows more than a minute after their expiry.
pub const SWEEP: Statement = Statement(
    "DELETE FROM idempotency WHERE id IN (SELECT id FROM idempotency WHERE expires < CAST(:now AS BIGINT) - 60000 \
     ORDER BY expires LIMIT :most) AND expires < CAST(:now AS BIGINT) - 60000 RETURNING 1",
);

#[cfg(test)]
pub(crate) fn samples() -> Vec<super::Sample> {
    use crate::store::statement::Argument;

    let of = |more: Vec<crate::store::statement::Parameter>| {
        let mut all = vec![("id", "k".into()), ("holder", "i".into()), ("flight", 1_i64.into())];
        all.extend(more);
        all
    };
    let clock = || vec![("now", 1_i64.into()), ("before", 1_i64.into())];
    let row = || {
        vec![
            ("fingerprint", "f".into()),
            ("status", 200_i64.into()),
            ("expires", 1_i64.into()),
            ("head", "[]".into()),
            ("body", Vec::new().into()),
        ]
    };
    let ids = || ("ids", Argument::list(["k", "l"]));
    vec![
        ("BEGIN", BEGIN, of([row(), clock()].concat())),
        ("READ", READ, of(clock())),
        ("STATES", STATES, [vec![ids()], clock()].concat()),
        ("RENEW", RENEW, of(vec![ids(), ("expires", 1_i64.into())])),
        ("STREAM", STREAM, of(vec![])),
        ("KEEP", KEEP, of(row())),
        ("FORGET", FORGET, of(vec![])),
        ("SWEEP", SWEEP, vec![("now", 0_i64.into()), ("most", 1_i64.into())]),
    ]
}
