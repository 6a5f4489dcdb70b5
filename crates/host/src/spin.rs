//! Spin's own interfaces: variables and SQL databases.

mod postgres;
mod rows;
mod sqlite;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use wasmtime::component::{Accessor, HasSelf, Linker, ResourceTable};

use self::bindings::spin::variables::variables::{self, Error};
use crate::postgres::Pools;
use crate::runtime::Guest;
use crate::sqlite::Databases;
use crate::statement_log::Writer;

pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "z-image:host/imports",
        imports: {
            "spin:sqlite/sqlite": async | trappable,
            "spin:postgres/postgres": async | trappable,
            default: trappable,
        },
        with: {
            "spin:sqlite/sqlite.connection": crate::sqlite::Connection,
            "spin:postgres/postgres.connection": crate::postgres::Connection,
            "spin:postgres/postgres.connection-builder": crate::postgres::Builder,
        },
    });
}

/// Number of rows of a result that wait for their reader.
pub(crate) const BUFFERED_ROWS: usize = 4;
/// The most bytes of a whole result, or of one row of a stream.
pub(crate) const MAX_BUFFERED_BYTES: usize = 128 << 20;
/// The most connections to SQLite databases that an instance has open.
const SQLITE_CONNECTIONS: usize = 256;
/// The most connections to PostgreSQL servers that an instance has open.
const POSTGRES_CONNECTIONS: usize = 1024;

/// What a component may use of them.
#[derive(Clone)]
pub(crate) struct Granted {
    pub(crate) variables: Arc<BTreeMap<String, String>>,
    pub(crate) allowed_databases: Arc<[String]>,
    pub(crate) databases: Arc<Databases>,
    pub(crate) pools: Arc<Pools>,
}

/// What an instance has of them: what it may use, and what it has opened.
pub(crate) struct Spin {
    granted: Granted,
    sqlite_connections: ResourceTable,
    postgres_connections: ResourceTable,
    statements: Writer,
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

/// Gives `linker` these interfaces.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    variables::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    sqlite::add_to_linker(linker)?;
    postgres::add_to_linker(linker)
}

impl variables::Host for Guest {}

impl<T: Send> variables::HostWithStore<T> for HasSelf<Guest> {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> wasmtime::Result<Result<String, Error>> {
        let is_name = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !is_name {
            return Ok(Err(Error::InvalidName(name)));
        }
        let value = accessor.with(|mut access| access.get().spin.variables.get(&name).cloned());
        Ok(value.ok_or(Error::Undefined(name)))
    }
}
