//! Connections, as the bindings hold them.

use std::sync::Arc;

use deadpool_postgres::Object;

/// Address and authority: connections to the same of both share a pool.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) address: String,
    /// Certificate of an authority that the server's may come from too, as PEM text.
    pub(super) authority: Option<String>,
}

/// A connection of a guest.
#[derive(Clone)]
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct PostgresConnection(pub(super) Arc<Object>);

/// A connection to be.
#[derive(Clone)]
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct PostgresBuilder(pub(super) Endpoint);
