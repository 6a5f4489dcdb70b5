//! Classification of failures: their blame, and the chances of a retry.

use std::time::Duration;

use crate::gradio::failure::Failure;
use crate::gradio::stage::Stage;
use crate::platform::TransportError;

/// Rest of a Space that is being woken.
const WAKING: Duration = Duration::from_secs(20);
/// Rest of a Space that its owner must repair.
const OUT_OF_ORDER: Duration = Duration::from_secs(600);
/// Exhaustion of a GPU quota whose message names no time.
const QUOTA: Duration = Duration::from_secs(600);
/// Rest of a Space without a free GPU.
const NO_GPU: Duration = Duration::from_secs(30);
/// Upper bound of waits that a Space announces.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// Consequences of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Marks a failure that another Space may not repeat.
    pub(super) moves: bool,
    /// Marks a failure after work on the job, whose retry costs as much as the first attempt.
    pub(super) has_worked: bool,
    /// Charge against the Space.
    pub(super) blame: Blame,
}

/// Charge against a Space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// None: the failure says nothing about the Space.
    Nothing,
    /// The request is at fault, and so each of its images would fail.
    Asker,
    /// A failure that the breaker counts.
    Fault,
    /// The queue of the Space is full.
    Full,
    /// The Space is unusable for this time.
    Rest(Duration),
    /// The token of the call is unusable at the Space for this time.
    Exhausted(Duration),
}

impl Verdict {
    /// Classifies `failure`.
    pub(super) fn of(failure: &Failure) -> Self {
        let moves = |has_worked, blame| Self { moves: true, has_worked, blame };
        match failure {
            Failure::Rejected { .. } => Self { moves: false, has_worked: true, blame: Blame::Asker },
            Failure::Invalid { .. } => Self { moves: false, has_worked: false, blame: Blame::Asker },
            Failure::Unsupported(_) => moves(false, Blame::Nothing),
            Failure::OutOfMemory(_) => Self { moves: false, has_worked: true, blame: Blame::Nothing },
            Failure::QueueFull { .. } => moves(false, Blame::Full),
            Failure::Transport(TransportError::Denied | TransportError::Unreachable(_)) => moves(false, Blame::Fault),
            Failure::NotReady { stage } => moves(false, of_stage(*stage)),
            Failure::Status { retry_after: Some(wait), .. } => moves(false, Blame::Rest((*wait).min(LONGEST))),
            Failure::Status { call, status, .. } => match (*call, status.as_u16()) {
                // The arguments are at fault.
                ("queue/join", 400 | 413 | 422) => Self { moves: false, has_worked: false, blame: Blame::Asker },
                // The images are, and another Space may take them.
                ("upload", 400 | 413 | 415 | 422) => moves(false, Blame::Nothing),
                // The other calls bring nothing of the request's, and the other statuses refuse every call.
                _ => moves(false, Blame::Fault),
            },
            Failure::Quota { message, retry_after } => moves(false, of_quota(message, *retry_after)),
            Failure::Cancelled | Failure::Elsewhere { .. } | Failure::NotHandedOver { .. } => {
                moves(true, Blame::Nothing)
            }
            Failure::Transport(TransportError::TimedOut(_) | TransportError::Broken(_))
            | Failure::Crashed
            | Failure::NoImage
            | Failure::Queue { .. }
            | Failure::Cut
            | Failure::Stalled { .. }
            | Failure::Overdue { .. }
            | Failure::Unreadable(_) => moves(true, Blame::Fault),
        }
    }
}

fn of_stage(stage: Option<Stage>) -> Blame {
    match stage {
        Some(Stage::Sleeping | Stage::Starting) => Blame::Rest(WAKING),
        Some(Stage::Paused | Stage::Broken | Stage::Hidden | Stage::Renamed) => Blame::Rest(OUT_OF_ORDER),
        None => Blame::Fault,
    }
}

/// Blame of a ZeroGPU message: a quota is the caller's, a lack of GPUs everybody's, an aborted task a fault.
fn of_quota(message: &str, retry_after: Option<Duration>) -> Blame {
    let message = message.to_lowercase();
    if let Some(wait) = retry_after {
        return Blame::Exhausted(wait.min(LONGEST));
    }
    if message.contains("no gpu") {
        return Blame::Rest(NO_GPU);
    }
    if ["quota", "limit", "credits"].iter().any(|word| message.contains(word)) {
        return Blame::Exhausted(QUOTA);
    }
    Blame::Fault
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn of(failure: Failure) -> (bool, bool, Blame) {
        let Verdict { moves, has_worked, blame } = Verdict::of(&failure);
        (moves, has_worked, blame)
    }

    #[test]
    fn what_the_asker_caused_is_told_at_once_and_not_held_against_the_space() {
        assert_eq!(of(Failure::Rejected { message: "no".into() }), (false, true, Blame::Asker));
        let invalid = Failure::Invalid { message: "no".into(), parameter: None };
        assert_eq!(of(invalid), (false, false, Blame::Asker));
        for status in [400, 413, 422] {
            let failure = Failure::Status {
                call: "queue/join",
                status: StatusCode::from_u16(status).unwrap(),
                detail: String::new(),
                retry_after: None,
            };
            assert_eq!(of(failure), (false, false, Blame::Asker), "{status}");
        }
    }

    #[test]
    fn calls_that_bring_nothing_of_the_askers_are_not_the_askers_fault() {
        let status = |call, status: u16| Failure::Status {
            call,
            status: StatusCode::from_u16(status).unwrap(),
            detail: String::new(),
            retry_after: None,
        };
        for code in [400, 409, 413, 422] {
            for call in ["/config", "queue/data", "file"] {
                assert_eq!(of(status(call, code)), (true, false, Blame::Fault), "{call} {code}");
            }
        }
        assert_eq!(of(status("queue/join", 409)), (true, false, Blame::Fault));
        assert_eq!(of(status("upload", 413)), (true, false, Blame::Nothing));
    }

    #[test]
    fn what_the_space_caused_moves_the_job() {
        let status = |status: u16, seconds: Option<u64>| Failure::Status {
            call: "queue/join",
            status: StatusCode::from_u16(status).unwrap(),
            detail: String::new(),
            retry_after: seconds.map(Duration::from_secs),
        };
        for code in [302, 401, 403, 404, 408, 429, 500, 502, 503] {
            assert_eq!(of(status(code, None)), (true, false, Blame::Fault), "{code}");
        }
        assert_eq!(of(status(429, Some(7))), (true, false, Blame::Rest(Duration::from_secs(7))));
        assert_eq!(of(Failure::Cut), (true, true, Blame::Fault));
        assert_eq!(of(Failure::Elsewhere { host: "cdn.example".into() }), (true, true, Blame::Nothing));
        assert_eq!(of(Failure::QueueFull { detail: String::new() }), (true, false, Blame::Full));
        assert_eq!(of(Failure::NotReady { stage: Some(Stage::Sleeping) }), (true, false, Blame::Rest(WAKING)));
        assert_eq!(of(Failure::NotReady { stage: None }), (true, false, Blame::Fault));
    }

    #[test]
    fn zero_gpus_texts_are_told_apart() {
        let blame = |text: &str| Verdict::of(&Failure::of_job(Some(text.into()), Some("ZeroGPU"), true)).blame;
        let quota = "You have exceeded your free ZeroGPU quota (60s requested vs. 12s left). Try again in 1:23:45";
        assert_eq!(blame(quota), Blame::Exhausted(Duration::from_secs(5025)));
        assert_eq!(blame("You have exceeded your runs limit."), Blame::Exhausted(QUOTA));
        assert_eq!(blame("No GPU was available after 60s"), Blame::Rest(NO_GPU));
        assert_eq!(blame("GPU task aborted"), Blame::Fault);
    }
}
