//! Computing of instances, and the end of those that do nothing else.
//!
//! A component that waits, for a clock, the network or its client, gives its thread back, and its requests go on side
//! by side. One that computes doesn't: the epoch interrupts it every 10 ms so that other instances have their turn, but
//! within the instance nothing else goes on, and no time limit of the component's own can. So each interruption is
//! counted until the instance waits, and one that has had too many is ended. The log says which requests were in it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::HeaderMap;

use crate::admission::Permit;

/// The most characters of a header or a path that are written into the log.
const MAX_SHOWN: usize = 200;
/// The longest part of a path that is written into the log: a longer one may be a secret, such as a link's token.
const MAX_SEGMENT: usize = 40;

/// Interruptions of an instance since it last waited.
#[derive(Debug, Default)]
pub(crate) struct Computing {
    interruptions: AtomicU64,
    /// Set by an interruption, until the instance has gone on.
    is_interrupted: AtomicBool,
    /// Set once the instance has given its thread back, until a request begins.
    has_given_back: AtomicBool,
}

impl Computing {
    /// Notes an interruption, and returns the number since the instance last waited.
    pub(crate) fn interrupt(&self) -> u64 {
        self.is_interrupted.store(true, Ordering::Relaxed);
        self.interruptions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes that the instance has given its thread back: it waits, unless it was interrupted.
    pub(crate) fn give_back(&self) {
        if !self.is_interrupted.swap(false, Ordering::Relaxed) {
            self.interruptions.store(0, Ordering::Relaxed);
        }
        self.has_given_back.store(true, Ordering::Relaxed);
    }

    /// Notes that a request begins.
    pub(crate) fn begin(&self) {
        self.has_given_back.store(false, Ordering::Relaxed);
    }

    /// True once the instance has given its thread back since the last request began.
    pub(crate) fn has_given_back(&self) -> bool {
        self.has_given_back.load(Ordering::Relaxed)
    }
}

/// Load of an instance by which another one is started beside it: its requests wait for it, not it for them.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Time from a request's arrival to its beginning, in microseconds: the average of the last ones.
    delay: AtomicU64,
}

/// Delay of requests from which on an instance is said to be busy.
const BUSY: Duration = Duration::from_micros(300);

impl Load {
    /// Notes that a request begins after that time.
    pub(crate) fn note(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX).min(1_000_000);
        let before = self.delay.load(Ordering::Relaxed);
        self.delay.store((before * 7 + delay) / 8, Ordering::Relaxed);
    }

    /// True where its requests wait for it.
    pub(crate) fn is_busy(&self) -> bool {
        u128::from(self.delay.load(Ordering::Relaxed)) > BUSY.as_micros()
    }
}

/// Failure of an instance that computed for too long.
#[derive(Debug)]
pub(crate) struct Endless(pub(crate) Duration);

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it computed for {} s without a pause (--max-compute)", self.0.as_secs_f64())
    }
}

impl std::error::Error for Endless {}

/// A request that an instance answers.
#[derive(Debug)]
pub(crate) struct RunningRequest {
    method: String,
    /// Path without the query and without what else may be a secret.
    path: String,
    /// The client's id.
    id: Option<String>,
    /// The component's id, from its answer's head.
    given_id: OnceLock<String>,
    begun: Instant,
    /// Permit to begin.
    pub(crate) permit: Permit,
}

impl RunningRequest {
    /// A request that begins now.
    #[allow(clippy::disallowed_methods, reason = "the host is what time comes from")]
    pub(crate) fn new<B>(request: &http::Request<B>) -> Arc<Self> {
        Arc::new(Self {
            method: shown(request.method().as_str()),
            path: shown(&open_part(request.uri().path())),
            id: id_of(request.headers()),
            given_id: OnceLock::new(),
            begun: Instant::now(),
            permit: Permit::default(),
        })
    }

    /// Time since it came.
    pub(crate) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Notes the head of the answer.
    pub(crate) fn answered(&self, headers: &HeaderMap) {
        if let Some(id) = id_of(headers) {
            let _ = self.given_id.set(id);
        }
    }
}

fn id_of(headers: &HeaderMap) -> Option<String> {
    headers.get("x-request-id").and_then(|id| id.to_str().ok()).map(shown)
}

/// Path without what may be secret.
fn open_part(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.len() > MAX_SEGMENT { "..." } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Text from outside, for a line of the log.
fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).flat_map(char::escape_default).collect()
}

impl fmt::Display for RunningRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({:.1} s", self.method, self.path, self.age().as_secs_f64())?;
        if let Some(id) = self.given_id.get().or(self.id.as_ref()) {
            write!(f, ", {id}")?;
        }
        f.write_str(")")
    }
}

/// Requests of an instance whose answers haven't ended.
#[derive(Debug, Default)]
pub(crate) struct RunningRequests(Mutex<Vec<Weak<RunningRequest>>>);

impl RunningRequests {
    /// Adds a request, which is there until it is dropped elsewhere.
    pub(crate) fn add(&self, request: &Arc<RunningRequest>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(request));
    }
}

impl fmt::Display for RunningRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<String> = all.iter().filter_map(Weak::upgrade).map(|one| one.to_string()).collect();
        f.write_str(if all.is_empty() { "no request" } else { "" })?;
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interruptions_count_until_the_instance_waits() {
        let computing = Computing::default();
        for count in 1..=3 {
            assert_eq!(computing.interrupt(), count);
            // It has given its thread back because it was interrupted.
            computing.give_back();
        }
        computing.give_back();
        assert_eq!(computing.interrupt(), 1);
    }

    #[test]
    fn an_instance_is_busy_while_its_requests_wait_for_it() {
        let load = Load::default();
        load.note(BUSY * 2);
        assert!(!load.is_busy(), "one may be late");
        (0..8).for_each(|_| load.note(BUSY * 2));
        assert!(load.is_busy());
        (0..8).for_each(|_| load.note(BUSY / 8));
        assert!(!load.is_busy());
    }

    #[test]
    fn requests_are_shown_without_secrets_until_they_end() {
        let all = RunningRequests::default();
        let path = format!("/v1/images/files/{}?token=secret", "t".repeat(100));
        let request = http::Request::get(path).header("x-request-id", "mine").body(()).unwrap();
        let request = RunningRequest::new(&request);
        all.add(&request);
        let text = all.to_string();
        assert!(text.starts_with("GET /v1/images/files/... (0.") && text.ends_with(" s, mine)"), "{text}");
        request.answered(&HeaderMap::from_iter([(
            http::HeaderName::from_static("x-request-id"),
            http::HeaderValue::from_static("req_1"),
        )]));
        assert!(all.to_string().ends_with(" s, req_1)"));
        drop(request);
        assert_eq!(all.to_string(), "no request");
    }
}
