//! `spin:postgres`.

use std::sync::Arc;

use wasmtime::component::{Accessor, FutureReader, HasSelf, Linker, Resource, StreamReader};

use crate::bindings::spin::postgres::postgres::{self, Column, DbValue, Error, ParameterValue, RowSet};
use crate::guest::Guest;
use crate::postgres::connection::{PostgresBuilder, PostgresConnection};
use crate::rows::RowProducer;

/// Name in the list of statements.
const INTERFACE: &str = "postgres";

type HostResult<T> = wasmtime::Result<Result<T, Error>>;
type Streamed = (Vec<Column>, StreamReader<Vec<DbValue>>, FutureReader<Result<(), Error>>);

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    postgres::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl Guest {
    fn keep(&mut self, connection: Result<PostgresConnection, Error>) -> Result<Resource<PostgresConnection>, Error> {
        let full = |_| Error::ConnectionFailed("too many connections".to_owned());
        self.spin.postgres_connections.push(connection?).map_err(full)
    }
}

impl postgres::Host for Guest {}

impl postgres::HostConnectionBuilder for Guest {
    async fn new(&mut self, address: String) -> wasmtime::Result<Resource<PostgresBuilder>> {
        Ok(self.table.push(PostgresBuilder::new(address))?)
    }

    async fn set_ca_root(&mut self, builder: Resource<PostgresBuilder>, certificate: String) -> HostResult<()> {
        Ok(self.table.get_mut(&builder)?.set_authority(certificate))
    }

    async fn build(&mut self, builder: Resource<PostgresBuilder>) -> HostResult<Resource<PostgresConnection>> {
        let builder = self.table.get(&builder)?.clone();
        let connection = self.spin.pools.build(&builder).await;
        Ok(self.keep(connection))
    }

    async fn drop(&mut self, builder: Resource<PostgresBuilder>) -> wasmtime::Result<()> {
        self.table.delete(builder)?;
        Ok(())
    }
}

impl<T: Send + 'static> postgres::HostConnectionBuilderWithStore<T> for HasSelf<Guest> {
    async fn build_async(
        accessor: &Accessor<T, Self>,
        builder: Resource<PostgresBuilder>,
    ) -> HostResult<Resource<PostgresConnection>> {
        let (pools, builder) = accessor.with(|mut access| {
            let guest: &mut Guest = access.get();
            wasmtime::error::Ok((Arc::clone(&guest.spin.pools), guest.table.get(&builder)?.clone()))
        })?;
        let connection = pools.build(&builder).await;
        accessor.with(|mut access| Ok(access.get().keep(connection)))
    }
}

impl postgres::HostConnection for Guest {
    async fn open(&mut self, address: String) -> HostResult<Resource<PostgresConnection>> {
        let connection = self.spin.pools.connect(address).await;
        Ok(self.keep(connection))
    }

    async fn query(
        &mut self,
        connection: Resource<PostgresConnection>,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> HostResult<RowSet> {
        self.spin.statements.add(INTERFACE, &statement);
        Ok(self.spin.postgres_connections.get(&connection)?.query(&statement, parameters).await)
    }

    async fn execute(
        &mut self,
        connection: Resource<PostgresConnection>,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> HostResult<u64> {
        self.spin.statements.add(INTERFACE, &statement);
        Ok(self.spin.postgres_connections.get(&connection)?.execute(&statement, parameters).await)
    }

    async fn drop(&mut self, connection: Resource<PostgresConnection>) -> wasmtime::Result<()> {
        self.spin.postgres_connections.delete(connection)?;
        Ok(())
    }
}

impl<T: Send + 'static> postgres::HostConnectionWithStore<T> for HasSelf<Guest> {
    async fn open_async(accessor: &Accessor<T, Self>, address: String) -> HostResult<Resource<PostgresConnection>> {
        let pools = accessor.with(|mut access| Arc::clone(&access.get().spin.pools));
        let connection = pools.connect(address).await;
        accessor.with(|mut access| Ok(access.get().keep(connection)))
    }

    async fn query_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<PostgresConnection>,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> HostResult<Streamed> {
        let connection = shared(accessor, &connection)?;
        accessor.with(|mut access| access.get().spin.statements.add(INTERFACE, &statement));
        let result = match connection.stream(&statement, parameters).await {
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

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<PostgresConnection>,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> HostResult<u64> {
        accessor.with(|mut access| access.get().spin.statements.add(INTERFACE, &statement));
        Ok(shared(accessor, &connection)?.execute(&statement, parameters).await)
    }
}

fn shared<T>(
    accessor: &Accessor<T, HasSelf<Guest>>,
    connection: &Resource<PostgresConnection>,
) -> wasmtime::Result<PostgresConnection> {
    accessor.with(|mut access| Ok(access.get().spin.postgres_connections.get(connection)?.clone()))
}
