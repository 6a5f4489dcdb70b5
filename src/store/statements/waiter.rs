//! Statements on Spaces and waiting jobs.

use crate::store::statement::Statement;

/// Reads the shared state of scheduling, in rows of (kind, id, number, number, number, text, text):
///
/// - `slots`: numbers of free and of taken slots of a resource;
/// - `waiter`: one of the first 32 jobs of other instances in each queue: queue, priority, turn, arrival, id, and the
///   Spaces that it avoids;
/// - `health`: version and health of a Space;
/// - `profile`: time and contents of a Space's profile.
pub const VIEW: Statement = Statement(
    "SELECT 'slots' AS kind, resource AS id, \
     SUM(CASE WHEN expires < CAST(:before AS BIGINT) THEN 1 ELSE 0 END) AS a, \
     SUM(CASE WHEN expires < CAST(:before AS BIGINT) THEN 0 ELSE 1 END) AS b, \
     CAST(0 AS BIGINT) AS c, '' AS t, '' AS u FROM lease WHERE resource IN (:resources) GROUP BY resource\
     <<queues| UNION ALL SELECT * FROM (SELECT 'waiter', queue, priority, turn, since, id, avoid FROM waiter \
     WHERE queue = :queues AND holder <> :holder AND expires > CAST(:now AS BIGINT) \
     ORDER BY priority, turn, since, id LIMIT 32) AS own_waiters>>\
     <<spaces| UNION ALL SELECT 'health', id, version, CAST(0 AS BIGINT), CAST(0 AS BIGINT), health, '' FROM space \
     WHERE id = :spaces>>\
     <<profiles| UNION ALL SELECT 'profile', id, learnt, CAST(0 AS BIGINT), CAST(0 AS BIGINT), profile, '' \
     FROM profile WHERE id = :profiles>>",
);

/// Adds a waiting job and returns its turn: the given one, or the later of that after its caller's last waiting job of
/// that priority and that of the job in front. Adds nothing where its caller's share of the queue is full, unless the
/// request was admitted before (`is_known`).
pub const ENTER: Statement = Statement(
    "INSERT INTO waiter (id, crowd, queue, priority, caller, turn, since, avoid, holder, expires) \
     SELECT CAST(:id AS TEXT), CAST(:crowd AS TEXT), CAST(:queue AS TEXT), CAST(:priority AS BIGINT), \
     CAST(:caller AS TEXT), CASE WHEN CAST(:turn AS BIGINT) > 0 THEN CAST(:turn AS BIGINT) \
     WHEN own_last.turn >= own_front.turn THEN own_last.turn + 1 ELSE own_front.turn END, \
     CAST(:since AS BIGINT), CAST(:avoid AS TEXT), CAST(:holder AS TEXT), CAST(:expires AS BIGINT) FROM \
     (SELECT COALESCE(MAX(turn), 0) AS turn FROM waiter \
     WHERE crowd = :crowd AND priority = :priority AND caller = :caller) AS own_last, \
     (SELECT COALESCE(MIN(turn), 1) AS turn FROM waiter WHERE crowd = :crowd AND priority = :priority) AS own_front, \
     (SELECT COUNT(*) AS count FROM waiter \
     WHERE queue = :queue AND caller = :caller AND expires > CAST(:now AS BIGINT)) AS own_jobs, \
     (SELECT COUNT(DISTINCT caller) AS count FROM waiter \
     WHERE queue = :queue AND caller <> :caller AND expires > CAST(:now AS BIGINT)) AS own_others \
     WHERE CAST(:is_known AS BIGINT) = 1 OR own_jobs.count * (own_others.count + 1) < CAST(:most AS BIGINT) \
     RETURNING turn",
);

/// Extends the waiting jobs of an instance.
pub const EXTEND: Statement = Statement("UPDATE waiter SET expires = :expires WHERE holder = :holder");

/// Removes waiting jobs.
pub const LEAVE: Statement = Statement("DELETE FROM waiter WHERE id IN (:ids)");

/// Deletes waiting jobs of dead instances.
pub const SWEEP: Statement = Statement(
    "DELETE FROM waiter WHERE id IN (SELECT id FROM waiter WHERE expires < :now ORDER BY expires LIMIT :most) \
     RETURNING 1",
);

/// Reads a Space's health.
pub const HEALTH: Statement = Statement("SELECT version, health FROM space WHERE id = :id");

/// Writes a Space's first health.
pub const ADD_HEALTH: Statement = Statement(
    "INSERT INTO space (id, version, health) VALUES (:id, 1, :health) ON CONFLICT (id) DO NOTHING RETURNING version",
);

/// Replaces a Space's health of that version.
pub const SET_HEALTH: Statement = Statement(
    "UPDATE space SET health = :health, version = version + 1 WHERE id = :id AND version = :version RETURNING version",
);

/// Reads a Space's profile.
pub const PROFILE: Statement = Statement("SELECT learnt, profile FROM profile WHERE id = :id");

/// Writes a Space's profile, unless the stored one is newer.
pub const SET_PROFILE: Statement = Statement(
    "INSERT INTO profile (id, learnt, profile) VALUES (:id, :learnt, :profile) \
     ON CONFLICT (id) DO UPDATE SET learnt = excluded.learnt, profile = excluded.profile \
     WHERE profile.learnt <= excluded.learnt",
);

#[cfg(test)]
pub(crate) fn samples() -> Vec<super::Sample> {
    use crate::store::statement::Argument;

    let view = vec![
        ("before", 1_i64.into()),
        ("resources", Argument::list(["space/a", "probe/a"])),
        ("queues", Argument::list(["q", "r"])),
        ("holder", "i".into()),
        ("now", 1_i64.into()),
        ("spaces", Argument::list(["a", "b"])),
        ("profiles", Argument::list(["p", "q"])),
    ];
    let enter = vec![
        ("id", "i".into()),
        ("crowd", "c".into()),
        ("queue", "q".into()),
        ("priority", 1_i64.into()),
        ("caller", "k".into()),
        ("turn", 0_i64.into()),
        ("since", 1_i64.into()),
        ("avoid", "".into()),
        ("holder", "i".into()),
        ("expires", 2_i64.into()),
        ("now", 1_i64.into()),
        ("is_known", 0_i64.into()),
        ("most", 100_i64.into()),
    ];
    let health = |version: i64| vec![("id", "a".into()), ("version", version.into()), ("health", "{}".into())];
    vec![
        ("VIEW", VIEW, view),
        ("ENTER", ENTER, enter),
        ("EXTEND", EXTEND, vec![("expires", 1_i64.into()), ("holder", "i".into())]),
        ("LEAVE", LEAVE, vec![("ids", Argument::list(["a", "b"]))]),
        ("SWEEP", SWEEP, vec![("now", 0_i64.into()), ("most", 1_i64.into())]),
        ("HEALTH", HEALTH, vec![("id", "a".into())]),
        ("ADD_HEALTH", ADD_HEALTH, health(0)),
        ("SET_HEALTH", SET_HEALTH, health(1)),
        ("PROFILE", PROFILE, vec![("id", "a".into())]),
        ("SET_PROFILE", SET_PROFILE, vec![("id", "a".into()), ("learnt", 1_i64.into()), ("profile", "{}".into())]),
    ]
}
