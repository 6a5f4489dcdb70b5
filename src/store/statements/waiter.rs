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

/// Adds waiting jobs, and returns the turn of each: the given one, or the later of that after its caller's last waiting
/// job of that priority and that of the job in front, plus the number of jobs of the same caller before it (`ahead`).
/// Leaves jobs out whose caller's share of the queue is full, unless their request was admitted before (`is_known`).
///
/// Rows of (place, id, crowd, queue, priority, caller, turn, ahead, ahead in the queue, since, avoid, is known), all
/// texts: PostgreSQL takes parameters in `VALUES` for nothing else.
pub const ENTER: Statement = Statement(
    "WITH own_new (place, id, crowd, queue, priority, caller, turn, ahead, queued, since, avoid, is_known) \
     AS (VALUES :rows) \
     INSERT INTO waiter (id, crowd, queue, priority, caller, turn, since, avoid, holder, expires) \
     SELECT own_job.id, own_job.crowd, own_job.queue, own_job.priority, own_job.caller, \
     CASE WHEN own_job.turn > 0 THEN own_job.turn \
     WHEN own_job.last >= own_job.front THEN own_job.last + 1 + own_job.ahead \
     ELSE own_job.front + own_job.ahead END, \
     own_job.since, own_job.avoid, CAST(:holder AS TEXT), CAST(:expires AS BIGINT) FROM (\
     SELECT own_new.id, crowd, queue, CAST(priority AS BIGINT) AS priority, caller, CAST(turn AS BIGINT) AS turn, \
     CAST(ahead AS BIGINT) AS ahead, CAST(since AS BIGINT) AS since, avoid, is_known, \
     (SELECT COALESCE(MAX(waiter.turn), 0) FROM waiter WHERE waiter.crowd = own_new.crowd \
     AND waiter.priority = CAST(own_new.priority AS BIGINT) AND waiter.caller = own_new.caller) AS last, \
     (SELECT COALESCE(MIN(waiter.turn), 1) FROM waiter WHERE waiter.crowd = own_new.crowd \
     AND waiter.priority = CAST(own_new.priority AS BIGINT)) AS front, \
     CAST(queued AS BIGINT) + (SELECT COUNT(*) FROM waiter WHERE waiter.queue = own_new.queue \
     AND waiter.caller = own_new.caller AND waiter.expires > CAST(:now AS BIGINT)) AS jobs, \
     (SELECT COUNT(*) FROM (SELECT waiter.caller FROM waiter WHERE waiter.queue = own_new.queue \
     AND waiter.caller <> own_new.caller AND waiter.expires > CAST(:now AS BIGINT) \
     UNION SELECT own_other.caller FROM own_new AS own_other WHERE own_other.queue = own_new.queue \
     AND own_other.caller <> own_new.caller AND CAST(own_other.place AS BIGINT) < CAST(own_new.place AS BIGINT)) \
     AS own_callers) AS others FROM own_new) AS own_job \
     WHERE own_job.is_known = '1' OR own_job.jobs * (own_job.others + 1) < CAST(:most AS BIGINT) \
     RETURNING id, turn",
);

/// Counts the waiting jobs of queues.
pub const COUNT: Statement =
    Statement("SELECT queue, COUNT(*) FROM waiter WHERE queue IN (:queues) AND expires > :now GROUP BY queue");

/// Extends the waiting jobs of an instance.
pub const EXTEND: Statement = Statement("UPDATE waiter SET expires = :expires WHERE holder = :holder");

/// Removes waiting jobs.
pub const LEAVE: Statement = Statement("DELETE FROM waiter WHERE id IN (:ids)");

/// Deletes waiting jobs of dead instances.
pub const SWEEP: Statement = Statement(
    "DELETE FROM waiter WHERE id IN (SELECT id FROM waiter WHERE expires < :now ORDER BY expires LIMIT :most) \
     RETURNING 1",
);

/// Replaces a Space's health of that version (0 where there is none), and returns the row as it is then: its version,
/// writer, and health.
pub const SET_HEALTH: Statement = Statement(
    "INSERT INTO space (id, version, writer, health) VALUES (:id, 1, :writer, :health) ON CONFLICT (id) DO UPDATE SET \
     version = CASE WHEN space.version = :version THEN space.version + 1 ELSE space.version END, \
     writer = CASE WHEN space.version = :version THEN excluded.writer ELSE space.writer END, \
     health = CASE WHEN space.version = :version THEN excluded.health ELSE space.health END \
     RETURNING version, writer, health",
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
    let job = |values: [&str; 12]| values.map(crate::platform::Value::from).to_vec();
    let enter = vec![
        (
            "rows",
            Argument::Rows(vec![
                job(["0", "i", "c", "q", "1", "k", "0", "0", "0", "1", "", "0"]),
                job(["1", "j", "c", "q", "1", "k", "0", "1", "1", "1", "", "0"]),
            ]),
        ),
        ("holder", "i".into()),
        ("expires", 2_i64.into()),
        ("now", 1_i64.into()),
        ("most", 100_i64.into()),
    ];
    let health = vec![("id", "a".into()), ("version", 1_i64.into()), ("writer", "i".into()), ("health", "{}".into())];
    vec![
        ("VIEW", VIEW, view),
        ("ENTER", ENTER, enter),
        ("COUNT", COUNT, vec![("queues", Argument::list(["q", "r"])), ("now", 1_i64.into())]),
        ("EXTEND", EXTEND, vec![("expires", 1_i64.into()), ("holder", "i".into())]),
        ("LEAVE", LEAVE, vec![("ids", Argument::list(["a", "b"]))]),
        ("SWEEP", SWEEP, vec![("now", 0_i64.into()), ("most", 1_i64.into())]),
        ("SET_HEALTH", SET_HEALTH, health),
        ("PROFILE", PROFILE, vec![("id", "a".into())]),
        ("SET_PROFILE", SET_PROFILE, vec![("id", "a".into()), ("learnt", 1_i64.into()), ("profile", "{}".into())]),
    ]
}
