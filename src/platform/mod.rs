//! The port to the host: everything that it does for the component.
//!
//! [`Platform`] is the whole of it: send a request and stream its answer, sleep, read the clocks, give random bytes,
//! spawn, read a variable, run an SQL statement, write a log line, share out the memory. Two things implement it:
//! an edge to a host, and `sim`, the simulated world in which the tests run. All other code is plain Rust that can't
//! distinguish one from the other. A build has one edge, by the crate's feature: `spin` to Spin, by its SDK, or `wasi`
//! to a host that has WASI and nothing else.
//!
//! A component instance has one thread, so nothing here is `Send`; futures are boxed because the port is a trait
//! object: a handful of allocations for each request, which a network round trip hides, in exchange for code that is
//! compiled once.

mod allowed_origins;
mod body;
mod buffer;
mod call;
mod database;
mod exchange;
pub mod log;
mod memory;
mod port;
mod random;
#[cfg(any(target_arch = "wasm32", test))]
mod read_size;
mod reserve;
#[cfg(feature = "simulated")]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "it runs in tests, which fail by panicking"
)]
pub mod sim;
pub mod span;
#[cfg(all(target_arch = "wasm32", feature = "spin"))]
pub(crate) mod spin;
mod time;
#[cfg(any(target_arch = "wasm32", test))]
mod timers;
#[cfg(any(target_arch = "wasm32", feature = "simulated", test))]
mod wall_clock;
#[cfg(target_arch = "wasm32")]
pub(crate) mod wasi;

pub use self::allowed_origins::AllowedOrigins;
pub use self::body::{ReadError, read_held, read_to_end};
pub use self::buffer::HeldBuffer;
pub use self::call::send;
pub use self::database::{Database, Row, StoreError, Value};
pub use self::exchange::{Body, Content, Inbound, OnSent, Outbound, TransportError, content_length};
pub use self::memory::{MemoryBudget, OutOfMemory, Reservation, UNCOUNTED};
pub use self::port::{Host, Platform};
pub use self::random::{random_bytes, random_hex};
pub use self::reserve::grow;
pub use self::time::{Elapsed, retry, timeout};
