//! The port itself.

use std::rc::Rc;
use std::time::Duration;

use futures::future::LocalBoxFuture;

use super::database::{Database, Row, StoreError, Value};
use super::exchange::{Inbound, Outbound, TransportError};
use super::log::LogRecord;
use super::memory::MemoryBudget;
use super::span::Tracer;

/// The host, shared by everything that runs in an instance.
pub type Host = Rc<dyn Platform>;

/// Services of a host for the component.
pub trait Platform {
    /// Sends `request` and returns the answer once its head has arrived; the body streams.
    ///
    /// Redirects are not followed. Dropping the future or the answer's body gives the exchange up: the host closes or
    /// resets the connection, which is how a Space learns that nobody listens any more.
    fn send(&self, request: Outbound) -> LocalBoxFuture<'static, Result<Inbound, TransportError>>;

    /// Returns after `duration`.
    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()>;

    /// Monotonic time since an arbitrary origin: for durations and deadlines.
    fn now(&self) -> Duration;

    /// Wall-clock time since the Unix epoch, for what people and other machines read. It never goes back.
    fn unix_time(&self) -> Duration;

    /// Fills `bytes` with cryptographically secure randomness.
    fn fill_random(&self, bytes: &mut [u8]);

    /// Runs `task` beside the present request; it goes on after the response has been returned.
    fn spawn(&self, task: LocalBoxFuture<'static, ()>);

    /// The value of the Spin variable `name`, or `None` where the manifest gives the component no such variable.
    fn variable(&self, name: &'static str) -> LocalBoxFuture<'static, Option<String>>;

    /// Runs one SQL statement on `database` and returns its rows.
    ///
    /// Parameters are numbered `$1`, `$2` and so on in the order of their first appearance. A statement is a
    /// transaction of its own. Once begun it runs to its end, also where the future is dropped; the port sets no time
    /// limit.
    fn query(
        &self,
        database: &Database,
        sql: Rc<str>,
        parameters: Vec<Value>,
    ) -> LocalBoxFuture<'static, Result<Vec<Row>, StoreError>>;

    /// Budget of the instance's memory.
    fn memory(&self) -> &MemoryBudget;

    /// Writes a record to the log.
    fn log(&self, record: &LogRecord<'_>);

    /// Collector of spans, where the host has one.
    fn tracer(&self) -> Option<&dyn Tracer> {
        None
    }
}
