//! Spans of traces, which a host that collects them gets.
//!
//! Source: OpenTelemetry's specification of the tracing API, and its semantic conventions for HTTP spans.

use std::rc::Rc;
use std::time::Duration;

/// Collector of spans.
pub trait Tracer {
    /// Begins a span: what the host does next is done for it. Each is ended.
    fn begin(&self, place: &SpanPlace);

    /// Ends a span that has begun, and hands it over.
    fn end(&self, span: &Span);
}

/// Place of a span in its trace. Ids are lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanPlace {
    /// Id of the trace.
    pub trace: Rc<str>,
    /// Id of the span.
    pub id: Rc<str>,
    /// Id of the span above; none at the top of the trace.
    pub parent: Option<Rc<str>>,
}

/// A span that has ended. Times are those since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its place.
    pub place: SpanPlace,
    /// Kind of work.
    pub kind: SpanKind,
    /// Name: of the kind of work, not of the one that was done.
    pub name: String,
    /// Beginning.
    pub begun: Duration,
    /// End.
    pub ended: Duration,
    /// Attributes.
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// Marks work that has failed.
    pub has_failed: bool,
}

/// Kind of a span's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Answer to a request.
    Server,
    /// Call of another server.
    Client,
    /// Work within.
    Internal,
}

/// Value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpanValue {
    /// A text.
    Text(String),
    /// A number.
    Integer(i64),
    /// A fact that is so or not.
    Flag(bool),
}

impl From<&str> for SpanValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u32> for SpanValue {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<u16> for SpanValue {
    fn from(number: u16) -> Self {
        Self::Integer(number.into())
    }
}

impl From<bool> for SpanValue {
    fn from(is_so: bool) -> Self {
        Self::Flag(is_so)
    }
}
