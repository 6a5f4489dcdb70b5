//! Tables of responses that a request can continue.

/// `response`: prompt and images of a response, by its id; `images` is JSON.
pub(super) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS response (id TEXT PRIMARY KEY, owner TEXT NOT NULL, expires BIGINT NOT NULL, \
     prompt TEXT NOT NULL, images TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS response_by_expiry ON response (expires)",
];
