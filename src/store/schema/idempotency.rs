//! Tables of requests that are answered once.

/// `idempotency`: a row for each key of a request, by a digest. It is being answered (`status` 0), or is by a stream
/// (-1), by that `flight` of the instance `holder`, until the lease `expires`; or it was answered, with that HTTP
/// `status`, `head` (JSON) and `body`, which are kept until then.
pub(super) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS idempotency (id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, holder TEXT NOT NULL, \
     flight BIGINT NOT NULL, status BIGINT NOT NULL, expires BIGINT NOT NULL, head TEXT NOT NULL, body BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS idempotency_by_expiry ON idempotency (expires)",
];
