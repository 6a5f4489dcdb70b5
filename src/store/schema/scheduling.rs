//! Tables of scheduling over all instances: leases, waiting jobs, and the state of Spaces.

/// `lease`: a row for each slot of a resource, such as slot 1 of a Space; free once it has expired.
///
/// `waiter`: a row for each job that waits for a slot. Order of service is `priority`, `turn`, `since`, `id`.
///
/// `space`: health of a Space as JSON, its version, and the instance that wrote it. `profile`: capabilities of a Space
/// as JSON, and their age.
pub(super) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS lease (resource TEXT NOT NULL, slot BIGINT NOT NULL, holder TEXT NOT NULL, \
     expires BIGINT NOT NULL, PRIMARY KEY (resource, slot))",
    "CREATE INDEX IF NOT EXISTS lease_by_holder ON lease (holder)",
    "CREATE TABLE IF NOT EXISTS waiter (id TEXT PRIMARY KEY, crowd TEXT NOT NULL, queue TEXT NOT NULL, \
     priority BIGINT NOT NULL, caller TEXT NOT NULL, turn BIGINT NOT NULL, since BIGINT NOT NULL, avoid TEXT NOT NULL, \
     holder TEXT NOT NULL, expires BIGINT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS waiter_by_turn ON waiter (queue, priority, turn, since, id)",
    "CREATE INDEX IF NOT EXISTS waiter_by_crowd ON waiter (crowd, priority, turn)",
    "CREATE INDEX IF NOT EXISTS waiter_by_caller ON waiter (crowd, priority, caller, turn)",
    "CREATE INDEX IF NOT EXISTS waiter_by_queue ON waiter (queue, caller, expires)",
    "CREATE INDEX IF NOT EXISTS waiter_by_holder ON waiter (holder)",
    "CREATE INDEX IF NOT EXISTS waiter_by_expiry ON waiter (expires)",
    "CREATE TABLE IF NOT EXISTS space (id TEXT PRIMARY KEY, version BIGINT NOT NULL, writer TEXT NOT NULL, \
     health TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS profile (id TEXT PRIMARY KEY, learnt BIGINT NOT NULL, profile TEXT NOT NULL)",
];
