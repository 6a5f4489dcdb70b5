//! The port's adapter to Spin. With [`crate::entry`], the only place that names the Spin SDK.

mod database;
pub(crate) mod wake;
pub(crate) mod wire;

use std::io::Write as _;
use std::rc::Rc;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use spin_sdk::wasip3::clocks::{monotonic_clock, system_clock};
use spin_sdk::wasip3::random::random::get_random_bytes;

use self::database::Connection;
use super::log::LogRecord;
use super::wall_clock::WallClock;
use super::{Database, Inbound, MemoryBudget, Outbound, Platform, Row, StoreError, TransportError, Value};

/// The host, by way of the Spin SDK.
#[derive(Default)]
pub(crate) struct Spin {
    sqlite: Rc<Connection>,
    memory: MemoryBudget,
    clock: WallClock,
}

impl Platform for Spin {
    fn send(&self, request: Outbound) -> LocalBoxFuture<'static, Result<Inbound, TransportError>> {
        Box::pin(wire::send(request))
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        Box::pin(monotonic_clock::wait_for(wire::nanoseconds(duration)))
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(monotonic_clock::now())
    }

    fn unix_time(&self) -> Duration {
        let now = system_clock::now();
        // A clock before 1970 is a clock that was never set.
        let unix = Duration::new(u64::try_from(now.seconds).unwrap_or(0), now.nanoseconds);
        self.clock.read(unix, self.now())
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        let mut filled = 0;
        // The host may give fewer bytes than asked for, never none.
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let wanted = u64::try_from(rest.len()).unwrap_or(u64::MAX);
            let random = get_random_bytes(wanted);
            for (byte, random) in rest.iter_mut().zip(&random) {
                *byte = *random;
            }
            filled += random.len();
        }
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        wake::spawn(task);
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
        &self.memory
    }

    fn log(&self, record: &LogRecord<'_>) {
        let mut line = record.to_line();
        line.push('\n');
        // In one piece, as other instances write there too. A log that can't be written can't be told of either.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
