//! A Space's health, as all instances have seen it.
//!
//! Instances tell what happened at a Space as [`Outcome`]s. What comes of all of them is one value in the database,
//! [`SpaceHealth`], which an instance changes by applying its outcomes to what is there and writing the result where
//! nobody else has written meanwhile ([`shared`]). So fifty instances with one failure each open a breaker as one
//! instance with fifty does.

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
/// Number of generation times that are kept.
const RECENT: usize = 24;
/// Name of those who call without a token, among the tokens' fingerprints.
pub(super) const ANONYMOUS: &str = "anonymous";

/// Health of a Space. Times are since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SpaceHealth {
    version: u32,
    pub(super) latency: Latency,
    pub(super) breaker: Breaker,
    /// Callers whose quota is used up, by their tokens' fingerprints, and until when, in milliseconds.
    exhausted: BTreeMap<String, u64>,
    /// Reason for which it rests, if it does.
    pub(super) cause: Cause,
    /// Last failure that was the Space's.
    pub(super) last_error: Option<LastError>,
    /// Generation times of the last jobs, in seconds, the latest last.
    pub(super) recent: Vec<f64>,
    /// Jobs that made their images.
    pub(super) successes: u64,
    /// Jobs that failed by the Space's fault.
    pub(super) failures: u64,
}

/// A failure, as clients are told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct LastError {
    pub(super) code: String,
    pub(super) message: String,
    /// In seconds since the Unix epoch.
    pub(super) at: u64,
}

/// Reason for which a Space rests, in a form that can be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Cause {
    /// It has too much to do.
    #[default]
    Busy,
    /// The GPU quota is used up, or no GPU is free, in the Space's words.
    Quota(String),
    /// It doesn't run.
    Stage(Stage),
}

/// Event at a Space.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    /// When, since the Unix epoch.
    pub(super) at: Duration,
    /// When the job began that it happened to.
    pub(super) began: Duration,
    pub(super) kind: OutcomeKind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum OutcomeKind {
    /// A job made its images: so many units of work, in so many seconds.
    Made { work: f64, seconds: f64 },
    /// It answered as it should, without an image.
    Answered,
    /// It failed.
    Failed(Failure),
    /// It refused, which says nothing of the next job.
    Refused(Failure),
    /// It has said that it is of no use for that long.
    Rests(Failure, Duration),
    /// It has said that it is of no use to that caller for that long.
    Exhausted(Failure, String, Duration),
}

impl Cause {
    /// The reason behind `failure`.
    fn of(failure: &Failure) -> Self {
        match failure {
            Failure::Quota { message, .. } => Self::Quota(message.clone()),
            Failure::NotReady { stage: Some(stage) } => Self::Stage(*stage),
            _ => Self::Busy,
        }
    }

    /// The failure that it was, with `wait` left of it.
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
    /// Reads what the database has; what is of another version is none.
    pub(super) fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok().filter(|health: &Self| health.version == VERSION)
    }

    /// Writes it as the database has it.
    pub(super) fn write(&self) -> String {
        serde_json::to_string(&Self { version: VERSION, ..self.clone() }).unwrap_or_default()
    }

    /// Takes in what happened. Returns whether that changes which jobs may go there.
    pub(super) fn apply(&mut self, outcome: &Outcome) -> bool {
        let Outcome { at, began, kind } = outcome;
        match kind {
            OutcomeKind::Made { work, seconds } => {
                self.latency.observe(*seconds, *work, *at);
                self.recent.push(*seconds);
                self.recent.drain(..self.recent.len().saturating_sub(RECENT));
                self.successes += 1;
                self.breaker.succeeded(*at)
            }
            OutcomeKind::Answered => self.breaker.succeeded(*at),
            OutcomeKind::Failed(failure) => {
                self.note(failure, *at);
                self.breaker.failed(*at, *began)
            }
            OutcomeKind::Refused(failure) => {
                self.note(failure, *at);
                false
            }
            OutcomeKind::Rests(failure, wait) => {
                self.note(failure, *at);
                self.cause = Cause::of(failure);
                self.breaker.rest(*at, *wait);
                true
            }
            OutcomeKind::Exhausted(failure, caller, wait) => {
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

    /// Remembers a failure for people.
    fn note(&mut self, failure: &Failure, now: Duration) {
        self.failures += 1;
        let error = Error::from(failure.clone());
        let code = error.code.unwrap_or(error.kind).to_owned();
        self.last_error = Some(LastError { code, message: error.message, at: now.as_secs() });
    }

    /// The end of the time for which that caller's quota is used up, if it is.
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

    fn outcome(seconds: u64, kind: OutcomeKind) -> Outcome {
        Outcome { at: at(seconds), began: at(seconds), kind }
    }

    #[test]
    fn outcomes_add_up_and_survive_being_written() {
        let mut health = SpaceHealth::default();
        assert!(!health.apply(&outcome(0, OutcomeKind::Made { work: 4.0, seconds: 8.0 })));
        let quota = Failure::Quota { message: "GPU quota".into(), retry_after: None };
        let exhausted =
            |caller: &str, wait| OutcomeKind::Exhausted(quota.clone(), caller.to_owned(), Duration::from_secs(wait));
        assert!(health.apply(&outcome(1, exhausted("a", 60))));
        health.apply(&outcome(2, exhausted("a", 10)));
        health.apply(&outcome(2, exhausted(ANONYMOUS, 10)));
        health.apply(&outcome(3, OutcomeKind::Failed(Failure::Cut)));
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
