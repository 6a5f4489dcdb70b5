//! A Space's condition, as far as it outlives the instance that found it out.
//!
//! An instance lives for seconds and there may be many, so what they find out of a Space is kept in the key-value store, about 500 bytes for each Space. A
//! new instance reads it before its first choice; one that lives on reads it again now and then; changes are written some
//! seconds after they happen, those of a breaker at once. Reading merges: of speed and breaker, what has changed last holds, quotas add up, counts go on
//! from what is kept. Two instances that write in the same moment may lose a count or a sample. Nothing but good guesses depends on them.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::breaker::Breaker;
use super::latency::Latency;
use crate::error::Error;
use crate::gradio::failure::Failure;
use crate::gradio::space::Origin;
use crate::gradio::stage::Stage;

/// What is kept has this form. Another form needs another number.
const VERSION: u32 = 1;
/// How many of the last generation times are kept.
const RECENT: usize = 24;

/// A Space's condition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Condition {
    version: u32,
    pub(super) latency: Latency,
    pub(super) breaker: Breaker,
    /// The tokens whose quota is used up, by their fingerprints, and until when, in seconds since the Unix epoch.
    exhausted: BTreeMap<String, u64>,
    /// Why it rests, if it does.
    pub(super) cause: Cause,
    /// The last failure that was the Space's.
    pub(super) last_error: Option<LastError>,
    /// How long the last images took to make, in seconds, the latest last.
    pub(super) recent: Vec<f64>,
    /// Images jobs that went well.
    pub(super) successes: u64,
    /// Jobs that failed by the Space's fault.
    pub(super) failures: u64,
}

/// A failure, as it is told to clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct LastError {
    pub(super) code: String,
    pub(super) message: String,
    /// In seconds since the Unix epoch.
    pub(super) at: u64,
}

/// Why a Space rests, in a form that can be kept.
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

impl Cause {
    /// What lies behind `failure`.
    pub(super) fn of(failure: &Failure) -> Self {
        match failure {
            Failure::Quota { message, .. } => Self::Quota(message.clone()),
            Failure::NotReady { stage: Some(stage) } => Self::Stage(*stage),
            _ => Self::Busy,
        }
    }

    /// As the failure that it was, with `wait` left of it.
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

/// What has been counted since the last time that it was kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Uncounted {
    pub(super) successes: u64,
    pub(super) failures: u64,
}

/// Where the condition of the Space at `origin` lies in the store.
pub(super) fn key(origin: &Origin) -> String {
    let digest = Sha256::digest(origin.to_string());
    let hex: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("space-health/{hex}")
}

impl Condition {
    /// Reads what is kept.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().filter(|condition: &Self| condition.version == VERSION)
    }

    /// What is to be kept.
    pub(super) fn write(&self) -> Vec<u8> {
        serde_json::to_vec(&Self { version: VERSION, ..self.clone() }).unwrap_or_default()
    }

    /// This, and what another instance has `kept`; `uncounted` is what isn't in there yet.
    pub(super) fn merge(&mut self, kept: Self, uncounted: Uncounted) {
        let Self { latency, breaker, exhausted, cause, last_error, recent, successes, failures, .. } = kept;
        if self.latency.newer(latency) != self.latency {
            (self.latency, self.recent) = (latency, recent);
        }
        if breaker.is_newer(&self.breaker) {
            (self.breaker, self.cause) = (breaker, cause);
        }
        for (token, until) in exhausted {
            let known = self.exhausted.entry(token).or_default();
            *known = until.max(*known);
        }
        let at = |error: &Option<LastError>| error.as_ref().map_or(0, |error| error.at);
        if at(&last_error) > at(&self.last_error) {
            self.last_error = last_error;
        }
        self.successes = successes.saturating_add(uncounted.successes);
        self.failures = failures.saturating_add(uncounted.failures);
    }

    /// A job made its images in `seconds`. Returns whether that changes what is admitted.
    pub(super) fn succeeded(&mut self, seconds: f64, work: f64, now: Duration) -> bool {
        self.latency.observe(seconds, work, now);
        self.recent.push(seconds);
        let surplus = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..surplus);
        self.successes = self.successes.saturating_add(1);
        self.breaker.succeeded(now)
    }

    /// A job failed by the Space's fault.
    pub(super) fn note(&mut self, failure: &Failure, now: Duration) {
        let error = Error::from(failure.clone());
        let code = error.code.unwrap_or("unknown").to_owned();
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some(LastError { code, message: error.message, at: now.as_secs() });
    }

    /// The quota of that token is used up for `wait`.
    pub(super) fn exhaust(&mut self, token: &str, now: Duration, wait: Duration) {
        self.exhausted.retain(|_, until| *until > now.as_secs());
        self.exhausted.insert(token.to_owned(), now.saturating_add(wait).as_secs());
    }

    /// Until when that token's quota is used up, if it is.
    pub(super) fn exhausted_until(&self, token: &str, now: Duration) -> Option<Duration> {
        self.exhausted.get(token).map(|until| Duration::from_secs(*until)).filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_instances_know_comes_together() {
        let now = Duration::from_secs(1_000_000);
        let later = now + Duration::from_secs(5);
        let (mut mine, mut theirs) = (Condition::default(), Condition::default());
        mine.succeeded(4.0, 1.0, now);
        mine.exhaust("a", now, Duration::from_secs(60));
        theirs.succeeded(8.0, 1.0, later);
        theirs.exhaust("a", later, Duration::from_secs(10));
        theirs.exhaust("b", later, Duration::from_secs(10));
        theirs.breaker.rest(later, Duration::from_secs(30));
        theirs.note(&Failure::Cut, later);
        let kept = Condition::read(&theirs.write()).unwrap();
        mine.merge(kept, Uncounted { successes: 1, failures: 0 });
        assert_eq!((mine.latency.known(), mine.recent.as_slice()), (Some(8.0), [8.0].as_slice()));
        assert_eq!(mine.breaker, theirs.breaker);
        assert_eq!(mine.exhausted_until("a", now), Some(now + Duration::from_secs(60)));
        assert_eq!(mine.exhausted_until("b", now), Some(later + Duration::from_secs(10)));
        assert_eq!(mine.exhausted_until("b", later + Duration::from_secs(10)), None);
        assert_eq!((mine.successes, mine.failures), (2, 1));
        assert_eq!(mine.last_error.unwrap().code, "space_connection_lost");
    }

    #[test]
    fn what_is_kept_in_another_form_is_not_read() {
        for text in ["", "{}", "null", "{\"version\":0}"] {
            assert_eq!(Condition::read(text.as_bytes()), None, "{text}");
        }
    }
}
