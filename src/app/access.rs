//! Callers that a route lets in.

/// Callers that a route lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Anyone.
    Anyone,
    /// Those with an API key.
    Key,
    /// Those with the link, which is a permission by itself, and isn't logged.
    Link,
}
