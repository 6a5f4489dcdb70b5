//! Final reason for which an image isn't made.

use std::time::Duration;

use thiserror::Error;

use crate::error::{Error, Retry};
use crate::gradio::failure::Failure;
use crate::gradio::space::Space;

/// Reason for which an image isn't made.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// A Space failed, and no other could do better.
    #[error("{}", .0.failure)]
    Failed(Box<Tried>),
    /// No Space could be tried.
    #[error(transparent)]
    Untried(#[from] Failure),
    /// All Spaces of the model are resting. Cause and end are those of the Space that returns first.
    #[error("every Space of the model rests, for {} s: {}", .wait.as_secs(), .last.failure)]
    Resting {
        /// The Space, and the cause of its rest.
        last: Box<Tried>,
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
        /// The last attempt.
        last: Box<Tried>,
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

impl From<Tried> for Refusal {
    fn from(tried: Tried) -> Self {
        Self::Failed(Box::new(tried))
    }
}

impl Tried {
    /// A failed attempt at `space`.
    pub(super) fn new(space: &Space, failure: Failure) -> Self {
        Self { space: space.name().to_owned(), failure }
    }

    /// Error for the client, which names the Space if that is public.
    fn into_error(self, reveals_space: bool) -> Error {
        Error::of_failure(self.failure, reveals_space.then_some(&self.space))
    }
}

impl Refusal {
    /// Error for the client. It names the Space that failed if `reveals_spaces`.
    pub fn into_error(self, reveals_spaces: bool) -> Error {
        let detail = Some(self.to_string());
        let error = match self {
            Self::Failed(tried) => return tried.into_error(reveals_spaces),
            Self::Untried(failure) => return failure.into(),
            Self::Resting { last, wait } => {
                let error = last.into_error(reveals_spaces);
                let retry = match error.retry {
                    Retry::Never => Retry::Never,
                    Retry::NotBefore(_) => Retry::NotBefore(wait),
                    Retry::Soon | Retry::After(_) => Retry::After(wait),
                };
                Error { retry, ..error }
            }
            Self::Crowded { waiting } => Error::overloaded(format!(
                "Too many images wait for a Space already (variable max_waiting): {waiting}. Try again in a moment."
            )),
            Self::OutOfTime { last, after, tried } => {
                let error = last.into_error(reveals_spaces);
                let times = if tried.len() == 1 { "one try".to_owned() } else { format!("{} tries", tried.len()) };
                let message = format!(
                    "The image was not made within {} s (variable job_timeout), in {times}. The last one: {}",
                    after.as_secs(),
                    error.message
                );
                Error { message, ..error }
            }
            Self::NoSlot { after } => Error::overloaded(format!(
                "No Space had room within {} s (variable job_timeout). Try again later.",
                after.as_secs()
            )),
        };
        Error { detail, ..error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_space_that_failed_is_named_where_names_are_public() {
        let space = Space::parse("owner/fox").unwrap();
        let tried = || Box::new(Tried::new(&space, Failure::Cut));
        let (wait, after) = (Duration::from_secs(7), Duration::from_secs(300));
        let lost = "connection to the Space";
        for (refusal, named) in [
            (Refusal::Failed(tried()), r#"The connection to the Space "owner/fox" broke before"#),
            (Refusal::Resting { last: tried(), wait }, r#"The connection to the Space "owner/fox" broke before"#),
            (
                Refusal::OutOfTime { last: tried(), after, tried: vec![*tried()] },
                r#"in one try. The last one: The connection to the Space "owner/fox" broke before"#,
            ),
        ] {
            let (shown, hidden) = (refusal.clone().into_error(true), refusal.into_error(false));
            assert!(shown.message.contains(named), "{}", shown.message);
            assert!(hidden.message.contains(lost) && !hidden.message.contains("owner"), "{}", hidden.message);
            assert_eq!((shown.status, shown.code, shown.retry), (hidden.status, hidden.code, hidden.retry));
        }
        let own = Refusal::from(Tried::new(&space, Failure::Rejected { message: "The Space says no".into() }));
        assert_eq!(own.into_error(true).message, "The Space says no", "a Space's words stay as they are");
    }
}
