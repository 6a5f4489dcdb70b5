//! A request, as handlers see it.

use http::request::Parts;

use super::auth::Caller;
use super::read::BodyLimit;

/// A request, as handlers see it.
#[derive(Debug)]
pub struct Call {
    /// Method, URL and headers.
    pub head: Parts,
    /// Owner of what belongs to it.
    pub caller: Caller,
    /// Id, which the answer and the log name.
    pub id: String,
    /// Parameter of the path; empty where the route has none.
    pub parameter: String,
    /// Bounds of the body.
    pub body_limit: BodyLimit,
    /// Model that the path names.
    pub deployment: Option<String>,
    /// URL at which the client reaches the server, without a slash at the end.
    pub base: String,
}

impl Call {
    /// Query string.
    pub fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }
}
