//! Tables of limits.

/// `rate`: theoretical arrival time of each caller, in microseconds since the Unix epoch.
///
/// Permits of concurrent images are leases (`scheduling`).
pub(super) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS rate (owner TEXT PRIMARY KEY, arrival BIGINT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS rate_by_arrival ON rate (arrival)",
];
