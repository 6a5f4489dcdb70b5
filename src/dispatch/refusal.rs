//! Final reason for which an image isn't made.

use std::time::Duration;

use thiserror::Error;

use crate::error::{Error, Retry};
use crate::gradio::failure::Failure;

/// Reason for which an image isn't made.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// A Space failed, and no other could do better.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// All Spaces of the model are resting. Cause and end are those of the Space that returns first.
    #[error("every Space of the model rests, for {} s: {last}", .wait.as_secs())]
    Resting {
        /// Cause of its rest.
        last: Box<Failure>,
        /// Time until it returns.
        wait: Duration,
    },
    /// Too many jobs wait for a Space.
    #[error("{waiting} jobs wait for a Space already")]
    Crowded {
        /// Number of jobs waiting.
        waiting: usize,
    },
    /// No Space had a free slot in time.
    #[error("no Space had a free slot within {} s", .after.as_secs())]
    NoSlot {
        /// Time waited.
        after: Duration,
    },
    /// The request's time ran out after failed attempts.
    #[error("not made within {} s: {}", .after.as_secs(), listed(.tried))]
    OutOfTime {
        /// Failure of the last attempt.
        last: Box<Failure>,
        /// Time limit of the request.
        after: Duration,
        /// Failed attempts, in order.
        tried: Vec<Tried>,
    },
}

/// A failed attempt at a Space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Name of the Space.
    pub space: String,
    /// Failure of the attempt.
    pub failure: Failure,
}

fn listed(tried: &[Tried]) -> String {
    tried.iter().map(|one| format!("{}: {}", one.space, one.failure)).collect::<Vec<_>>().join("; ")
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
                "Too many images wait for a Space already (variable max_waiting): {waiting}. Try again in a moment."
            )),
            Refusal::OutOfTime { last, after, tried } => {
                let error = Self::from(*last);
                let times = if tried.len() == 1 { "try".to_owned() } else { format!("{} tries", tried.len()) };
                let message = format!(
                    "The image was not made within {} s (variable job_timeout), in {times}. The last one: {}",
                    after.as_secs(),
                    error.message
                );
                Self { message, ..error }
            }
            Refusal::NoSlot { after } => Self::overloaded(format!(
                "No Space had room within {} s (variable job_timeout). Try again later.",
                after.as_secs()
            )),
        };
        Self { detail, ..error }
    }
}
