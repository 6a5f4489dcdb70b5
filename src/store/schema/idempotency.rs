//! Tables of idempotent requests.

/// `idempotency`: a row for each key, by its digest. While the request is in flight (`status` 0, or -1 for a streaming
/// response), the row is a lease of the instance `holder` for its `flight` until `expires`. After that it holds the
/// response, its HTTP `status`, `head` (JSON) and `body`, until `expires`.
pub(super) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS idempotency (id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, holder TEXT NOT NULL, \
     flight BIGINT NOT NULL, status BIGINT NOT NULL, expires BIGINT NOT NULL, head TEXT NOT NULL, body BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS idempotency_by_expiry ON idempotency (expires)",
];
