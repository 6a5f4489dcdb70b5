//! The port's adapter to Spin. With [`crate::entry`], the only place that names the Spin SDK.

mod database;
#[cfg(feature = "otel")]
mod otel;

use std::rc::Rc;
use std::time::Duration;

use futures::future::LocalBoxFuture;

use self::database::Connection;
use super::log::LogRecord;
use super::wasi::Wasi;
use super::{Database, Inbound, MemoryBudget, Outbound, Platform, Row, StoreError, TransportError, Value};

/// The host, by way of the Spin SDK.
#[derive(Default)]
pub(crate) struct Spin {
    wasi: Wasi,
    sqlite: Rc<Connection>,
    #[cfg(feature = "otel")]
    otel: otel::Otel,
}

impl Platform for Spin {
    fn send(&self, request: Outbound) -> LocalBoxFuture<'static, Result<Inbound, TransportError>> {
        self.wasi.send(request)
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        self.wasi.sleep(duration)
    }

    fn now(&self) -> Duration {
        self.wasi.now()
    }

    fn unix_time(&self) -> Duration {
        self.wasi.unix_time()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.wasi.fill_random(bytes);
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        self.wasi.spawn(task);
    }

    fn variable(&self, name: &'static str) -> LocalBoxFuture<'static, Option<String>> {
        Box::pin(async move { spin_sdk::variables::get(name).await.ok() })
    }

    fn query(
        &self,
        database: &Database,
        sql: Rc<str>,
        parameters: Vec<Value>,
    ) -> LocalBoxFuture<'static, Result<Vec<Row>, StoreError>> {
        match database {
            Database::Sqlite => {
                let connection = Rc::clone(&self.sqlite);
                Box::pin(async move { connection.query(&sql, parameters).await })
            }
            Database::Postgres(address) => Box::pin(database::query(Rc::clone(address), sql, parameters)),
        }
    }

    fn memory(&self) -> &MemoryBudget {
        self.wasi.memory()
    }

    fn log(&self, record: &LogRecord<'_>) {
        self.wasi.log(record);
    }

    #[cfg(feature = "otel")]
    fn tracer(&self) -> Option<&dyn super::span::Tracer> {
        Some(&self.otel)
    }
}
