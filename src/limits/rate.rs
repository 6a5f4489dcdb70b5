//! Requests of one key in a minute, over all instances.
//!
//! The rule is the generic cell rate algorithm (GCRA), a token bucket that is one moment: the theoretical arrival time,
//! `tat`. With a limit of `r` requests in a minute, one is due every `t = 60 s / r`, and at `now` one is let in if
//!
//! ```text
//! max(tat, now) + t ≤ now + r · t,   and then   tat := max(tat, now) + t
//! ```
//!
//! So after a quiet minute all `r` may come at once, and over any time the rate is kept. `(now + r · t - tat) / t` more
//! would be let in now, and at `tat` it is as if none had come.
//!
//! `tat` lies in the database, in microseconds, and one conditional upsert does both: it is waited for, and so all
//! instances together keep the limit to the letter, by their clocks, which may differ by two seconds. A request that is
//! refused, or that doesn't count, reads `tat`. Where the database fails, each instance goes by what it has seen
//! itself.

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

/// Time that the limit is for, in microseconds.
const WINDOW: u32 = 60_000_000;
/// Time by which an arrival time can lie further ahead than its rule allows, as machines' clocks differ.
const SKEW: Duration = Duration::from_secs(5);

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");

/// The rule for one key.
#[derive(Clone, Copy, Debug)]
struct Rule {
    limit: NonZeroU32,
}

impl Rule {
    /// Time that one request counts for.
    fn interval(self) -> Duration {
        Duration::from_micros(WINDOW.div_ceil(self.limit.get()).into())
    }

    /// Time that as many requests count for as may come at once: a minute.
    fn window(self) -> Duration {
        self.interval() * self.limit.get()
    }

    /// The next arrival time where a request is let in at `now`, or else how long it would have to wait.
    fn admit(self, arrival: Duration, now: Duration) -> Result<Duration, Duration> {
        let next = arrival.max(now) + self.interval();
        match next.checked_sub(now + self.window()) {
            None | Some(Duration::ZERO) => Ok(next),
            Some(wait) => Err(wait),
        }
    }

    /// Number of requests that would be let in at `now`.
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

/// Standing of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Number of requests that a minute may have.
    pub limit: u32,
    /// Number of requests that would be let in now.
    pub remaining: u32,
    /// Time after which all would be.
    pub reset: Duration,
    /// Time that this request would have to wait; `None` where it is let in.
    pub refused: Option<Duration>,
}

impl Standing {
    /// Writes it in OpenAI's headers.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        if let Ok(reset) = HeaderValue::from_str(&shown(self.reset)) {
            headers.insert(RESET, reset);
        }
    }
}

/// As OpenAI writes times: `120ms`, `8.64s`, `1m0s`.
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

/// The requests of all callers.
pub struct Rates {
    store: Store,
    rule: Option<Rule>,
    /// Arrival times as this instance has seen them, since the Unix epoch.
    seen: RefCell<HashMap<String, Duration>>,
}

impl Rates {
    /// `limit` requests in a minute; 0 for any number.
    pub fn new(store: &Store, limit: u32) -> Self {
        let rule = NonZeroU32::new(limit).map(|limit| Rule { limit });
        Self { store: store.clone(), rule, seen: RefCell::default() }
    }

    /// How `caller` stands with one request more, if it is of those that count; `None` where there is no limit.
    pub async fn standing(&self, caller: &str, counts: bool) -> Option<Standing> {
        let rule = self.rule?;
        let now = self.store.host().unix_time();
        let outcome = if counts { self.admit(rule, caller, now).await } else { self.read(caller).await.map(Err) };
        let (arrival, refused) = match outcome {
            Ok(Ok(arrival)) => (arrival, None),
            Ok(Err(arrival)) if counts => {
                // What has gone by since it was refused helps the next one.
                let wait = rule.admit(arrival, now).err().unwrap_or(Duration::from_millis(1));
                (arrival, Some(wait))
            }
            Ok(Err(arrival)) => (arrival, None),
            Err(_) => return Some(self.standing_here(rule, caller, counts, now)),
        };
        self.seen.borrow_mut().insert(caller.to_owned(), arrival);
        Some(rule.standing(arrival, now, refused))
    }

    /// Counts a request, if it is let in; the arrival time after it, or the one that it is refused for.
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

    /// The stored arrival time, or one long ago.
    async fn read(&self, caller: &str) -> Result<Duration, StoreError> {
        let row = self.store.first(&limits::READ, vec![("owner", caller.into())]).await?;
        row.map_or(Ok(Duration::ZERO), |row| Columns::of(row).integer().map(duration))
    }

    /// How a caller stands as far as this instance knows.
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
