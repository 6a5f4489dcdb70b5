//! The application: composition, the route table, and the life of a request.
//!
//! [`state`] is what the requests of an instance share; [`handle`] answers one: it finds its [`routes`] row, checks its
//! key and its rate, and calls the handler with an [`exchange`]. [`idempotency`] answers a request that is sent again,
//! [`log`] writes what goes wrong.

mod access;
mod exchange;
mod handle;
mod health;
mod idempotency;
mod log;
mod metrics;
mod routes;
mod state;

pub use self::routes::is_of_api;
pub use self::state::App;
