//! Connections, as the bindings hold them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use tokio::runtime::Handle;

/// A database, as connections open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Database {
    /// `None` for memory, where every connection has a database of its own.
    pub(super) file: Option<PathBuf>,
    pub(super) may_attach_files: bool,
}

/// A connection of a guest.
#[derive(Clone)]
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct SqliteConnection(Arc<Shared>);

/// A connection, opened by its first statement.
pub(super) struct Shared {
    database: Database,
    /// Opened by the first statement, and held for as long as one runs.
    opened: Mutex<Option<rusqlite::Connection>>,
}

impl SqliteConnection {
    /// A connection to that database, which is opened later.
    pub(super) fn new(database: Database) -> Self {
        Self(Arc::new(Shared { database, opened: Mutex::default() }))
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.0)
    }
}

impl Shared {
    /// Does `work` when the connection is free.
    ///
    /// # Errors
    /// The database can't be opened.
    pub(super) fn with<R>(&self, work: impl FnOnce(&rusqlite::Connection) -> R) -> rusqlite::Result<R> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match &mut *opened {
            Some(connection) => connection,
            none => none.insert(self.database.open()?),
        };
        Ok(work(connection))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let opened = self.opened.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(opened), Ok(runtime)) = (opened, Handle::try_current()) {
            // The last connection to a file may have a log to write back.
            runtime.spawn_blocking(move || drop(opened));
        }
    }
}

impl Database {
    fn open(&self) -> rusqlite::Result<rusqlite::Connection> {
        let mut connection = match &self.file {
            Some(file) => rusqlite::Connection::open(file)?,
            None => rusqlite::Connection::open_in_memory()?,
        };
        if !self.may_attach_files {
            connection.authorizer(Some(|context: AuthContext<'_>| match context.action {
                // SQLite's names for a temporary database and one in memory.
                AuthAction::Attach { filename } if !matches!(filename, "" | ":memory:") => Authorization::Deny,
                _ => Authorization::Allow,
            }))?;
        }
        Ok(connection)
    }
}
