//! How many requests one key makes in a minute.
//!
//! The rule is the generic cell rate algorithm (GCRA), a token bucket that is one moment: the theoretical arrival time, `tat`. With
//! a limit of `r` requests in a minute, one is due every `t = 60 s / r`, and at `now` one is let in if
//!
//! ```text
//! max(tat, now) + t ≤ now + 60 s,   and then   tat := max(tat, now) + t
//! ```
//!
//! So after a quiet minute all `r` may come at once, and over any time the rate is kept. `(now + 60 s - tat) / t` more would be let in
//! now, and at `tat` it is as if none had come.
//!
//! An instance lives for seconds, so `tat` lies in the key-value store too. An instance reads it when it first meets the key, goes by its own
//! from then on, and adds what it has let in to the stored one: with the first request at once, with those after it once in a second, beside
//! the requests, which never wait for it. One instance keeps the limit to the letter. Where several run at once, each
//! knows of the others' requests with its next addition, so within that second they may let in more, up to the limit each; and as the store has no
//! adding of its own, what two add in the same moment can count once. An instance that is ended between two additions takes up to a second's
//! requests along. Where the store fails, each instance goes by its own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::platform::Outside;
use crate::trouble::{Log, Trouble};

/// What the limit is for.
const WINDOW: Duration = Duration::from_secs(60);
/// How often it is added to what is stored.
const PAUSE: Duration = Duration::from_secs(1);
/// Below which the moments lie.
const PREFIX: &str = "rate/";

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");

/// The rule for one key.
#[derive(Clone, Copy, Debug)]
struct Rule {
    limit: NonZeroU32,
}

impl Rule {
    /// The time for which one request counts.
    fn interval(self) -> Duration {
        WINDOW / self.limit.get()
    }

    /// Lets a request in at `now`: the next arrival time. Or not: how long it would have to wait.
    fn admit(self, arrival: Duration, now: Duration) -> Result<Duration, Duration> {
        let next = arrival.max(now) + self.interval();
        match next.checked_sub(now + WINDOW) {
            None | Some(Duration::ZERO) => Ok(next),
            Some(wait) => Err(wait),
        }
    }

    /// The arrival time when `count` requests more have come from `since` on.
    fn after(self, arrival: Duration, since: Duration, count: u32) -> Duration {
        arrival.max(since) + self.interval() * count
    }

    /// How many more would be let in at `now`.
    fn remaining(self, arrival: Duration, now: Duration) -> u32 {
        let free = (now + WINDOW).saturating_sub(arrival.max(now));
        let interval = self.interval().as_nanos().max(1);
        u32::try_from(free.as_nanos() / interval).map_or(self.limit.get(), |free| free.min(self.limit.get()))
    }
}

/// How a caller stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many requests a minute may have.
    pub limit: u32,
    /// How many more would be let in now.
    pub remaining: u32,
    /// After which time all would be.
    pub reset: Duration,
    /// How long this request would have to wait; `None` where it is let in.
    pub refused: Option<Duration>,
}

impl Standing {
    /// Tells it in OpenAI's headers.
    pub fn tell(&self, headers: &mut HeaderMap) {
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
    outside: Outside,
    rule: Option<Rule>,
    accounts: RefCell<HashMap<String, Account>>,
    trouble: Trouble,
}

/// What is known of one caller.
#[derive(Clone, Copy, Default)]
struct Account {
    /// Its arrival time, as the store's would be with what hasn't been added yet; since the Unix epoch.
    arrival: Duration,
    /// Requests that haven't been added to the stored arrival time.
    pending: u32,
    /// When the first of them came.
    since: Duration,
    /// Whether a task is at it to add them.
    is_adding: bool,
}

impl Rates {
    /// `limit` requests in a minute; 0 for any number.
    pub fn new(outside: &Outside, limit: u32, log: &Log) -> Rc<Self> {
        Rc::new(Self {
            outside: Rc::clone(outside),
            rule: NonZeroU32::new(limit).map(|limit| Rule { limit }),
            accounts: RefCell::default(),
            trouble: Trouble::new("Requests in a minute are counted by each instance for itself.", log),
        })
    }

    /// How `caller` stands with one request more, if it is of those that count; `None` where there is no limit.
    pub async fn standing(self: &Rc<Self>, caller: &str, counts: bool) -> Option<Standing> {
        let rule = self.rule?;
        if !self.accounts.borrow().contains_key(caller) {
            let arrival = self.stored(caller).await;
            // Another request may have been here meanwhile.
            let mut accounts = self.accounts.borrow_mut();
            let account = accounts.entry(caller.to_owned()).or_default();
            account.arrival = account.arrival.max(arrival);
        }
        let now = self.outside.unix_time();
        let mut accounts = self.accounts.borrow_mut();
        let account = accounts.entry(caller.to_owned()).or_default();
        let mut refused = None;
        if counts {
            match rule.admit(account.arrival, now) {
                Ok(next) => {
                    account.arrival = next;
                    account.since = if account.pending == 0 { now } else { account.since };
                    account.pending += 1;
                }
                Err(wait) => refused = Some(wait),
            }
        }
        if account.pending > 0 && !account.is_adding {
            account.is_adding = true;
            let (this, caller) = (Rc::clone(self), caller.to_owned());
            self.outside.spawn(Box::pin(async move { this.add(rule, &caller).await }));
        }
        let arrival = account.arrival;
        let (remaining, reset) = (rule.remaining(arrival, now), arrival.saturating_sub(now));
        Some(Standing { limit: rule.limit.get(), remaining, reset, refused })
    }

    /// Adds what has been let in to what is stored, until there is nothing to add.
    async fn add(&self, rule: Rule, caller: &str) {
        loop {
            let (since, pending) = {
                let mut accounts = self.accounts.borrow_mut();
                let account = accounts.entry(caller.to_owned()).or_default();
                if account.pending == 0 {
                    account.is_adding = false;
                    return;
                }
                (account.since, std::mem::take(&mut account.pending))
            };
            let arrival = rule.after(self.stored(caller).await, since, pending);
            if let Some(account) = self.accounts.borrow_mut().get_mut(caller) {
                let with_newest = rule.after(arrival, account.since, account.pending);
                account.arrival = account.arrival.max(if account.pending > 0 { with_newest } else { arrival });
            }
            let text = arrival.as_micros().to_string();
            if let Err(error) = self.outside.set(format!("{PREFIX}{caller}"), text.into_bytes()).await {
                self.trouble.tell(&error);
            }
            self.outside.sleep(PAUSE).await;
        }
    }

    /// The stored arrival time, or one long ago.
    async fn stored(&self, caller: &str) -> Duration {
        let text = self.outside.get(format!("{PREFIX}{caller}")).await.unwrap_or_else(|error| {
            self.trouble.tell(&error);
            None
        });
        let micros = text.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok()).unwrap_or(0);
        // A clock that was wrong once must not lock anybody out.
        Duration::from_micros(micros).min(self.outside.unix_time() + WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Platform as _;
    use crate::platform::sim::World;

    const fn rule(limit: u32) -> Rule {
        Rule { limit: NonZeroU32::new(limit).unwrap() }
    }

    #[test]
    fn over_any_time_the_rate_is_kept_whatever_comes() {
        for limit in [1, 3, 7, 60, 999, 100_000] {
            let (rule, world) = (rule(limit), World::new(limit.into()));
            let (mut arrival, mut now, mut admitted) = (Duration::ZERO, Duration::from_secs(1_800_000_000), Vec::new());
            for _ in 0..2000 {
                now += world.random_ms(0, 40_000 / u64::from(limit));
                if let Ok(next) = rule.admit(arrival, now) {
                    arrival = next;
                    admitted.push(now);
                }
            }
            // Of any `limit + k` in a row, the last comes at least k intervals after the first.
            let limit = usize::try_from(limit).unwrap();
            for (first, later) in admitted.iter().zip(admitted.iter().skip(limit)) {
                assert!(*later - *first >= rule.interval(), "limit {limit}");
            }
        }
    }

    #[test]
    fn a_quiet_minute_allows_all_at_once_and_a_refused_one_knows_its_time() {
        let (rule, mut now) = (rule(7), Duration::from_secs(1_800_000_000));
        let mut arrival = Duration::ZERO;
        for left in (0..7).rev() {
            arrival = rule.admit(arrival, now).unwrap();
            assert_eq!(rule.remaining(arrival, now), left);
        }
        let wait = rule.admit(arrival, now).unwrap_err();
        assert_eq!(rule.admit(arrival, now + wait - Duration::from_nanos(1)), Err(Duration::from_nanos(1)));
        now += wait;
        arrival = rule.admit(arrival, now).unwrap();
        assert_eq!(rule.remaining(arrival, now + WINDOW), 7);
    }

    #[test]
    fn times_are_written_as_openai_writes_them() {
        for (millis, text) in [
            (0, "0s"),
            (120, "120ms"),
            (1000, "1s"),
            (8640, "8.64s"),
            (59_005, "59.005s"),
            (60_000, "1m0s"),
            (361_200, "6m1s"),
        ] {
            assert_eq!(shown(Duration::from_millis(millis)), text);
        }
    }

    fn instance(world: &World, limit: u32) -> Rc<Rates> {
        let log: Log = Rc::new({
            let world = world.clone();
            move |message, detail| world.log(&format!("{message} {detail}"))
        });
        Rates::new(&world.outside(), limit, &log)
    }

    fn ask(world: &World, rates: &Rc<Rates>, times: u32) -> u32 {
        let rates = Rc::clone(rates);
        world.run(async move {
            let mut admitted = 0;
            for _ in 0..times {
                let standing = rates.standing("me", true).await.unwrap();
                admitted += u32::from(standing.refused.is_none());
            }
            admitted
        })
    }

    #[test]
    fn what_one_instance_lets_in_the_next_one_knows() {
        let world = World::new(1);
        let first = instance(&world, 10);
        assert_eq!(ask(&world, &first, 4), 4);
        world.pass(Duration::from_millis(1500));
        let second = instance(&world, 10);
        assert_eq!(ask(&world, &second, 20), 6, "and not one more");
        world.pass(Duration::from_secs(6));
        assert_eq!(ask(&world, &instance(&world, 10), 20), 1);
    }

    #[test]
    fn what_two_instances_let_in_at_once_adds_up() {
        let world = World::new(2);
        let (a, b) = (instance(&world, 60), instance(&world, 60));
        for _ in 0..5 {
            assert_eq!(ask(&world, &a, 5) + ask(&world, &b, 5), 10);
            world.pass(Duration::from_secs(1));
        }
        world.pass(Duration::from_secs(2));
        let left = ask(&world, &instance(&world, 60), 60);
        assert!((16..=18).contains(&left), "of 60, 50 were used and some 7 s have gone by: {left}");
    }

    #[test]
    fn without_a_limit_the_store_is_left_alone_and_without_a_store_it_is_still_a_limit() {
        let world = World::new(3);
        let outside = world.outside();
        let unlimited = instance(&world, 0);
        assert_eq!(world.run(async move { unlimited.standing("me", true).await }), None);
        assert_eq!(world.run(async move { outside.keys().await }).unwrap(), [""; 0]);
        world.break_store();
        let limited = instance(&world, 5);
        assert_eq!(ask(&world, &limited, 9), 5);
        world.settle();
        assert_eq!(world.log_lines().len(), 1, "{:?}", world.log_lines());
    }
}
