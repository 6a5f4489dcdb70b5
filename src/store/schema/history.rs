//! Table of the history.

/// `image`: a row for each request that images were made for and that was no task.
///
/// `id`, `prompt` and `shown` are as in the table `task`; `entry` is what is told of the images, as JSON.
pub(super) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS image (id TEXT PRIMARY KEY, owner TEXT NOT NULL, prompt TEXT NOT NULL, \
     shown BIGINT NOT NULL, expires BIGINT NOT NULL, entry TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS image_shown ON image (owner, id) WHERE shown > 0",
    "CREATE INDEX IF NOT EXISTS image_by_expiry ON image (expires)",
];
