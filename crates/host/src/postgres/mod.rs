//! PostgreSQL: pooled connections to the servers that a component may reach.
//!
//! As in Spin: there are up to 64 connections for an address. A guest's connection keeps one of them until it is
//! dropped, and whoever wants a 65th waits. A connection that goes back is rid of its session's state before it is used
//! again; one that has broken is replaced.

mod address;
pub(crate) mod connection;
mod value;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use futures_util::TryStreamExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::DbError;
use tokio_postgres::{NoTls, RowStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use self::connection::{Endpoint, PostgresBuilder, PostgresConnection};
use crate::allowed_hosts::AllowedHosts;
use crate::bindings::spin::postgres::postgres::{
    self as wit, Column, DbValue, Error, ParameterValue, QueryError, RowSet,
};
use crate::rows::{BUFFERED_ROWS, MAX_BUFFERED_BYTES};
use crate::tls;

/// Number of connections for an address.
const POOL_SIZE: usize = 64;
/// Number of addresses whose connections are kept.
const POOLS: usize = 16;

/// The connections of a component, over all its instances.
pub(crate) struct Pools {
    component: String,
    allowed: AllowedHosts,
    /// The one that was used last is the last.
    pools: Mutex<VecDeque<(Endpoint, Pool)>>,
}

/// A query's result, as it comes.
pub(crate) struct PostgresRows {
    /// Empty where there is no row.
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: mpsc::Receiver<Vec<DbValue>>,
    pub(crate) outcome: oneshot::Receiver<Result<(), Error>>,
}

impl Pools {
    /// No connection yet.
    pub(crate) fn new(component: &str, allowed: AllowedHosts) -> Self {
        Self { component: component.to_owned(), allowed, pools: Mutex::default() }
    }

    /// A connection to the server at that address, a URL or `key=value` pairs.
    pub(crate) async fn connect(&self, address: String) -> Result<PostgresConnection, Error> {
        self.build(&PostgresBuilder::new(address)).await
    }

    /// A connection as the builder says.
    pub(crate) async fn build(&self, PostgresBuilder(endpoint): &PostgresBuilder) -> Result<PostgresConnection, Error> {
        let config = address::parse(&endpoint.address)?;
        address::check(&config, &self.allowed).inspect_err(|error| {
            if let Error::ConnectionFailed(why) = error {
                eprintln!("{}: refused to connect: {why}", self.component);
            }
        })?;
        let pool = self.pool(endpoint, config)?;
        let connection = pool.get().await.map_err(|error| Error::ConnectionFailed(chain(&error)))?;
        Ok(PostgresConnection(Arc::new(connection)))
    }

    /// The pool of that address, which is made where there is none. The one that was used least recently makes room.
    fn pool(&self, endpoint: &Endpoint, config: tokio_postgres::Config) -> Result<Pool, Error> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let known = pools.iter().position(|(known, _)| known == endpoint).and_then(|index| pools.remove(index));
        let (endpoint, pool) = match known {
            Some(known) => known,
            None => (endpoint.clone(), new_pool(config, endpoint.authority.as_deref())?),
        };
        if pools.len() >= POOLS {
            pools.pop_front();
        }
        pools.push_back((endpoint, pool.clone()));
        Ok(pool)
    }
}

fn new_pool(config: tokio_postgres::Config, authority: Option<&str>) -> Result<Pool, Error> {
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Clean };
    let manager = if config.get_ssl_mode() == SslMode::Disable {
        Manager::from_config(config, NoTls, recycling)
    } else {
        Manager::from_config(config, connector(authority)?, recycling)
    };
    let pool = Pool::builder(manager).max_size(POOL_SIZE).build();
    pool.map_err(|error| Error::ConnectionFailed(chain(&error)))
}

/// A connector over TLS that trusts the authorities of the web, and those whose certificates `authority` holds as PEM.
fn connector(authority: Option<&str>) -> Result<MakeRustlsConnect, Error> {
    let config = tls::client(authority).map_err(|error| Error::Other(format!("{error:#}")))?;
    Ok(MakeRustlsConnect::new(config))
}

impl PostgresBuilder {
    /// A connection to the server at that address.
    pub(crate) fn new(address: String) -> Self {
        Self(Endpoint { address, authority: None })
    }

    /// Lets the server's certificate come from that authority too.
    pub(crate) fn set_authority(&mut self, certificate: String) -> Result<(), Error> {
        connector(Some(&certificate))?;
        self.0.authority = Some(certificate);
        Ok(())
    }
}

impl PostgresConnection {
    /// Runs a statement, and returns the number of rows that it changed.
    pub(crate) async fn execute(&self, statement: &str, parameters: Vec<ParameterValue>) -> Result<u64, Error> {
        let parameters = value::parameters(parameters).map_err(Error::ValueConversionFailed)?;
        self.0.execute_raw(statement, parameters).await.map_err(failed)
    }

    /// Runs a query to its end.
    pub(crate) async fn query(&self, statement: &str, parameters: Vec<ParameterValue>) -> Result<RowSet, Error> {
        let parameters = value::parameters(parameters).map_err(Error::BadParameter)?;
        let mut result = Box::pin(self.0.query_raw(statement, parameters).await.map_err(failed)?);
        let (mut columns, mut rows, mut bytes) = (None, Vec::new(), 0);
        while let Some(row) = result.try_next().await.map_err(failed)? {
            columns.get_or_insert_with(|| value::columns(&row));
            let row = value::values(&row).map_err(unreadable)?;
            bytes += value::size(&row);
            if bytes > MAX_BUFFERED_BYTES {
                return Err(too_large());
            }
            rows.push(row);
        }
        Ok(RowSet { columns: columns.unwrap_or_default(), rows })
    }

    /// Runs a query as fast as its rows are read. Until they are, other statements on this connection wait.
    pub(crate) async fn stream(&self, statement: &str, parameters: Vec<ParameterValue>) -> Result<PostgresRows, Error> {
        let parameters = value::parameters(parameters).map_err(Error::BadParameter)?;
        let result = self.0.query_raw(statement, parameters).await.map_err(failed)?;
        let (send_columns, columns) = oneshot::channel();
        let (send, rows) = mpsc::channel(BUFFERED_ROWS);
        let (send_outcome, outcome) = oneshot::channel();
        tokio::spawn(async move {
            let forwarded = tokio::select! {
                // Nobody wants the rest any more.
                () = send.closed() => Ok(()),
                forwarded = forward(result, send_columns, &send) => forwarded,
            };
            drop(send);
            let _ = send_outcome.send(forwarded);
        });
        Ok(PostgresRows { columns: columns.await.unwrap_or_default(), rows, outcome })
    }
}

/// Passes the rows on; the first one has the columns.
async fn forward(
    result: RowStream,
    send_columns: oneshot::Sender<Vec<Column>>,
    send: &mpsc::Sender<Vec<DbValue>>,
) -> Result<(), Error> {
    let mut result = Box::pin(result);
    let mut send_columns = Some(send_columns);
    while let Some(row) = result.try_next().await.map_err(failed)? {
        if let Some(send_columns) = send_columns.take() {
            let _ = send_columns.send(value::columns(&row));
        }
        let row = value::values(&row).map_err(unreadable)?;
        if value::size(&row) > MAX_BUFFERED_BYTES {
            return Err(too_large());
        }
        if send.send(row).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Error of a statement, for the guest.
fn failed(failure: tokio_postgres::Error) -> Error {
    let text = chain(&failure);
    Error::QueryFailed(match failure.as_db_error() {
        None => QueryError::Text(text),
        Some(error) => QueryError::DbError(wit::DbError {
            as_text: text,
            severity: error.severity().to_owned(),
            code: error.code().code().to_owned(),
            message: error.message().to_owned(),
            detail: error.detail().map(str::to_owned),
            extras: extras(error),
        }),
    })
}

/// Further fields of a server's error.
fn extras(error: &DbError) -> Vec<(String, String)> {
    let line = error.line().map(|line| line.to_string());
    let extras = [
        ("column", error.column()),
        ("constraint", error.constraint()),
        ("routine", error.routine()),
        ("hint", error.hint()),
        ("table", error.table()),
        ("datatype", error.datatype()),
        ("schema", error.schema()),
        ("file", error.file()),
        ("line", line.as_deref()),
        ("where_", error.where_()),
    ];
    extras.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect()
}

fn unreadable(error: tokio_postgres::Error) -> Error {
    Error::QueryFailed(QueryError::Text(chain(&error)))
}

fn too_large() -> Error {
    Error::QueryFailed(QueryError::Text(format!("query result exceeds limit of {MAX_BUFFERED_BYTES} bytes")))
}

/// An error and its causes, without those that the one before has already.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
