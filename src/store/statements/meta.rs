//! Statements on the database itself.

use crate::store::statement::Statement;

/// Relaxes the durability of commits on this connection: with WAL, a power failure may lose the last commits, a killed
/// process none.
pub const SYNCHRONOUS: Statement = Statement("PRAGMA synchronous = NORMAL");

/// Enables concurrent readers and a writer, for the file.
pub const WAL: Statement = Statement("PRAGMA journal_mode = WAL");

/// Trial of a database that has failed.
pub const TRIAL: Statement = Statement("SELECT number FROM meta WHERE name = 'schema'");

/// Reads the schema's version and secrets.
pub const READ: Statement = Statement("SELECT name, number, bytes FROM meta WHERE name IN ('schema', 'link_secret')");

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
        ("SYNCHRONOUS", SYNCHRONOUS, vec![]),
        ("WAL", WAL, vec![]),
        ("TRIAL", TRIAL, vec![]),
        ("READ", READ, vec![]),
        ("ADD", ADD, named()),
        ("RAISE", RAISE, named()),
    ]
}
