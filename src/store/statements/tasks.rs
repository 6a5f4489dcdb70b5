//! Statements about tasks.
//!
//! What waits has no holder; what is worked at has one, and a lease. The runner alone writes a task that it holds, with
//! a revision that is greater each time, so a write that is repeated, or that comes late, does no harm.

use crate::store::statement::Statement;

/// Adds a task, provided that its owner has fewer than `most` unfinished ones.
///
/// Its turn is the one after the owner's last, or the present one where that is later: the first turn that waits or,
/// where none does, the last one that is being worked at.
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

/// Takes the next waiting task of a model, unless `last` and one more of its priority or a more urgent one are worked
/// at.
///
/// The least urgent of the `last + 1` most urgent tasks that are worked at bounds what may begin.
pub const CLAIM: Statement = Statement(
    "UPDATE task SET holder = :holder, lease = :lease, revision = revision + 1 WHERE id = (\
     SELECT id FROM task WHERE model = :model AND work = 2 AND holder = '' AND due <= :now AND priority < \
     COALESCE((SELECT own_busy.priority FROM task own_busy WHERE own_busy.model = :model AND own_busy.work = 2 \
     AND own_busy.holder <> '' ORDER BY own_busy.priority LIMIT 1 OFFSET CAST(:last AS BIGINT)), 3) \
     ORDER BY priority, turn, id LIMIT 1/*postgres: FOR UPDATE SKIP LOCKED*/) AND holder = '' \
     RETURNING id, owner, record, revision",
);

/// Takes a task of which only the webhook is left, where it is due.
pub const CLAIM_DELIVERY: Statement = Statement(
    "UPDATE task SET holder = :holder, lease = :lease, revision = revision + 1 WHERE id = (\
     SELECT id FROM task WHERE work > 0 AND work = 1 AND holder = '' AND due <= :now ORDER BY due LIMIT 1\
     /*postgres: FOR UPDATE SKIP LOCKED*/) AND holder = '' RETURNING id, owner, record, revision",
);

/// Writes a task that `holder` holds; `next` holds it from then on. What `shown` and `expires` don't say stays.
pub const SAVE: Statement = Statement(
    "UPDATE task SET record = :record, status = :status, revision = :revision, holder = :next, lease = :lease, \
     work = :work, due = :due, shown = COALESCE(CAST(:shown AS BIGINT), shown), \
     expires = COALESCE(CAST(:expires AS BIGINT), expires) \
     WHERE id = :id AND holder = :holder AND revision < :revision RETURNING revision",
);

/// Gives up a task whose record can't be read.
pub const ABANDON: Statement = Statement(
    "UPDATE task SET status = 'failed', until = 0, work = 0, holder = '' WHERE id = :id AND holder = :holder",
);

/// Ends an unfinished task as it was seen, whoever holds it.
pub const CANCEL: Statement = Statement(
    "UPDATE task SET record = :record, status = 'cancelled', revision = revision + 1, holder = :next, lease = :lease, \
     work = :work, due = :now, shown = :shown, expires = :expires \
     WHERE id = :id AND revision = :revision AND work = 2 RETURNING revision",
);

/// Lets the leases of runners last longer, and tells which of them still hold their task.
pub const RENEW: Statement = Statement(
    "UPDATE task SET lease = :lease WHERE id IN (:ids) AND holder IN (:holders) AND work > 0 RETURNING holder",
);

/// Tells which runners still hold their task.
pub const CHECK: Statement =
    Statement("SELECT holder FROM task WHERE id IN (:ids) AND holder IN (:holders) AND work > 0");

/// Lets the tasks of dead runners wait again.
pub const REQUEUE: Statement = Statement(
    "UPDATE task SET holder = '', lease = 0 WHERE id IN (\
     SELECT id FROM task WHERE holder <> '' AND lease < :before ORDER BY lease LIMIT 100\
     /*postgres: FOR UPDATE SKIP LOCKED*/) AND lease < :before RETURNING id",
);

/// Tells what is to be done: unfinished tasks (up to `most`), who watches them until when, whether some have dead
/// runners or a webhook that is due, and the models that tasks wait for.
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

/// Reads a task.
pub const READ: Statement = Statement(
    "SELECT record, revision, lease FROM task WHERE id = :id AND owner = :owner AND until > CAST(:now AS BIGINT)",
);

/// Lists tasks of an owner, the newest first.
pub const LIST: Statement = Statement(
    "SELECT id, record FROM task WHERE owner = :owner AND id < :after AND until > CAST(:now AS BIGINT)\
     <<statuses| AND status = :statuses>> ORDER BY id DESC LIMIT :most",
);

/// Tells the revisions of tasks.
pub const REVISIONS: Statement = Statement("SELECT id, revision FROM task WHERE id IN (:ids) AND until > :now");

/// Reads tasks.
pub const READ_ALL: Statement = Statement("SELECT id, record, revision FROM task WHERE id IN (:ids) AND until > :now");

/// Forgets a task that has ended: it can't be asked for any more. Its images stay in the history.
pub const FORGET: Statement = Statement(
    "UPDATE task SET until = 0, work = 0, holder = '', expires = CASE WHEN shown > 0 THEN expires ELSE 0 END \
     WHERE id = :id AND owner = :owner AND work < 2 AND until > :now RETURNING shown",
);

/// Deletes a forgotten task of which nothing is listed.
pub const DELETE: Statement = Statement("DELETE FROM task WHERE id = :id AND expires = 0");

/// Forgets the oldest finished tasks of an owner who has more than `kept`.
pub const TRIM: Statement = Statement(
    "UPDATE task SET until = 0, expires = CASE WHEN shown > 0 THEN expires ELSE 0 END WHERE id IN (\
     SELECT id FROM task WHERE owner = :owner AND work = 0 ORDER BY id DESC LIMIT 100 OFFSET CAST(:kept AS BIGINT)) \
     AND until > 0 RETURNING 1",
);

/// Deletes tasks that have expired.
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

/// Deletes files of a task whose images are no longer to be made.
pub const DELETE_FILES: Statement = Statement(
    "DELETE FROM task_file WHERE task = :task AND name IN (:names) \
     AND NOT EXISTS (SELECT 1 FROM task WHERE id = :task AND work = 2)",
);

/// Deletes files that have expired.
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
