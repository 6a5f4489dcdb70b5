//! Table of the history.

/// `image`: a row for each request with images, tasks excepted.
///
/// `id`, `prompt` and `shown` are as in the table `task`; `entry` is the request with its images, as JSON.
pub(super) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS image (id TEXT PRIMARY KEY, owner TEXT NOT NULL, prompt TEXT NOT NULL, \
     shown BIGINT NOT NULL, expires BIGINT NOT NULL, entry TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS image_shown ON image (owner, id) WHERE shown > 0",
    "CREATE INDEX IF NOT EXISTS image_by_expiry ON image (expires)",
];
