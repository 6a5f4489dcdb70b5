//! Ids of a response, its images and its message.

use std::time::Duration;

use crate::platform::{Host, random_hex};

/// Common part of the ids of a response and of all that belongs to it: 8 digits of the time when it expires, and 24
/// random ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suffix(pub(super) String);

impl Suffix {
    /// A new one, that expires after `ttl`.
    pub(super) fn new(host: &Host, ttl: Duration) -> Self {
        let ends = host.unix_time().saturating_add(ttl).as_secs();
        Self(format!("{ends:08x}{}", random_hex::<12>(host)))
    }

    /// Parses the id of a response or of an image of one.
    pub(super) fn of_id(id: &str) -> Option<Self> {
        let rest = id.strip_prefix("resp_").or_else(|| id.strip_prefix("ig_"))?;
        let suffix = rest.split('_').next()?;
        let is_one = suffix.len() == 32 && suffix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_one.then(|| Self(suffix.to_owned()))
    }

    /// Id of the response.
    pub(super) fn response(&self) -> String {
        format!("resp_{}", self.0)
    }

    /// Id of its image of that index.
    pub(super) fn image(&self, index: u32) -> String {
        format!("ig_{}_{index}", self.0)
    }

    /// Id of its message.
    pub(super) fn message(&self) -> String {
        format!("msg_{}", self.0)
    }
}
