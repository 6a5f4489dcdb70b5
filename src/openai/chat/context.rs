//! Fields of a chat's request that its answer repeats.

use std::time::Duration;

use super::progress::ChatProgress;
use crate::openai::conversation::wording::Language;

/// Fields of a request that its answer repeats, and the form of the answer.
#[derive(Clone, Debug)]
pub(super) struct ChatContext {
    /// Id of the answer.
    pub id: String,
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
    /// Language that the user writes.
    pub language: Language,
    /// Images come beside the text, in `images`.
    pub wants_images: bool,
    /// Form of progress.
    pub progress: ChatProgress,
    /// A stream ends with the usage.
    pub include_usage: bool,
    /// Start of the work, in the host's monotonic time.
    pub begun: Duration,
}

impl ChatContext {
    /// Seconds from the start of the work to `time`, in the host's monotonic time.
    pub(super) fn seconds_until(&self, time: Duration) -> f64 {
        time.saturating_sub(self.begun).as_secs_f64()
    }
}
