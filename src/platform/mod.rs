//! The port to the host: everything that it does for the component.
//!
//! [`Platform`] is the whole of it: send a request and stream its answer, sleep, tell the time, give random bytes,
//! spawn, read a variable, run an SQL statement, write a log line. Two things implement it: [`spin`], which names the
//! Spin SDK, and `sim`, the simulated world in which the tests run. All other code is plain Rust that can't distinguish
//! one from the other.
//!
//! A component instance has one thread, so nothing here is `Send`; futures are boxed because the port is a trait
//! object: a handful of allocations for each request, which a network round trip hides, in exchange for code that is
//! compiled once.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, LocalBoxFuture, select};
use futures::stream::LocalBoxStream;
use thiserror::Error;

#[cfg(test)]
pub(crate) mod sim;
#[cfg(target_arch = "wasm32")]
pub(crate) mod spin;

/// A body as it arrives or leaves: pieces of bytes, then the end, or one error and nothing more.
pub type Body = LocalBoxStream<'static, Result<Bytes, TransportError>>;

/// The host, shared by everything that runs in an instance.
pub type Host = Rc<dyn Platform>;

/// What a host does for the component.
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

    /// Wall-clock time since the Unix epoch: for what people and other machines read.
    fn unix_time(&self) -> Duration;

    /// Fills `bytes` with cryptographically secure randomness.
    fn fill_random(&self, bytes: &mut [u8]);

    /// Runs `task` beside the present request; it goes on after the response has been returned.
    fn spawn(&self, task: LocalBoxFuture<'static, ()>);

    /// The value of the Spin variable `name`, or `None` where the manifest gives the component no such variable.
    fn variable(&self, name: &'static str) -> LocalBoxFuture<'static, Option<String>>;

    /// Runs one SQL statement on `database` and returns its rows.
    ///
    /// Parameters are numbered `$1`, `$2` and so on in the order of their first appearance. A statement is a transaction of its own. Once begun it runs
    /// to its end, also where the future is dropped; the port sets no time limit.
    fn query(
        &self,
        database: &Database,
        sql: Rc<str>,
        parameters: Vec<Value>,
    ) -> LocalBoxFuture<'static, Result<Vec<Row>, StoreError>>;

    /// Writes one line to the log. The caller has made sure that it is one line.
    fn log(&self, line: &str);
}

/// A request to a Space.
#[derive(Debug)]
pub struct Outbound {
    /// GET or POST; what the Space's wire asks for.
    pub method: http::Method,
    /// An absolute `http` or `https` URL.
    pub url: url::Url,
    /// Headers beside those that the host sets (`host`, `content-length`).
    pub headers: http::HeaderMap,
    /// The body; `None` sends none at all, which is not the same as an empty one.
    pub body: Option<Bytes>,
    /// How long the host may wait for a connection.
    pub connect_timeout: Duration,
    /// How long the host may wait for the answer's head, and between two pieces of its body.
    pub read_timeout: Duration,
}

/// An answer to an [`Outbound`] request.
pub struct Inbound {
    /// The status code.
    pub status: http::StatusCode,
    /// The headers, as they came: untrusted.
    pub headers: http::HeaderMap,
    /// The body, as it comes: untrusted, of any length.
    pub body: Body,
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound").field("status", &self.status).field("headers", &self.headers).finish_non_exhaustive()
    }
}

/// The body of an answer to a client.
pub enum Content {
    /// None.
    Empty,
    /// All of it at once.
    Full(Bytes),
    /// As it comes. After an error in it the client's connection is cut.
    Stream(Body),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Full(_) => "Full(…)",
            Self::Stream(_) => "Stream(…)",
        })
    }
}

/// Why an exchange over the network came to nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TransportError {
    /// The host's `allowed_outbound_hosts` doesn't name the URL's host.
    #[error("the host refuses to connect there (allowed_outbound_hosts)")]
    Denied,
    /// No connection: the name doesn't resolve, or nothing listens, or TLS fails.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// A time limit of the host ran out.
    #[error("timed out: {0}")]
    TimedOut(String),
    /// The exchange broke off, or the other side doesn't speak HTTP.
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// The database behind [`Platform::query`].
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// The host's SQLite database `default`.
    Sqlite,
    /// The PostgreSQL server at that connection string, which may hold a password.
    Postgres(Rc<str>),
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "Sqlite",
            Self::Postgres(_) => "Postgres(…)",
        })
    }
}

/// A value in a database: what both SQLite and PostgreSQL have.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// None.
    Null,
    /// `BIGINT`.
    Integer(i64),
    /// `DOUBLE PRECISION`.
    Real(f64),
    /// `TEXT`.
    Text(String),
    /// `BLOB`, `BYTEA`.
    Blob(Vec<u8>),
}

/// A row of a statement's result.
pub type Row = Vec<Value>;

/// Failure of the database to do as asked.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// The variable `database` is `none`.
    #[error("there is no database (variable database)")]
    Off,
    /// It did not answer a moment ago, and isn't waited for again yet.
    #[error("the database does not answer")]
    Down,
    /// No answer came within the time limit. The statement may run all the same.
    #[error("the database did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// It refused the statement.
    #[error("database: {0}")]
    Failed(String),
}

/// A time limit ran out.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the time limit ran out")]
pub struct Elapsed;

/// Runs `work`, for `limit` at most; on [`Elapsed`] it has been dropped.
pub async fn timeout<T>(host: &Host, limit: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
    let work = std::pin::pin!(work);
    match select(work, host.sleep(limit)).await {
        Either::Left((done, _)) => Ok(done),
        Either::Right(((), _)) => Err(Elapsed),
    }
}

/// Reads `body` to its end.
///
/// # Errors
/// [`ReadError::TooLarge`] as soon as more than `limit` bytes have come; the rest is not read.
pub async fn read_to_end(mut body: Body, limit: usize) -> Result<Bytes, ReadError> {
    use futures::StreamExt as _;

    let Some(first) = body.next().await else { return Ok(Bytes::new()) };
    let first = first?;
    if first.len() > limit {
        return Err(ReadError::TooLarge);
    }
    let Some(second) = body.next().await else { return Ok(first) };
    let mut all = Vec::from(first);
    let mut next = Some(second);
    while let Some(piece) = next {
        let piece = piece?;
        if piece.len() > limit - all.len() {
            return Err(ReadError::TooLarge);
        }
        all.extend_from_slice(&piece);
        next = body.next().await;
    }
    Ok(Bytes::from(all))
}

/// Why [`read_to_end`] has no body to give.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReadError {
    /// More bytes than allowed.
    #[error("the body is larger than allowed")]
    TooLarge,
    /// The body broke off.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// `N` random bytes.
pub fn random_bytes<const N: usize>(host: &Host) -> [u8; N] {
    let mut bytes = [0; N];
    host.fill_random(&mut bytes);
    bytes
}

/// `N` random bytes as lower-case hexadecimal digits, two for each byte.
pub fn random_hex<const N: usize>(host: &Host) -> String {
    random_bytes::<N>(host).iter().map(|byte| format!("{byte:02x}")).collect()
}
