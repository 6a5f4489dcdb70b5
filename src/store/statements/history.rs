//! Statements on the history: rows of `image`, and rows of `task` with listed images.

use crate::store::statement::Statement;

/// Adds entries. A batch without a response may be added twice.
pub const ADD: Statement =
    Statement("INSERT INTO image (id, owner, prompt, shown, expires, entry) VALUES :rows ON CONFLICT (id) DO NOTHING");

/// Lists entries of an owner from `last` on, the newest first, filtered by a pattern of the prompt.
pub const LIST: Statement = Statement(
    "SELECT own_rows.kind, own_rows.id, own_rows.shown, own_rows.entry FROM (\
     SELECT * FROM (SELECT CAST(0 AS BIGINT) AS kind, id, shown, entry FROM image \
     WHERE owner = :owner AND id <= :last AND shown > 0<<patterns| AND prompt LIKE :patterns ESCAPE '!'>> \
     ORDER BY id DESC LIMIT :most) own_images \
     UNION ALL SELECT * FROM (SELECT CAST(1 AS BIGINT) AS kind, id, shown, record AS entry FROM task \
     WHERE owner = :owner AND id <= :last AND shown > 0<<patterns| AND prompt LIKE :patterns ESCAPE '!'>> \
     ORDER BY id DESC LIMIT :most) own_tasks) own_rows ORDER BY own_rows.id DESC LIMIT :most",
);

/// Hides an image of an entry; returns the remaining bits.
pub const HIDE: Statement = Statement(
    "UPDATE image SET shown = shown - :bit WHERE id = :id AND owner = :owner AND shown > 0 AND (shown & :bit) <> 0 \
     RETURNING shown",
);

/// Deletes an entry without images.
pub const DELETE: Statement = Statement("DELETE FROM image WHERE id = :id AND shown = 0");

/// Hides an image of a task. A task without listed images stays while it can be read.
pub const HIDE_OF_TASK: Statement = Statement(
    "UPDATE task SET shown = shown - :bit, expires = CASE WHEN shown = :bit THEN until ELSE expires END \
     WHERE id = :id AND owner = :owner AND shown > 0 AND (shown & :bit) <> 0 RETURNING shown",
);

/// Deletes the oldest entries of owners with more than `kept`, tasks included.
pub const TRIM: Statement = Statement(
    "DELETE FROM image WHERE id IN (SELECT CAST('' AS TEXT)<<owners| UNION ALL SELECT id FROM (SELECT id FROM (\
     SELECT id FROM image WHERE owner = :owners AND shown > 0 ORDER BY id DESC LIMIT CAST(:span AS BIGINT)) own_images \
     UNION ALL SELECT id FROM (\
     SELECT id FROM task WHERE owner = :owners AND shown > 0 ORDER BY id DESC LIMIT CAST(:span AS BIGINT)) own_tasks \
     ORDER BY id DESC LIMIT CAST(:span AS BIGINT) OFFSET CAST(:kept AS BIGINT)) own_oldest>>) RETURNING 1",
);

/// Hides the oldest tasks of an owner with more than `kept` entries.
pub const TRIM_TASKS: Statement = Statement(
    "UPDATE task SET shown = 0, expires = until WHERE id IN (SELECT id FROM (SELECT id FROM (\
     SELECT id FROM image WHERE owner = :owner AND shown > 0 ORDER BY id DESC LIMIT CAST(:span AS BIGINT)) own_images \
     UNION ALL SELECT id FROM (\
     SELECT id FROM task WHERE owner = :owner AND shown > 0 ORDER BY id DESC LIMIT CAST(:span AS BIGINT)) own_tasks \
     ORDER BY id DESC LIMIT CAST(:span AS BIGINT) OFFSET CAST(:kept AS BIGINT)) own_oldest) RETURNING 1",
);

/// Deletes expired entries.
pub const SWEEP: Statement = Statement(
    "DELETE FROM image WHERE id IN (\
     SELECT id FROM image WHERE expires < :now ORDER BY expires LIMIT :most) RETURNING 1",
);

#[cfg(test)]
pub(crate) fn samples() -> Vec<super::Sample> {
    use crate::platform::Value;
    use crate::store::statement::Argument;

    let row = vec!["i".into(), "o".into(), "p".into(), Value::Integer(1), Value::Integer(1), "{}".into()];
    let list = |patterns: &[&str]| {
        vec![
            ("owner", "o".into()),
            ("last", "g".into()),
            ("most", 1_i64.into()),
            ("patterns", Argument::list(patterns.iter().copied())),
        ]
    };
    let hide = || vec![("bit", 1_i64.into()), ("id", "i".into()), ("owner", "o".into())];
    let trim = || vec![("span", 9_i64.into()), ("kept", 5_i64.into())];
    vec![
        ("ADD", ADD, vec![("rows", Argument::Rows(vec![row]))]),
        ("LIST", LIST, list(&["%a!%b%"])),
        ("HIDE", HIDE, hide()),
        ("DELETE", DELETE, vec![("id", "i".into())]),
        ("HIDE_OF_TASK", HIDE_OF_TASK, hide()),
        ("TRIM", TRIM, [trim(), vec![("owners", Argument::list(["o", "p"]))]].concat()),
        ("TRIM_TASKS", TRIM_TASKS, [trim(), vec![("owner", "o".into())]].concat()),
        ("SWEEP", SWEEP, vec![("now", 0_i64.into()), ("most", 1_i64.into())]),
    ]
}
