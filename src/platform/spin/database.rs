//! SQL by way of Spin: its SQLite database `default`, over one connection for the instance, and PostgreSQL, over a
//! connection for each statement (the host has a pool of 64 for an address, and a connection that is kept keeps one of
//! them from all others).

use std::rc::Rc;

use futures::lock::Mutex;
use spin_sdk::pg::wit::postgres::{self, DbValue, ParameterValue, QueryError};
use spin_sdk::sqlite;

use crate::platform::{Row, StoreError, Value};

/// Relaxes the durability of commits on a connection: with WAL, a power failure may lose the last commits, a killed
/// process none.
const SYNCHRONOUS: &str = "PRAGMA synchronous = NORMAL";

/// The instance's connection to the SQLite database.
///
/// Rows of a result stream while the host keeps the connection locked, so a result is read to its end before the next
/// statement, whichever request that is of.
#[derive(Default)]
pub(super) struct Connection(Mutex<Option<sqlite::Connection>>);

impl Connection {
    /// Runs a statement.
    pub(super) async fn query(&self, sql: &str, parameters: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        let mut open = self.0.lock().await;
        let connection = match open.take() {
            Some(connection) => connection,
            None => connect().await?,
        };
        let rows = run(&connection, sql, parameters).await?;
        // One that has failed isn't used again: what was opened while the file was read-only stays so.
        *open = Some(connection);
        Ok(rows)
    }
}

/// Opens a connection.
async fn connect() -> Result<sqlite::Connection, StoreError> {
    let connection = sqlite::Connection::open_default().await.map_err(sqlite_error)?;
    // What isn't SQLite behind that interface (libSQL) may refuse.
    if let Ok(result) = connection.execute(SYNCHRONOUS, []).await {
        let _ = result.collect().await;
    }
    Ok(connection)
}

/// Runs a statement on `connection`, and reads its result to the end.
async fn run(connection: &sqlite::Connection, sql: &str, parameters: Vec<Value>) -> Result<Vec<Row>, StoreError> {
    let parameters = parameters.into_iter().map(|value| match value {
        Value::Null => sqlite::Value::Null,
        Value::Integer(number) => sqlite::Value::Integer(number),
        Value::Real(number) => sqlite::Value::Real(number),
        Value::Text(text) => sqlite::Value::Text(text),
        Value::Blob(bytes) => sqlite::Value::Blob(bytes),
    });
    let result = connection.execute(sql, parameters).await.map_err(sqlite_error)?;
    let rows = result.collect().await.map_err(sqlite_error)?;
    let value = |value| match value {
        sqlite::Value::Null => Value::Null,
        sqlite::Value::Integer(number) => Value::Integer(number),
        sqlite::Value::Real(number) => Value::Real(number),
        sqlite::Value::Text(text) => Value::Text(text),
        sqlite::Value::Blob(bytes) => Value::Blob(bytes),
    };
    Ok(rows.into_iter().map(|row| row.values.into_iter().map(value).collect()).collect())
}

fn sqlite_error(error: sqlite::Error) -> StoreError {
    StoreError::Failed(match error {
        sqlite::Error::NoSuchDatabase => "the host has no SQLite database `default`".to_owned(),
        sqlite::Error::AccessDenied => "the manifest doesn't give the component the database `default`".to_owned(),
        sqlite::Error::InvalidConnection => "the connection is invalid".to_owned(),
        sqlite::Error::DatabaseFull => "the database is full".to_owned(),
        sqlite::Error::Io(text) => text,
    })
}

/// Runs a statement on the server at `address`.
pub(super) async fn query(address: Rc<str>, sql: Rc<str>, parameters: Vec<Value>) -> Result<Vec<Row>, StoreError> {
    let connection = postgres::Connection::open_async(address.to_string()).await.map_err(postgres_error)?;
    let parameters = parameters.into_iter().map(|value| match value {
        Value::Null => ParameterValue::DbNull,
        Value::Integer(number) => ParameterValue::Int64(number),
        Value::Real(number) => ParameterValue::Floating64(number),
        Value::Text(text) => ParameterValue::Str(text),
        Value::Blob(bytes) => ParameterValue::Binary(bytes),
    });
    let (_, rows, outcome) =
        connection.query_async(sql.to_string(), parameters.collect()).await.map_err(postgres_error)?;
    let rows: Vec<Vec<DbValue>> = rows.collect().await;
    outcome.await.map_err(postgres_error)?;
    drop(connection);
    rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect()
}

fn value(value: DbValue) -> Result<Value, StoreError> {
    Ok(match value {
        DbValue::DbNull => Value::Null,
        DbValue::Boolean(is_so) => Value::Integer(i64::from(is_so)),
        DbValue::Int8(number) => Value::Integer(i64::from(number)),
        DbValue::Int16(number) => Value::Integer(i64::from(number)),
        DbValue::Int32(number) => Value::Integer(i64::from(number)),
        DbValue::Int64(number) => Value::Integer(number),
        DbValue::Floating32(number) => Value::Real(f64::from(number)),
        DbValue::Floating64(number) => Value::Real(number),
        DbValue::Str(text) => Value::Text(text),
        DbValue::Binary(bytes) => Value::Blob(bytes),
        _ => return Err(StoreError::Failed("a column has a type that no statement asks for".to_owned())),
    })
}

/// An error without the words of the connection string: hosts quote it.
fn postgres_error(error: postgres::Error) -> StoreError {
    StoreError::Failed(match error {
        postgres::Error::ConnectionFailed(_) => "no connection to the PostgreSQL server".to_owned(),
        postgres::Error::QueryFailed(QueryError::DbError(error)) => format!("{} ({})", error.message, error.code),
        postgres::Error::QueryFailed(QueryError::Text(text)) => text,
        postgres::Error::BadParameter(text)
        | postgres::Error::ValueConversionFailed(text)
        | postgres::Error::Other(text) => text,
    })
}
