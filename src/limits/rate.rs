//! Limit of a key's requests per minute, over all instances.
//!
//! The rule is the generic cell rate algorithm (GCRA), a token bucket whose state is one time: the theoretical arrival
//! time, `tat`. With a limit of `r` requests per minute, the interval is `t = 60 s / r`, and a request at `now` is
//! admitted if
//!
//! ```text
//! max(tat, now) + t ≤ now + r · t,   and then   tat := max(tat, now) + t
//! ```
//!
//! So bursts of `r` are possible after a quiet minute, and the long-term rate holds. `(now + r · t - tat) / t` requests
//! remain at `now`; the limit is fully reset at `tat`.
//!
//! `tat` is stored in the database, in microseconds, and updated by one conditional upsert that a request waits for. So
//! the limit is exact over all instances, up to clock differences of two seconds. A refused or uncounted request reads
//! `tat`. While the database fails, each instance uses the last `tat` that it has seen.

use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::platform::StoreError;
use crate::store::Store;
use crate::store::row::Columns;
use crate::store::statement::Parameter;
use crate::store::statements::limits;

/// Window of the limit, in microseconds.
const WINDOW: u32 = 60_000_000;
/// Tolerance of stored arrival times for clock differences.
const SKEW: Duration = Duration::from_secs(5);

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");

/// Rule for one key.
#[derive(Clone, Copy, Debug)]
struct Rule {
    limit: NonZeroU32,
}

impl Rule {
    /// Interval of one request.
    fn interval(self) -> Duration {
        Duration::from_micros(WINDOW.div_ceil(self.limit.get()).into())
    }

    /// Interval of a full burst: a minute.
    fn window(self) -> Duration {
        self.interval() * self.limit.get()
    }

    /// Next arrival time for a request that is admitted at `now`.
    ///
    /// # Errors
    /// Time until it would be admitted.
    fn admit(self, arrival: Duration, now: Duration) -> Result<Duration, Duration> {
        let next = arrival.max(now) + self.interval();
        match next.checked_sub(now + self.window()) {
            None | Some(Duration::ZERO) => Ok(next),
            Some(wait) => Err(wait),
        }
    }

    /// Number of requests that would be admitted at `now`.
    fn remaining(self, arrival: Duration, now: Duration) -> u32 {
        let free = (now + self.window()).saturating_sub(arrival.max(now));
        let interval = self.interval().as_micros().max(1);
        u32::try_from(free.as_micros() / interval).map_or(self.limit.get(), |free| free.min(self.limit.get()))
    }

    fn standing(self, arrival: Duration, now: Duration, refused: Option<Duration>) -> Standing {
        let (remaining, reset) = (self.remaining(arrival, now), arrival.saturating_sub(now));
        Standing { limit: self.limit.get(), remaining, reset, refused }
    }
}

/// Standing of a caller against the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Number of requests per minute.
    pub limit: u32,
    /// Number of requests that would be admitted now.
    pub remaining: u32,
    /// Time until a full burst would be admitted.
    pub reset: Duration,
    /// Time until this request would be admitted; `None` for an admitted one.
    pub refused: Option<Duration>,
}

impl Standing {
    /// Adds the rate limit headers of OpenAI.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        if let Ok(reset) = HeaderValue::from_str(&shown(self.reset)) {
            headers.insert(RESET, reset);
        }
    }
}

/// Time in the format of OpenAI: `120ms`, `8.64s`, `1m0s`.
fn shown(time: Duration) -> String {
    let (minutes, rest) = (time.as_secs() / 60, time.as_secs() % 60);
    match (minutes, rest, time.subsec_millis()) {
        (0, 0, 0) => "0s".to_owned(),
        (0, 0, millis) => format!("{millis}ms"),
        (0, seconds, 0) => format!("{seconds}s"),
        (0, seconds, millis) => format!("{seconds}.{}s", format!("{millis:03}").trim_end_matches('0')),
        (minutes, seconds, _) => format!("{minutes}m{seconds}s"),
    }
}

/// Rate limiter of all callers.
pub struct Rates {
    store: Store,
    rule: Option<Rule>,
    /// Last seen arrival times, since the Unix epoch.
    seen: RefCell<HashMap<String, Duration>>,
}

impl Rates {
    /// A limiter of `limit` requests per minute; 0 for no limit.
    pub fn new(store: &Store, limit: u32) -> Self {
        let rule = NonZeroU32::new(limit).map(|limit| Rule { limit });
        Self { store: store.clone(), rule, seen: RefCell::default() }
    }

    /// Standing of `caller` after this request, which is counted if `counts`; `None` without a limit.
    pub async fn standing(&self, caller: &str, counts: bool) -> Option<Standing> {
        let rule = self.rule?;
        let now = self.store.host().unix_time();
        let outcome = if counts { self.admit(rule, caller, now).await } else { self.read(caller).await.map(Err) };
        let (arrival, refused) = match outcome {
            Ok(Ok(arrival)) => (arrival, None),
            Ok(Err(arrival)) if counts => {
                // The time since the refusal may suffice by now; the client still waits a moment.
                let wait = rule.admit(arrival, now).err().unwrap_or(Duration::from_millis(1));
                (arrival, Some(wait))
            }
            Ok(Err(arrival)) => (arrival, None),
            Err(_) => return Some(self.standing_here(rule, caller, counts, now)),
        };
        self.seen.borrow_mut().insert(caller.to_owned(), arrival);
        Some(rule.standing(arrival, now, refused))
    }

    /// Counts an admitted request. Returns the new arrival time, or as an error the one that refuses it.
    async fn admit(&self, rule: Rule, caller: &str, now: Duration) -> Result<Result<Duration, Duration>, StoreError> {
        let (interval, window) = (rule.interval(), rule.window());
        let time = |name: &'static str, time: Duration| -> Parameter { (name, micros(time).into()) };
        let parameters = vec![
            ("owner", caller.into()),
            time("first", now + interval),
            time("now", now),
            time("interval", interval),
            time("latest", (now + window).saturating_sub(interval)),
            time("beyond", now + window + SKEW),
        ];
        match self.store.first(&limits::ADMIT, parameters).await? {
            Some(row) => Columns::of(row).integer().map(|micros| Ok(duration(micros))),
            None => self.read(caller).await.map(Err),
        }
    }

    /// Stored arrival time, or the epoch.
    async fn read(&self, caller: &str) -> Result<Duration, StoreError> {
        let row = self.store.first(&limits::READ, vec![("owner", caller.into())]).await?;
        row.map_or(Ok(Duration::ZERO), |row| Columns::of(row).integer().map(duration))
    }

    /// Standing of a caller by the knowledge of this instance.
    fn standing_here(&self, rule: Rule, caller: &str, counts: bool, now: Duration) -> Standing {
        let mut seen = self.seen.borrow_mut();
        let arrival = seen.entry(caller.to_owned()).or_default();
        let refused = match rule.admit(*arrival, now) {
            Ok(next) if counts => {
                *arrival = next;
                None
            }
            Err(wait) if counts => Some(wait),
            _ => None,
        };
        rule.standing(*arrival, now, refused)
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests;
