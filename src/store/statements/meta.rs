//! Statements on the database itself.

use crate::store::statement::Statement;

/// Enables concurrent readers and a writer, for the file.
pub const WAL: Statement = Statement("PRAGMA journal_mode = WAL");

/// Trial of a database that has failed.
pub const TRIAL: Statement = Statement("SELECT number FROM meta WHERE name = 'schema'");

/// Reads what an instance needs at its start: the schema's version, secrets, and a row `tasks` if some are unfinished.
pub const READ: Statement = Statement(
    "SELECT name, number, bytes FROM meta WHERE name IN ('schema', 'link_secret') UNION ALL \
     SELECT 'tasks', meta.number, meta.bytes FROM meta, (SELECT 1 FROM task WHERE work > 0 LIMIT 1) AS own_open \
     WHERE meta.name = 'schema'",
);

/// Adds a row, unless it exists.
pub const ADD: Statement =
    Statement("INSERT INTO meta (name, number, bytes) VALUES (:name, :number, :bytes) ON CONFLICT (name) DO NOTHING");

/// Adds or raises a number.
pub const RAISE: Statement = Statement(
    "INSERT INTO meta (name, number, bytes) VALUES (:name, :number, :bytes) \
     ON CONFLICT (name) DO UPDATE SET number = excluded.number WHERE meta.number < excluded.number",
);

#[cfg(test)]
pub(crate) fn samples() -> Vec<super::Sample> {
    let named = || vec![("name", "x".into()), ("number", 1_i64.into()), ("bytes", vec![0_u8].into())];
    vec![
        ("WAL", WAL, vec![]),
        ("TRIAL", TRIAL, vec![]),
        ("READ", READ, vec![]),
        ("ADD", ADD, named()),
        ("RAISE", RAISE, named()),
    ]
}
