//! Progress of an image at a Space.

use crate::generation::{QueuePosition, StepProgress};
use crate::gradio::job::{Progress, Receipt};

/// Progress of an image at a Space.
#[derive(Clone, Debug, PartialEq)]
pub enum ImageProgress {
    /// Its job has joined the queue; with the receipt that cancels it.
    Joined(Receipt),
    /// Its job waits there.
    Queued(QueuePosition),
    /// The function has begun; with the Space's estimate of the seconds it takes.
    Started(Option<f64>),
    /// The function reports steps.
    Step(StepProgress),
}

impl ImageProgress {
    /// Progress of a job; `None` of outputs, which are updates of their own.
    pub(super) fn of_job(progress: Progress) -> Option<Self> {
        match progress {
            Progress::Joined(receipt) => Some(Self::Joined(receipt)),
            Progress::Queued(position) => Some(Self::Queued(position)),
            Progress::Started(eta) => Some(Self::Started(eta)),
            Progress::Step(step) => Some(Self::Step(step)),
            Progress::Generating(_) | Progress::Finished(_) => None,
        }
    }
}
