//! The simulated world's database: SQLite itself, in memory, so that every simulated run tests the statements.

use std::cell::{Cell, OnceCell};

use rusqlite::types::{Value as Sqlite, ValueRef};
use rusqlite::{Connection, params_from_iter};

use crate::platform::{Row, StoreError, Value};

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
        let connection = self.connection.get_or_init(|| Connection::open_in_memory().expect("memory"));
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
