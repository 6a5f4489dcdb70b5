//! Time limits of calls to Spaces.

use std::time::Duration;

/// Time limits of a job at a Space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time from a job's submission to its result.
    pub job: Duration,
    /// Time between two signs of life: pieces of an event stream, or a call and its answer. Gradio sends a heartbeat
    /// every 15 s of silence.
    pub idle: Duration,
}
