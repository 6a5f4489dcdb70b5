//! The simulated world's database: SQLite itself, in memory, so that every simulated run tests the statements.

use std::cell::{Cell, OnceCell};

use rusqlite::types::{Value as Sqlite, ValueRef};
use rusqlite::{Connection, OpenFlags, params_from_iter};

use crate::platform::{Row, StoreError, Value};

/// Number of prepared statements that a database keeps: more than the component has.
const STATEMENTS: usize = 256;

/// A database of its own.
#[derive(Default)]
pub struct SimDatabase {
    connection: OnceCell<Connection>,
    statements: Cell<u64>,
}

impl SimDatabase {
    /// Number of statements so far.
    pub fn statements(&self) -> u64 {
        self.statements.get()
    }

    /// Runs a statement.
    pub fn query(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.statements.set(self.statements.get() + 1);
        self.run(sql, parameters).map_err(|error| StoreError::Failed(error.to_string()))
    }

    fn run(&self, sql: &str, parameters: &[Value]) -> rusqlite::Result<Vec<Row>> {
        let connection = self.connection.get_or_init(open);
        let mut statement = connection.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(params_from_iter(parameters.iter().map(sqlite)))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let value = |index| row.get_ref(index).map(port);
            all.push((0..columns).map(value).collect::<rusqlite::Result<Row>>()?);
        }
        Ok(all)
    }
}

/// A database in memory that one thread has for itself. It prepares each statement of the component once.
fn open() -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_in_memory_with_flags(flags).expect("memory");
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection
}

fn sqlite(value: &Value) -> Sqlite {
    match value {
        Value::Null => Sqlite::Null,
        Value::Integer(number) => Sqlite::Integer(*number),
        Value::Real(number) => Sqlite::Real(*number),
        Value::Text(text) => Sqlite::Text(text.clone()),
        Value::Blob(bytes) => Sqlite::Blob(bytes.clone()),
    }
}

fn port(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(std::str::from_utf8(text).expect("UTF-8").to_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}
