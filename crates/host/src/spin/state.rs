//! State of Spin's interfaces in an instance.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use wasmtime::component::ResourceTable;

use crate::postgres::Pools;
use crate::sqlite::Databases;
use crate::statement_log::Writer;

/// The most connections to SQLite databases that an instance has open.
const SQLITE_CONNECTIONS: usize = 256;
/// The most connections to PostgreSQL servers that an instance has open.
const POSTGRES_CONNECTIONS: usize = 1024;

/// Permissions of a component.
#[derive(Clone)]
pub(crate) struct Granted {
    pub(crate) variables: Arc<BTreeMap<String, String>>,
    pub(crate) allowed_databases: Arc<[String]>,
    pub(crate) databases: Arc<Databases>,
    pub(crate) pools: Arc<Pools>,
}

/// Permissions of an instance, and what it has opened.
pub(crate) struct Spin {
    granted: Granted,
    pub(super) sqlite_connections: ResourceTable,
    pub(super) postgres_connections: ResourceTable,
    pub(super) statements: Writer,
}

impl Spin {
    /// Nothing opened yet.
    pub(crate) fn new(granted: Granted, statements: Writer) -> Self {
        let table = |capacity| {
            let mut table = ResourceTable::new();
            table.set_max_capacity(capacity);
            table
        };
        Self {
            granted,
            sqlite_connections: table(SQLITE_CONNECTIONS),
            postgres_connections: table(POSTGRES_CONNECTIONS),
            statements,
        }
    }
}

impl Deref for Spin {
    type Target = Granted;

    fn deref(&self) -> &Granted {
        &self.granted
    }
}
