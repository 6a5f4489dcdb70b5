//! Why an image won't be made, when all has been tried that can be.

use std::time::Duration;

use thiserror::Error;

use crate::error::{Error, Retry};
use crate::gradio::failure::Failure;

/// Why an image won't be made.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// A Space failed, and no other can do better.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// All Spaces of the model rest after failures; this is the last one of the Space that comes back first.
    #[error("every Space of the model rests, for {} s: {last}", .wait.as_secs())]
    Resting {
        /// The failure.
        last: Box<Failure>,
        /// Until then.
        wait: Duration,
    },
    /// Too many jobs wait for a Space.
    #[error("{waiting} jobs wait for a Space already")]
    Crowded {
        /// How many.
        waiting: usize,
    },
    /// No Space had room in time.
    #[error("no Space had room within {} s", .after.as_secs())]
    NoTurn {
        /// How long it was waited for.
        after: Duration,
    },
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let detail = Some(refusal.to_string());
        let error = match refusal {
            Refusal::Failed(failure) => return failure.into(),
            Refusal::Resting { last, wait } => {
                let error = Self::from(*last);
                let retry = match error.retry {
                    Retry::Never => Retry::Never,
                    Retry::NotBefore(_) => Retry::NotBefore(wait),
                    Retry::Soon | Retry::After(_) => Retry::After(wait),
                };
                Self { retry, ..error }
            }
            Refusal::Crowded { waiting } => Self::overloaded(format!(
                "{waiting} images wait for a Space already (variable max_waiting). Try again in a moment."
            )),
            Refusal::NoTurn { after } => Self::overloaded(format!(
                "No Space had room within {} s (variable job_timeout). Try again later.",
                after.as_secs()
            )),
        };
        Self { detail, ..error }
    }
}
