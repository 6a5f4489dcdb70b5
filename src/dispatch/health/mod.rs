//! Health of a Space over all instances.
//!
//! Instances report [`SpaceOutcome`]s of jobs at a Space. All outcomes together make one value in the database,
//! [`SpaceHealth`]. An instance changes it by optimistic concurrency ([`shared`]): it applies its outcomes to the
//! stored value and writes the result unless another instance has written meanwhile. So fifty instances with one
//! failure each open a breaker as one instance with fifty does.

pub(super) mod breaker;
pub(super) mod latency;
pub(super) mod shared;

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use self::breaker::Breaker;
use self::latency::Latency;
use crate::error::Error;
use crate::gradio::failure::Failure;
use crate::gradio::stage::Stage;
use crate::store::milliseconds;

/// Bump on incompatible schema changes.
const VERSION: u32 = 1;
/// Length of the list of recent generation times.
const RECENT: usize = 24;
/// Stands for calls without a token among the tokens' fingerprints.
pub(super) const ANONYMOUS: &str = "anonymous";

/// Health of a Space. Times are since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SpaceHealth {
    version: u32,
    pub(super) latency: Latency,
    pub(super) breaker: Breaker,
    /// End of each exhausted quota, by the token's fingerprint, in milliseconds.
    exhausted: BTreeMap<String, u64>,
    /// Reason of the last rest.
    pub(super) cause: Cause,
    /// Last failure by the Space's fault.
    pub(super) last_error: Option<LastError>,
    /// Generation times of the last jobs, in seconds, the latest last.
    pub(super) recent: Vec<f64>,
    /// Number of jobs that made their images.
    pub(super) successes: u64,
    /// Number of jobs that failed by the Space's fault.
    pub(super) failures: u64,
}

/// A failure in the words that clients see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct LastError {
    pub(super) code: String,
    pub(super) message: String,
    /// In seconds since the Unix epoch.
    pub(super) at: u64,
}

/// Reason for which a Space rests, in a form for the database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Cause {
    /// The Space is overloaded.
    #[default]
    Busy,
    /// The GPU quota is exhausted, or no GPU is free; with the Space's message.
    Quota(String),
    /// The Space isn't running.
    Stage(Stage),
}

/// Outcome of a job at a Space.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SpaceOutcome {
    /// Time, since the Unix epoch.
    pub(super) at: Duration,
    /// Start of the job, since the Unix epoch.
    pub(super) began: Duration,
    pub(super) kind: SpaceOutcomeKind,
}

/// Kind of an outcome.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SpaceOutcomeKind {
    /// The job made its images: units of work, and seconds.
    Made { work: f64, seconds: f64 },
    /// The Space answered correctly, without an image.
    Answered,
    /// The Space failed.
    Failed(Failure),
    /// The Space refused the job, which says nothing about the next one.
    Refused(Failure),
    /// The Space is unusable for this time.
    Rests(Failure, Duration),
    /// The quota of this caller is exhausted for this time.
    Exhausted(Failure, String, Duration),
}

impl Cause {
    /// Reason behind `failure`.
    fn of(failure: &Failure) -> Self {
        match failure {
            Failure::Quota { message, .. } => Self::Quota(message.clone()),
            Failure::NotReady { stage: Some(stage) } => Self::Stage(*stage),
            _ => Self::Busy,
        }
    }

    /// Failure of this reason, with `wait` left.
    pub(super) fn into_failure(self, wait: Duration) -> Failure {
        match self {
            Self::Busy => Failure::Status {
                call: "queue/join",
                status: StatusCode::SERVICE_UNAVAILABLE,
                detail: String::new(),
                retry_after: Some(wait),
            },
            Self::Quota(message) => Failure::Quota { message, retry_after: Some(wait) },
            Self::Stage(stage) => Failure::NotReady { stage: Some(stage) },
        }
    }
}

impl SpaceHealth {
    /// Parses the stored form; none for another version.
    pub(super) fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok().filter(|health: &Self| health.version == VERSION)
    }

    /// Serializes to the stored form.
    pub(super) fn write(&self) -> String {
        serde_json::to_string(&Self { version: VERSION, ..self.clone() }).unwrap_or_default()
    }

    /// Applies an outcome. Returns true where that changes the admission of jobs.
    pub(super) fn apply(&mut self, outcome: &SpaceOutcome) -> bool {
        let SpaceOutcome { at, began, kind } = outcome;
        match kind {
            SpaceOutcomeKind::Made { work, seconds } => {
                self.latency.observe(*seconds, *work, *at);
                self.recent.push(*seconds);
                self.recent.drain(..self.recent.len().saturating_sub(RECENT));
                self.successes += 1;
                self.breaker.succeeded(*at)
            }
            SpaceOutcomeKind::Answered => self.breaker.succeeded(*at),
            SpaceOutcomeKind::Failed(failure) => {
                self.note(failure, *at);
                self.breaker.failed(*at, *began)
            }
            SpaceOutcomeKind::Refused(failure) => {
                self.note(failure, *at);
                false
            }
            SpaceOutcomeKind::Rests(failure, wait) => {
                self.note(failure, *at);
                self.cause = Cause::of(failure);
                self.breaker.rest(*at, *wait);
                true
            }
            SpaceOutcomeKind::Exhausted(failure, caller, wait) => {
                self.note(failure, *at);
                self.cause = Cause::of(failure);
                self.exhausted.retain(|_, until| Duration::from_millis(*until) > *at);
                let until = milliseconds(at.saturating_add(*wait)).unsigned_abs();
                let known = self.exhausted.entry(caller.clone()).or_default();
                *known = until.max(*known);
                true
            }
        }
    }

    /// Counts a failure and keeps its message.
    fn note(&mut self, failure: &Failure, now: Duration) {
        self.failures += 1;
        let error = Error::from(failure.clone());
        let code = error.code.unwrap_or(error.kind).to_owned();
        self.last_error = Some(LastError { code, message: error.message, at: now.as_secs() });
    }

    /// End of the exhaustion of the caller's quota, if it is exhausted.
    pub(super) fn exhausted_until(&self, caller: &str, now: Duration) -> Option<Duration> {
        self.exhausted.get(caller).map(|until| Duration::from_millis(*until)).filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000_000 + seconds)
    }

    fn outcome(seconds: u64, kind: SpaceOutcomeKind) -> SpaceOutcome {
        SpaceOutcome { at: at(seconds), began: at(seconds), kind }
    }

    #[test]
    fn outcomes_add_up_and_survive_being_written() {
        let mut health = SpaceHealth::default();
        assert!(!health.apply(&outcome(0, SpaceOutcomeKind::Made { work: 4.0, seconds: 8.0 })));
        let quota = Failure::Quota { message: "GPU quota".into(), retry_after: None };
        let exhausted = |caller: &str, wait| {
            SpaceOutcomeKind::Exhausted(quota.clone(), caller.to_owned(), Duration::from_secs(wait))
        };
        assert!(health.apply(&outcome(1, exhausted("a", 60))));
        health.apply(&outcome(2, exhausted("a", 10)));
        health.apply(&outcome(2, exhausted(ANONYMOUS, 10)));
        health.apply(&outcome(3, SpaceOutcomeKind::Failed(Failure::Cut)));
        let health = SpaceHealth::read(&health.write()).unwrap();
        assert_eq!((health.latency.known(), health.recent.as_slice()), (Some(2.0), [8.0].as_slice()));
        assert_eq!((health.successes, health.failures), (1, 4));
        assert_eq!(health.exhausted_until("a", at(2)), Some(at(61)));
        assert_eq!(health.exhausted_until(ANONYMOUS, at(2)), Some(at(12)));
        assert_eq!(health.exhausted_until(ANONYMOUS, at(12)), None);
        assert_eq!(health.last_error.unwrap().code, "space_connection_lost");
    }

    #[test]
    fn what_is_kept_in_another_form_is_not_read() {
        for text in ["", "{}", "null", "{\"version\":0}"] {
            assert_eq!(SpaceHealth::read(text), None, "{text}");
        }
    }
}
