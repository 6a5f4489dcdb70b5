//! Tables of limits for each key.

/// `rate`: the theoretical arrival time of each caller's requests, in microseconds since the Unix epoch.
///
/// Places of images at once are leases (`scheduling`).
pub(super) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS rate (owner TEXT PRIMARY KEY, arrival BIGINT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS rate_by_arrival ON rate (arrival)",
];
