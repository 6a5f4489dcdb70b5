//! Statements about Spaces, and jobs that wait for a slot there.

use crate::store::statement::Statement;

/// Reads all that scheduling goes by, in rows of (kind, id, number, number, number, text, text):
///
/// - `slots`: of a leased resource, the number of free slots and of those that are taken;
/// - `waiter`: one of the first 32 jobs of each queue that other instances have waiting: the queue, priority, turn and
///   age, its own id and the Spaces that it avoids;
/// - `health`: of a Space, the version of its health, and it;
/// - `profile`: of a Space, when it was learnt what it can do, and that.
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
     <<profiles| UNION ALL SELECT 'profile', id, learnt, CAST(0 AS BIGINT), CAST(0 AS BIGINT), profile, '' FROM profile \
     WHERE id = :profiles>>",
);

/// Lets a job wait, and gives it its turn: the one that it has, or the one after its caller's last waiting job of that
/// priority, or that of the one in front, whichever is later. Not where its caller's part of the queue is full, unless
/// it has been let in before (`is_known`).
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

/// Lets the jobs of an instance wait on.
pub const EXTEND: Statement = Statement("UPDATE waiter SET expires = :expires WHERE holder = :holder");

/// Lets jobs wait no longer.
pub const LEAVE: Statement = Statement("DELETE FROM waiter WHERE id IN (:ids)");

/// Deletes jobs whose instances have died.
pub const SWEEP: Statement = Statement(
    "DELETE FROM waiter WHERE id IN (SELECT id FROM waiter WHERE expires < :now ORDER BY expires LIMIT :most) RETURNING 1",
);

/// Reads a Space's health.
pub const HEALTH: Statement = Statement("SELECT version, health FROM space WHERE id = :id");

/// Writes a Space's first health.
pub const ADD_HEALTH: Statement = Statement(
    "INSERT INTO space (id, version, health) VALUES (:id, 1, :health) ON CONFLICT (id) DO NOTHING RETURNING version",
);

/// Writes a Space's health over the one of that version.
pub const SET_HEALTH: Statement = Statement(
    "UPDATE space SET health = :health, version = version + 1 WHERE id = :id AND version = :version RETURNING version",
);

/// Reads what a Space can do.
pub const PROFILE: Statement = Statement("SELECT learnt, profile FROM profile WHERE id = :id");

/// Writes what a Space can do.
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
