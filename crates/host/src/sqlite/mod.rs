//! SQLite databases: a file each, and a connection of its own for each opening.
//!
//! As in Spin: a connection waits 5 s for another one's lock, keeps its prepared statements, and may not attach files.
//! A result that is read as a stream holds its connection: rows go through a channel of 4, and until they are read, or
//! the reader is dropped, every other statement on that connection waits.

pub(crate) mod connection;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Row, params_from_iter, types};
use tokio::sync::{mpsc, oneshot};

use self::connection::{Database, SqliteConnection};
use crate::bindings::spin::sqlite::sqlite::{Error, QueryResult, RowResult, Value};
use crate::manifest::Component;
use crate::rows::{BUFFERED_ROWS, MAX_BUFFERED_BYTES};
use crate::runtime_config::{DatabaseConfig, RuntimeConfig};

/// Label of the database that needs no configuration.
const DEFAULT: &str = "default";
/// Name of its file in the state directory; Spin's own.
const DEFAULT_FILE: &str = "sqlite_db.db";

/// The databases of an application, by their labels.
pub(crate) struct Databases(BTreeMap<String, Database>);

/// A statement's result, as it comes.
pub(crate) struct SqliteRows {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: mpsc::Receiver<RowResult>,
    /// End of the statement; the connection is free by then.
    pub(crate) outcome: oneshot::Receiver<Result<(), Error>>,
}

impl Databases {
    /// Databases as `config` says, and the default one in `directory` where it says nothing of it.
    pub(crate) fn new(directory: &Path, config: &RuntimeConfig) -> Self {
        let mut databases = BTreeMap::new();
        for (label, database) in &config.sqlite_database {
            let DatabaseConfig::Spin { path, allow_attach_file } = database else { continue };
            databases.insert(label.clone(), Database { file: path.clone(), may_attach_files: *allow_attach_file });
        }
        let default = || Database { file: Some(directory.join(DEFAULT_FILE)), may_attach_files: false };
        databases.entry(DEFAULT.to_owned()).or_insert_with(default);
        Self(databases)
    }

    /// Refuses a component that names a database that there isn't, as Spin does at the start.
    pub(crate) fn check(&self, component: &Component) -> Result<()> {
        for label in &component.sqlite_databases {
            ensure!(
                self.0.contains_key(label),
                "the component `{}` uses the SQLite database `{label}`, which needs [sqlite_database.{label}] in a \
                 runtime configuration; only `{DEFAULT}` is there without one",
                component.id
            );
        }
        Ok(())
    }

    /// A new connection, whose folder is there afterwards.
    pub(crate) fn connect(&self, label: &str) -> Result<SqliteConnection, Error> {
        let database = self.0.get(label).ok_or(Error::NoSuchDatabase)?;
        if let Some(folder) = database.file.as_deref().and_then(Path::parent) {
            let created =
                std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()));
            created.map_err(|error| {
                eprintln!("the SQLite database `{label}`: {error:#}");
                Error::InvalidConnection
            })?;
        }
        Ok(SqliteConnection::new(database.clone()))
    }
}

impl SqliteConnection {
    /// Runs a statement to its end.
    pub(crate) async fn execute(&self, statement: String, parameters: Vec<Value>) -> Result<QueryResult, Error> {
        self.blocking(move |connection| {
            let mut statement = connection.prepare_cached(&statement).map_err(io)?;
            let (columns, mut rows, mut bytes) = (columns(&statement), Vec::new(), 0);
            run(&mut statement, parameters, |row| {
                bytes += size(&row);
                rows.push(row);
                if bytes > MAX_BUFFERED_BYTES { Err(too_large()) } else { Ok(()) }
            })?;
            Ok(QueryResult { columns, rows })
        })
        .await
    }

    /// Runs a statement as fast as its rows are read. What is wrong with the statement is in the outcome.
    pub(crate) async fn stream(&self, statement: String, parameters: Vec<Value>) -> Result<SqliteRows, Error> {
        let (send_columns, sent_columns) = oneshot::channel();
        let (send, rows) = mpsc::channel(BUFFERED_ROWS);
        let (send_outcome, outcome) = oneshot::channel();
        let shared = self.shared();
        tokio::task::spawn_blocking(move || {
            let done = shared.with(move |connection| {
                let mut statement = match connection.prepare_cached(&statement) {
                    Ok(statement) => statement,
                    Err(error) => {
                        let _ = send_columns.send(Vec::new());
                        return Err(io(error));
                    }
                };
                // Whoever gave up waiting for the connection doesn't want it run either.
                send_columns.send(columns(&statement)).map_err(|_| lost())?;
                run(&mut statement, parameters, move |row| {
                    if size(&row) > MAX_BUFFERED_BYTES {
                        return Err(too_large());
                    }
                    send.blocking_send(row).map_err(|_| Error::Io("the rows are no longer read".to_owned()))
                })
            });
            let _ = send_outcome.send(done.map_err(io).and_then(|done| done));
        });
        match sent_columns.await {
            Ok(columns) => Ok(SqliteRows { columns, rows, outcome }),
            // The file can't be opened.
            Err(_) => match outcome.await {
                Ok(Err(error)) => Err(error),
                _ => Err(lost()),
            },
        }
    }

    /// Number of rows that the last statement changed.
    pub(crate) async fn changes(&self) -> Result<u64, Error> {
        self.blocking(|connection| Ok(connection.changes())).await
    }

    /// Id of the row that was inserted last.
    pub(crate) async fn last_insert_rowid(&self) -> Result<i64, Error> {
        self.blocking(|connection| Ok(connection.last_insert_rowid())).await
    }

    /// Does `work` on a thread where waiting is allowed.
    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        let shared = self.shared();
        let done = tokio::task::spawn_blocking(move || shared.with(work)).await.map_err(|_| lost())?;
        done.map_err(io)?
    }
}

/// Hands each row of a statement on.
fn run(
    statement: &mut CachedStatement<'_>,
    parameters: Vec<Value>,
    mut take: impl FnMut(RowResult) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rows = statement.query(params_from_iter(parameters.into_iter().map(parameter))).map_err(io)?;
    while let Some(row) = rows.next().map_err(io)? {
        take(values(row)?)?;
    }
    Ok(())
}

fn columns(statement: &CachedStatement<'_>) -> Vec<String> {
    statement.column_names().map(str::to_owned).collect()
}

fn parameter(value: Value) -> types::Value {
    match value {
        Value::Integer(number) => types::Value::Integer(number),
        Value::Real(number) => types::Value::Real(number),
        Value::Text(text) => types::Value::Text(text),
        Value::Blob(bytes) => types::Value::Blob(bytes),
        Value::Null => types::Value::Null,
    }
}

fn values(row: &Row<'_>) -> Result<RowResult, Error> {
    let value = |column| {
        Ok(match row.get_ref(column).map_err(io)? {
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Real(number) => Value::Real(number),
            ValueRef::Text(text) => {
                let text = std::str::from_utf8(text).map_err(|_| Error::Io("a text isn't UTF-8".to_owned()))?;
                Value::Text(text.to_owned())
            }
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
            ValueRef::Null => Value::Null,
        })
    };
    let values = (0..row.as_ref().column_count()).map(value).collect::<Result<_, Error>>()?;
    Ok(RowResult { values })
}

/// About how many bytes a row takes.
fn size(row: &RowResult) -> usize {
    let beside = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        Value::Integer(_) | Value::Real(_) | Value::Null => 0,
    };
    row.values.iter().map(|value| size_of::<Value>() + beside(value)).sum()
}

fn io(error: rusqlite::Error) -> Error {
    Error::Io(error.to_string())
}

fn too_large() -> Error {
    Error::Io(format!("query result exceeds limit of {MAX_BUFFERED_BYTES} bytes"))
}

fn lost() -> Error {
    Error::Io("the statement was lost".to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_default_database_is_there_and_others_need_configuration() {
        let default = Databases::new(Path::new("state"), &RuntimeConfig::default());
        assert_eq!(default.0["default"].file.as_deref(), Some(Path::new("state/sqlite_db.db")));
        let component = |label: &str| Component {
            id: "c".to_owned(),
            source: PathBuf::new(),
            allowed_outbound_hosts: Vec::new(),
            sqlite_databases: vec![label.to_owned()],
            variables: BTreeMap::new(),
            build_command: None,
        };
        assert!(default.check(&component("default")).is_ok());
        let error = default.check(&component("other")).unwrap_err().to_string();
        assert!(error.contains("`c`") && error.contains("[sqlite_database.other]"), "{error}");
        assert!(matches!(default.connect("other"), Err(Error::NoSuchDatabase)));

        let config = "[sqlite_database.default]\ntype = \"spin\"\npath = \"/x/y.db\"\n\
                      [sqlite_database.other]\ntype = \"spin\"\n";
        let configured = Databases::new(Path::new("state"), &RuntimeConfig::parse(config).unwrap());
        assert_eq!(configured.0["default"].file.as_deref(), Some(Path::new("/x/y.db")));
        assert_eq!(configured.0["other"].file, None);
        assert!(configured.check(&component("other")).is_ok());
    }
}
