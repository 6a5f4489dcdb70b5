//! Requests and answers over the network.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::LocalBoxStream;
use thiserror::Error;

use super::span::SpanPlace;

/// A body as it arrives or leaves: pieces of bytes, then the end, or one error and nothing more.
pub type Body = LocalBoxStream<'static, Result<Bytes, TransportError>>;

/// Length of a body in bytes, as its head says it (`Content-Length`, RFC 9110 section 8.6).
pub fn content_length(headers: &http::HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
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
    /// Time limit of the connection.
    pub connect_timeout: Duration,
    /// Time limit of the answer's head, from the request on: the body's way there included.
    pub head_timeout: Duration,
    /// Time limit of the pause between two pieces of the answer's body.
    pub read_timeout: Duration,
    /// Called for each piece of the body that was taken on its way.
    pub on_sent: Option<OnSent>,
    /// Place of the call's span, where its trace is collected.
    pub span: Option<SpanPlace>,
}

/// Callback of a body on its way.
#[derive(Clone)]
pub struct OnSent(pub Rc<dyn Fn()>);

impl fmt::Debug for OnSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnSent")
    }
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
    /// Pieces as they come. After an error in them the client's connection is cut.
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

/// Failure of an exchange over the network.
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

impl TransportError {
    /// Name of the kind, for machines.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut(_) => "timeout",
            Self::Broken(_) => "broken",
        }
    }
}
