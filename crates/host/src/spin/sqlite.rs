//! `spin:sqlite`.

use wasmtime::component::{Accessor, FutureReader, HasSelf, Linker, Resource, StreamReader};

use crate::bindings::spin::sqlite::sqlite::{self, Error, QueryResult, RowResult, Value};
use crate::guest::Guest;
use crate::rows::RowProducer;
use crate::sqlite::connection::SqliteConnection;

/// Name in the list of statements.
const INTERFACE: &str = "sqlite";

type HostResult<T> = wasmtime::Result<Result<T, Error>>;
type Streamed = (Vec<String>, StreamReader<RowResult>, FutureReader<Result<(), Error>>);

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    sqlite::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl Guest {
    fn open_database(&mut self, label: &str) -> Result<Resource<SqliteConnection>, Error> {
        if !self.spin.allowed_databases.iter().any(|allowed| allowed == label) {
            return Err(Error::AccessDenied);
        }
        let connection = self.spin.databases.connect(label)?;
        self.spin.sqlite_connections.push(connection).map_err(|_| Error::Io("too many connections opened".to_owned()))
    }
}

impl sqlite::Host for Guest {}

impl sqlite::HostConnection for Guest {
    async fn open(&mut self, database: String) -> HostResult<Resource<SqliteConnection>> {
        Ok(self.open_database(&database))
    }

    async fn execute(
        &mut self,
        connection: Resource<SqliteConnection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> HostResult<QueryResult> {
        let connection = self.spin.sqlite_connections.get(&connection)?.clone();
        self.spin.statements.add(INTERFACE, &statement);
        Ok(connection.execute(statement, parameters).await)
    }

    async fn last_insert_rowid(&mut self, connection: Resource<SqliteConnection>) -> wasmtime::Result<i64> {
        let connection = self.spin.sqlite_connections.get(&connection)?.clone();
        Ok(connection.last_insert_rowid().await?)
    }

    async fn changes(&mut self, connection: Resource<SqliteConnection>) -> wasmtime::Result<u64> {
        let connection = self.spin.sqlite_connections.get(&connection)?.clone();
        Ok(connection.changes().await?)
    }

    async fn drop(&mut self, connection: Resource<SqliteConnection>) -> wasmtime::Result<()> {
        self.spin.sqlite_connections.delete(connection)?;
        Ok(())
    }
}

impl<T: Send + 'static> sqlite::HostConnectionWithStore<T> for HasSelf<Guest> {
    async fn open_async(accessor: &Accessor<T, Self>, database: String) -> HostResult<Resource<SqliteConnection>> {
        accessor.with(|mut access| Ok(access.get().open_database(&database)))
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<SqliteConnection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> HostResult<Streamed> {
        let connection = shared(accessor, &connection)?;
        accessor.with(|mut access| access.get().spin.statements.add(INTERFACE, &statement));
        let result = match connection.stream(statement, parameters).await {
            Ok(result) => result,
            Err(error) => return Ok(Err(error)),
        };
        let outcome = result.outcome;
        accessor.with(|mut access| {
            let rows = StreamReader::new(&mut access, RowProducer(result.rows))?;
            let outcome = FutureReader::new(&mut access, outcome)?;
            Ok(Ok((result.columns, rows, outcome)))
        })
    }

    async fn last_insert_rowid_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<SqliteConnection>,
    ) -> wasmtime::Result<i64> {
        Ok(shared(accessor, &connection)?.last_insert_rowid().await?)
    }

    async fn changes_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<SqliteConnection>,
    ) -> wasmtime::Result<u64> {
        Ok(shared(accessor, &connection)?.changes().await?)
    }
}

fn shared<T>(
    accessor: &Accessor<T, HasSelf<Guest>>,
    connection: &Resource<SqliteConnection>,
) -> wasmtime::Result<SqliteConnection> {
    accessor.with(|mut access| Ok(access.get().spin.sqlite_connections.get(connection)?.clone()))
}
