//! Fields of a response's request that its answer repeats.

use std::time::Duration;

use super::id::Suffix;
use super::request::Repeated;
use crate::openai::conversation::wording::Language;
use crate::openai::image_request::Echo;

/// Fields of a request that its answer repeats, and the form of the answer.
pub(super) struct ResponseContext {
    /// Common part of its ids.
    pub suffix: Suffix,
    /// Time of the request, in seconds since the Unix epoch.
    pub created: u64,
    /// Id of the model.
    pub model: String,
    /// The prompt.
    pub prompt: String,
    /// Number of images that were sent.
    pub images_sent: usize,
    /// Number of images that are wanted.
    pub count: u32,
    /// Images come as items of their own, not in a message.
    pub has_tool: bool,
    /// Marks an edit.
    pub is_edit: bool,
    /// The response is kept, so that others can go on from it.
    pub store: bool,
    /// Id of the response that this one goes on from.
    pub previous: Option<String>,
    /// Language that the user writes.
    pub language: Language,
    /// Quality and background of the request.
    pub echo: Echo,
    /// Other fields that are repeated.
    pub repeated: Repeated,
    /// Start of the work, in the host's monotonic time.
    pub begun: Duration,
}

impl ResponseContext {
    /// Seconds from the start of the work to `time`, in the host's monotonic time.
    pub(super) fn seconds_until(&self, time: Duration) -> f64 {
        time.saturating_sub(self.begun).as_secs_f64()
    }
}
