//! Statements on tasks.
//!
//! A waiting task has no holder; a running one has a holder and a lease. Only the holder writes a running task, with a
//! greater revision each time, so a repeated or late write has no effect.

use crate::store::statement::Statement;

/// Adds a task, if its owner has fewer than `most` unfinished ones.
///
/// Its turn is the later of that after the owner's last and the current one: the first waiting turn or, without one,
/// the last running turn.
pub const ADD: Statement = Statement(
    "INSERT INTO task (id, owner, created, until, expires, status, model, priority, turn, prompt, shown, record, \
     revision, holder, lease, work, due) \
     SELECT CAST(:id AS TEXT), CAST(:owner AS TEXT), CAST(:created AS BIGINT), CAST(:until AS BIGINT), \
     CAST(:until AS BIGINT), 'queued', CAST(:model AS TEXT), CAST(:priority AS BIGINT), \
     CASE WHEN own_turn.mine > own_turn.present THEN own_turn.mine ELSE own_turn.present END, \
     CAST(:prompt AS TEXT), 0, CAST(:record AS TEXT), 0, '', 0, 2, CAST(:created AS BIGINT) FROM (SELECT \
     COALESCE((SELECT MAX(turn) FROM task WHERE owner = :owner AND model = :model AND priority = :priority \
     AND work = 2) + 1, 0) AS mine, \
     COALESCE((SELECT MIN(turn) FROM task WHERE model = :model AND priority = :priority AND work = 2 AND holder = ''), \
     (SELECT MAX(turn) FROM task WHERE model = :model AND priority = :priority AND work = 2 AND holder <> ''), 0) \
     AS present) own_turn \
     WHERE (SELECT COUNT(*) FROM task WHERE owner = :owner AND work = 2) < CAST(:most AS BIGINT) RETURNING revision",
);

/// Claims the next waiting task of a model, unless `last + 1` tasks of its priority or a higher one are running.
///
/// The lowest priority of the `last + 1` running tasks of highest priority bounds that of the claimed task.
pub const CLAIM: Statement = Statement(
    "UPDATE task SET holder = :holder, lease = :lease, revision = revision + 1 WHERE id = (\
     SELECT id FROM task WHERE model = :model AND work = 2 AND holder = '' AND due <= :now AND priority < \
     COALESCE((SELECT own_busy.priority FROM task own_busy WHERE own_busy.model = :model AND own_busy.work = 2 \
     AND own_busy.holder <> '' ORDER BY own_busy.priority LIMIT 1 OFFSET CAST(:last AS BIGINT)), 3) \
     ORDER BY priority, turn, id LIMIT 1/*postgres: FOR UPDATE SKIP LOCKED*/) AND holder = '' \
     RETURNING id, owner, record, revision",
);

/// Claims a task with a due webhook.
pub const CLAIM_DELIVERY: Statement = Statement(
    "UPDATE task SET holder = :holder, lease = :lease, revision = revision + 1 WHERE id = (\
     SELECT id FROM task WHERE work > 0 AND work = 1 AND holder = '' AND due <= :now ORDER BY due LIMIT 1\
     /*postgres: FOR UPDATE SKIP LOCKED*/) AND holder = '' RETURNING id, owner, record, revision",
);

/// Writes a task of `holder` and sets the holder to `next`. NULL in `shown` or `expires` leaves the column as it is.
pub const SAVE: Statement = Statement(
    "UPDATE task SET record = :record, status = :status, revision = :revision, holder = :next, lease = :lease, \
     work = :work, due = :due, shown = COALESCE(CAST(:shown AS BIGINT), shown), \
     expires = COALESCE(CAST(:expires AS BIGINT), expires) \
     WHERE id = :id AND holder = :holder AND revision < :revision RETURNING revision",
);

/// Abandons a task with an unreadable record.
pub const ABANDON: Statement = Statement(
    "UPDATE task SET status = 'failed', until = 0, work = 0, holder = '' WHERE id = :id AND holder = :holder",
);

/// Cancels an unfinished task of that revision, whoever holds it.
pub const CANCEL: Statement = Statement(
    "UPDATE task SET record = :record, status = 'cancelled', revision = revision + 1, holder = :next, lease = :lease, \
     work = :work, due = :now, shown = :shown, expires = :expires \
     WHERE id = :id AND revision = :revision AND work = 2 RETURNING revision",
);

/// Renews the leases of runners and returns the holders among them.
pub const RENEW: Statement = Statement(
    "UPDATE task SET lease = :lease WHERE id IN (:ids) AND holder IN (:holders) AND work > 0 RETURNING holder",
);

/// Returns the holders among runners.
pub const CHECK: Statement =
    Statement("SELECT holder FROM task WHERE id IN (:ids) AND holder IN (:holders) AND work > 0");

/// Requeues tasks of dead runners.
pub const REQUEUE: Statement = Statement(
    "UPDATE task SET holder = '', lease = 0 WHERE id IN (\
     SELECT id FROM task WHERE holder <> '' AND lease < :before ORDER BY lease LIMIT 100\
     /*postgres: FOR UPDATE SKIP LOCKED*/) AND lease < :before RETURNING id",
);

/// Looks for work: number of unfinished tasks (up to `most`), expiry of the watch, dead runners, due webhooks, and
/// models with waiting tasks.
pub const LOOK: Statement = Statement(
    "WITH RECURSIVE own_model (model) AS (SELECT CAST('' AS TEXT) UNION ALL SELECT (\
     SELECT task.model FROM task WHERE task.work = 2 AND task.holder = '' AND task.due <= CAST(:now AS BIGINT) \
     AND task.model > own_model.model ORDER BY task.model LIMIT 1) FROM own_model WHERE own_model.model IS NOT NULL) \
     SELECT 'model', model, CAST(0 AS BIGINT) FROM own_model WHERE model <> '' \
     UNION ALL SELECT 'open', '', COUNT(*) FROM (SELECT 1 FROM task WHERE work > 0 LIMIT :most) own_open \
     UNION ALL SELECT 'watched', '', expires FROM lease WHERE resource = 'tasks' AND slot = 0 \
     UNION ALL SELECT 'expired', '', COUNT(*) FROM (\
     SELECT 1 FROM task WHERE holder <> '' AND lease < CAST(:before AS BIGINT) LIMIT 1) own_expired \
     UNION ALL SELECT 'delivery', '', COUNT(*) FROM (\
     SELECT 1 FROM task WHERE work > 0 AND work = 1 AND holder = '' AND due <= CAST(:now AS BIGINT) LIMIT 1\
     ) own_delivery",
);

/// Counts the tasks with remaining work, by that and by status, up to `most`.
pub const COUNT: Statement = Statement(
    "SELECT own_open.work, own_open.status, COUNT(*) FROM (SELECT work, status FROM task WHERE work > 0 LIMIT :most) \
     AS own_open GROUP BY own_open.work, own_open.status",
);

/// Reads a task.
pub const READ: Statement = Statement(
    "SELECT record, revision, lease FROM task WHERE id = :id AND owner = :owner AND until > CAST(:now AS BIGINT)",
);

/// Lists tasks of an owner, the newest first.
pub const LIST: Statement = Statement(
    "SELECT id, record FROM task WHERE owner = :owner AND id < :after AND until > CAST(:now AS BIGINT)\
     <<statuses| AND status = :statuses>> ORDER BY id DESC LIMIT :most",
);

/// Reads the revisions of tasks.
pub const REVISIONS: Statement = Statement("SELECT id, revision FROM task WHERE id IN (:ids) AND until > :now");

/// Reads several tasks.
pub const READ_ALL: Statement = Statement("SELECT id, record, revision FROM task WHERE id IN (:ids) AND until > :now");

/// Hides a finished task from its owner. Its images stay in the history.
pub const FORGET: Statement = Statement(
    "UPDATE task SET until = 0, work = 0, holder = '', expires = CASE WHEN shown > 0 THEN expires ELSE 0 END \
     WHERE id = :id AND owner = :owner AND work < 2 AND until > :now RETURNING shown",
);

/// Deletes a hidden task without listed images.
pub const DELETE: Statement = Statement("DELETE FROM task WHERE id = :id AND expires = 0");

/// Hides the oldest finished tasks of an owner with more than `kept`.
pub const TRIM: Statement = Statement(
    "UPDATE task SET until = 0, expires = CASE WHEN shown > 0 THEN expires ELSE 0 END WHERE id IN (\
     SELECT id FROM task WHERE owner = :owner AND work = 0 ORDER BY id DESC LIMIT 100 OFFSET CAST(:kept AS BIGINT)) \
     AND until > 0 RETURNING 1",
);

/// Deletes expired tasks.
pub const SWEEP: Statement = Statement(
    "DELETE FROM task WHERE id IN (\
     SELECT id FROM task WHERE expires < :now ORDER BY expires LIMIT :most) RETURNING 1",
);

/// Adds a part of a file.
pub const ADD_PART: Statement = Statement(
    "INSERT INTO task_file (task, name, part, bytes, expires) VALUES (:task, :name, :part, :bytes, :expires) \
     ON CONFLICT (task, name, part) DO UPDATE SET bytes = excluded.bytes",
);

/// Reads a part of a file.
pub const READ_PART: Statement =
    Statement("SELECT bytes FROM task_file WHERE task = :task AND name = :name AND part = :part");

/// Deletes files of a task, unless its images are still to be made.
pub const DELETE_FILES: Statement = Statement(
    "DELETE FROM task_file WHERE task = :task AND name IN (:names) \
     AND NOT EXISTS (SELECT 1 FROM task WHERE id = :task AND work = 2)",
);

/// Deletes expired files.
pub const SWEEP_FILES: Statement = Statement(
    "DELETE FROM task_file WHERE task IN (\
     SELECT task FROM task_file WHERE expires < :now ORDER BY expires LIMIT :most) RETURNING 1",
);

#[cfg(test)]
pub(crate) fn samples() -> Vec<super::Sample> {
    use crate::platform::Value;
    use crate::store::statement::{Argument, Parameter};

    let ids = || -> Parameter { ("ids", Argument::list(["a", "b"])) };
    let add = ["id", "owner", "model", "prompt", "record"].map(|name| (name, Argument::from("x")));
    let add = add.into_iter().chain(["created", "until", "priority", "most"].map(|name| (name, 1_i64.into())));
    let claim = || vec![("holder", "h".into()), ("lease", 1_i64.into()), ("now", 1_i64.into())];
    let text = |names: &[&'static str]| names.iter().map(|name| (*name, Argument::from("x"))).collect::<Vec<_>>();
    let number = |names: &[&'static str]| names.iter().map(|name| (*name, Argument::from(1_i64))).collect::<Vec<_>>();
    let holders: Parameter = ("holders", Argument::list(["h"]));
    let statuses: Parameter = ("statuses", Argument::list(["failed"]));
    vec![
        ("ADD", ADD, add.collect()),
        ("CLAIM", CLAIM, [claim(), text(&["model"]), number(&["last"])].concat()),
        ("CLAIM_DELIVERY", CLAIM_DELIVERY, claim()),
        (
            "SAVE",
            SAVE,
            [
                text(&["record", "status", "next", "id", "holder"]),
                number(&["revision", "lease", "work", "due", "shown"]),
                vec![("expires", Value::Null.into())],
            ]
            .concat(),
        ),
        (
            "CANCEL",
            CANCEL,
            [text(&["record", "next", "id"]), number(&["lease", "work", "now", "shown", "expires", "revision"])]
                .concat(),
        ),
        ("RENEW", RENEW, vec![("lease", 1_i64.into()), ids(), holders.clone()]),
        ("ABANDON", ABANDON, text(&["id", "holder"])),
        ("CHECK", CHECK, vec![ids(), holders]),
        ("REQUEUE", REQUEUE, number(&["before"])),
        ("LOOK", LOOK, number(&["now", "before", "most"])),
        ("COUNT", COUNT, number(&["most"])),
        ("READ", READ, [text(&["id", "owner"]), number(&["now"])].concat()),
        ("LIST", LIST, [text(&["owner", "after"]), number(&["now", "most"]), vec![statuses]].concat()),
        ("REVISIONS", REVISIONS, [vec![ids()], number(&["now"])].concat()),
        ("READ_ALL", READ_ALL, [vec![ids()], number(&["now"])].concat()),
        ("FORGET", FORGET, [text(&["id", "owner"]), number(&["now"])].concat()),
        ("DELETE", DELETE, text(&["id"])),
        ("TRIM", TRIM, [text(&["owner"]), number(&["kept"])].concat()),
        ("SWEEP", SWEEP, number(&["now", "most"])),
        (
            "ADD_PART",
            ADD_PART,
            [text(&["task", "name"]), number(&["part", "expires"]), vec![("bytes", vec![0_u8].into())]].concat(),
        ),
        ("READ_PART", READ_PART, [text(&["task", "name"]), number(&["part"])].concat()),
        ("DELETE_FILES", DELETE_FILES, [text(&["task"]), vec![("names", Argument::list(["in0"]))]].concat()),
        ("SWEEP_FILES", SWEEP_FILES, number(&["now", "most"])),
    ]
}
