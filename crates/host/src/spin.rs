//! Spin's own interfaces: variables, SQL databases and the key-value store, and compare-and-swap of the latter.

mod atomics;
mod postgres;
mod rows;
mod sqlite;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use wasmtime::component::{Accessor, FutureReader, HasSelf, Linker, Resource, ResourceTable, StreamReader};

use self::bindings::spin::key_value::key_value::{self, Error as StoreError};
use self::bindings::spin::variables::variables::{self, Error as VariableError};
use crate::postgres::Pools;
use crate::runtime::Guest;
use crate::sqlite::Databases;
use crate::store::Stores;

pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "z-image:host/imports",
        imports: {
            "spin:key-value/key-value.[method]store.get-keys": async | store | trappable,
            "wasi:keyvalue/store": async | trappable,
            "wasi:keyvalue/atomics": async | trappable,
            "spin:sqlite/sqlite": async | trappable,
            "spin:postgres/postgres": async | trappable,
            default: trappable,
        },
        with: {
            "spin:key-value/key-value.store": crate::spin::OpenStore,
            "spin:sqlite/sqlite.connection": crate::sqlite::Connection,
            "spin:postgres/postgres.connection": crate::postgres::Connection,
            "spin:postgres/postgres.connection-builder": crate::postgres::Builder,
            "wasi:keyvalue/store.bucket": crate::spin::OpenStore,
            "wasi:keyvalue/atomics.cas": crate::spin::Cas,
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
    pub(crate) allowed_stores: Arc<[String]>,
    pub(crate) stores: Arc<Stores>,
    pub(crate) allowed_databases: Arc<[String]>,
    pub(crate) databases: Arc<Databases>,
    pub(crate) pools: Arc<Pools>,
}

/// What an instance has of them: what it may use, and what it has opened.
pub(crate) struct Spin {
    granted: Granted,
    sqlite_connections: ResourceTable,
    postgres_connections: ResourceTable,
}

impl Spin {
    /// Nothing opened yet.
    pub(crate) fn new(granted: Granted) -> Self {
        let table = |capacity| {
            let mut table = ResourceTable::new();
            table.set_max_capacity(capacity);
            table
        };
        Self {
            granted,
            sqlite_connections: table(SQLITE_CONNECTIONS),
            postgres_connections: table(POSTGRES_CONNECTIONS),
        }
    }
}

impl Deref for Spin {
    type Target = Granted;

    fn deref(&self) -> &Granted {
        &self.granted
    }
}

/// A store that a component has opened.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct OpenStore {
    label: String,
}

#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub use self::atomics::Cas;

/// Gives `linker` these interfaces.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    variables::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    key_value::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    sqlite::add_to_linker(linker)?;
    postgres::add_to_linker(linker)?;
    atomics::add_to_linker(linker)
}

impl variables::Host for Guest {}

impl<T: Send> variables::HostWithStore<T> for HasSelf<Guest> {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> wasmtime::Result<Result<String, VariableError>> {
        let is_name = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !is_name {
            return Ok(Err(VariableError::InvalidName(name)));
        }
        let value = accessor.with(|mut access| access.get().spin.variables.get(&name).cloned());
        Ok(value.ok_or(VariableError::Undefined(name)))
    }
}

impl key_value::Host for Guest {}

impl key_value::HostStore for Guest {
    fn drop(&mut self, store: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

type Stored<T> = wasmtime::Result<Result<T, StoreError>>;

impl<T: Send + 'static> key_value::HostStoreWithStore<T> for HasSelf<Guest> {
    async fn open(accessor: &Accessor<T, Self>, label: String) -> Stored<Resource<OpenStore>> {
        accessor.with(|mut access| {
            let guest = access.get();
            if !guest.spin.allowed_stores.contains(&label) {
                return Ok(Err(StoreError::AccessDenied));
            }
            Ok(guest.table.push(OpenStore { label }).map_err(|_| StoreError::StoreTableFull))
        })
    }

    async fn get(accessor: &Accessor<T, Self>, store: Resource<OpenStore>, key: String) -> Stored<Option<Vec<u8>>> {
        let (stores, label) = opened(accessor, &store)?;
        Ok(told(stores.get(&label, key).await))
    }

    async fn set(accessor: &Accessor<T, Self>, store: Resource<OpenStore>, key: String, value: Vec<u8>) -> Stored<()> {
        let (stores, label) = opened(accessor, &store)?;
        Ok(told(stores.set(&label, key, value).await))
    }

    async fn delete(accessor: &Accessor<T, Self>, store: Resource<OpenStore>, key: String) -> Stored<()> {
        let (stores, label) = opened(accessor, &store)?;
        Ok(told(stores.delete(&label, key).await))
    }

    async fn exists(accessor: &Accessor<T, Self>, store: Resource<OpenStore>, key: String) -> Stored<bool> {
        let (stores, label) = opened(accessor, &store)?;
        Ok(told(stores.get(&label, key).await.map(|value| value.is_some())))
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        store: Resource<OpenStore>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), StoreError>>)> {
        let (stores, label) = opened(accessor, &store)?;
        let (keys, outcome) = match told(stores.keys(&label).await) {
            Ok(keys) => (keys, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            let outcome = FutureReader::new(&mut access, async { Ok::<_, wasmtime::Error>(outcome) })?;
            Ok((keys, outcome))
        })
    }
}

/// The stores, and the name of one that is open.
fn opened<T>(
    accessor: &Accessor<T, HasSelf<Guest>>,
    store: &Resource<OpenStore>,
) -> wasmtime::Result<(Arc<Stores>, String)> {
    accessor.with(|mut access| {
        let guest: &mut Guest = access.get();
        let label = guest.table.get(store)?.label.clone();
        Ok((Arc::clone(&guest.spin.stores), label))
    })
}

/// What the guest is told of an operation.
fn told<R>(done: anyhow::Result<R>) -> Result<R, StoreError> {
    done.map_err(|error| StoreError::Other(format!("{error:#}")))
}
