//! Databases: their values, and their failures.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use thiserror::Error;

/// The database behind [`Platform::query`].
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// The host's SQLite database `default`.
    Sqlite,
    /// The PostgreSQL server at that connection string, which may hold a password.
    Postgres(Rc<str>),
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "Sqlite",
            Self::Postgres(_) => "Postgres(…)",
        })
    }
}

/// A value in a database: what both SQLite and PostgreSQL have.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// None.
    Null,
    /// `BIGINT`.
    Integer(i64),
    /// `DOUBLE PRECISION`.
    Real(f64),
    /// `TEXT`.
    Text(String),
    /// `BLOB`, `BYTEA`.
    Blob(Vec<u8>),
}

/// A row of a statement's result.
pub type Row = Vec<Value>;

/// Failure of the database to do as asked.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// The variable `database` is `none`.
    #[error("there is no database (variable database)")]
    Off,
    /// It did not answer a moment ago, and isn't waited for again yet.
    #[error("the database does not answer")]
    Down,
    /// No answer came within the time limit. The statement may run all the same.
    #[error("the database did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// It refused the statement.
    #[error("database: {0}")]
    Failed(String),
}
