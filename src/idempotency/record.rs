//! What is kept of requests with a key, in the key-value store.
//!
//! The head of a record lies under the key's digest. It says that the request is being answered, with a lease that is renewed while the
//! instance lives, or how it was answered. The answer's body lies by itself, under a name that begins with the time when it ends: so a head is read and
//! written at little cost, and of bodies that have ended the name alone tells it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::key::{Fingerprint, Key};
use crate::platform::{Outside, StoreError, random_bytes, random_hex};

/// Below which the heads lie.
const HEADS: &str = "idempotency/";
/// Below which the bodies lie.
const BODIES: &str = "idempotency-body/";
/// One of so many answers sweeps.
const SWEEP_ONE_OF: u8 = 32;
/// The most records that one sweep looks at.
const SWEEP_MOST: usize = 200;
/// The form of a head. Another form needs another number.
const VERSION: u32 = 1;

/// The head of a record.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    fingerprint: String,
    /// When it ends, in seconds since the Unix epoch.
    ends: u64,
    state: State,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It is being answered, by that instance.
    Running(String),
    Answered {
        status: u16,
        headers: Vec<(String, String)>,
        /// Where the body lies.
        body: String,
    },
}

/// What the store knows of a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    Nothing,
    /// It came with another request.
    Other,
    /// Its request is being answered by that instance.
    Running(String),
    /// The answer.
    Answered(Answer),
}

/// Looks a key up.
///
/// # Errors
/// Where the store fails.
pub async fn look_up(outside: &Outside, key: &Key, fingerprint: &Fingerprint) -> Result<Known, StoreError> {
    let json = outside.get(name(key)).await?;
    let head = json.and_then(|json| serde_json::from_slice::<Head>(&json).ok());
    let now = outside.unix_time().as_secs();
    let Some(head) = head.filter(|head| head.version == VERSION && head.ends > now) else { return Ok(Known::Nothing) };
    if Fingerprint::kept(&head.fingerprint) != *fingerprint {
        return Ok(Known::Other);
    }
    match head.state {
        State::Running(instance) => Ok(Known::Running(instance)),
        State::Answered { status, headers, body } => {
            let body = outside.get(body).await?;
            let answer = StatusCode::from_u16(status).ok().zip(body).map(|(status, body)| Answer {
                status,
                headers: headers.iter().filter_map(header).collect(),
                body: Bytes::from(body),
            });
            Ok(answer.map_or(Known::Nothing, Known::Answered))
        }
    }
}

/// Says that a request is being answered by `instance`, for so long.
///
/// # Errors
/// Where the store fails.
pub async fn mark(
    outside: &Outside,
    key: &Key,
    fingerprint: &Fingerprint,
    instance: &str,
    lease: Duration,
) -> Result<(), StoreError> {
    put(outside, key, fingerprint, lease, State::Running(instance.to_owned())).await
}

/// Keeps the answer to a request.
///
/// # Errors
/// Where the store fails.
pub async fn keep(
    outside: &Outside,
    key: &Key,
    fingerprint: &Fingerprint,
    answer: &Answer,
    ttl: Duration,
) -> Result<(), StoreError> {
    let ends = outside.unix_time().saturating_add(ttl).as_secs();
    let body = format!("{BODIES}{ends:08x}{}", random_hex::<12>(outside));
    // The body first, as its head leads to it.
    outside.set(body.clone(), answer.body.to_vec()).await?;
    let headers =
        answer.headers.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.into())));
    let state = State::Answered { status: answer.status.as_u16(), headers: headers.collect(), body };
    put(outside, key, fingerprint, ttl, state).await?;
    let [lot] = random_bytes::<1>(outside);
    if lot % SWEEP_ONE_OF == 0 {
        let there = outside.clone();
        outside.spawn(Box::pin(async move { sweep(&there).await }));
    }
    Ok(())
}

/// Forgets that a request was being answered.
///
/// # Errors
/// Where the store fails.
pub async fn forget(outside: &Outside, key: &Key) -> Result<(), StoreError> {
    outside.delete(name(key)).await
}

async fn put(
    outside: &Outside,
    key: &Key,
    fingerprint: &Fingerprint,
    ttl: Duration,
    state: State,
) -> Result<(), StoreError> {
    let ends = outside.unix_time().saturating_add(ttl).as_secs();
    let head = Head { version: VERSION, fingerprint: fingerprint.as_str().to_owned(), ends, state };
    let json = serde_json::to_vec(&head).map_err(|error| StoreError::Failed(error.to_string()))?;
    outside.set(name(key), json).await
}

fn name(key: &Key) -> String {
    format!("{HEADS}{}", key.as_str())
}

fn header((name, value): &(String, String)) -> Option<(HeaderName, HeaderValue)> {
    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
}

/// Deletes what has ended: of the bodies all, of the heads those among some, from a random one on.
async fn sweep(outside: &Outside) {
    let now = outside.unix_time().as_secs();
    let Ok(keys) = outside.keys().await else { return };
    let ended = |name: &str| u64::from_str_radix(name.get(..8).unwrap_or_default(), 16).is_ok_and(|ends| ends <= now);
    for key in keys.iter().filter(|key| key.strip_prefix(BODIES).is_some_and(ended)).take(SWEEP_MOST) {
        // What can't be deleted now can be later.
        let _ = outside.delete(key.clone()).await;
    }
    let heads: Vec<_> = keys.iter().filter(|key| key.starts_with(HEADS)).collect();
    let from = usize::from(u16::from_le_bytes(random_bytes(outside))) % heads.len().max(1);
    let count = heads.len().min(SWEEP_MOST);
    for key in heads.into_iter().cycle().skip(from).take(count) {
        let json = outside.get(key.clone()).await.ok().flatten();
        let head = json.and_then(|json| serde_json::from_slice::<Head>(&json).ok());
        if head.is_some_and(|head| head.ends <= now) {
            let _ = outside.delete(key.clone()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idempotency::key::{Fingerprinting, HEADER};
    use crate::platform::sim::World;
    use http::HeaderMap;
    use http::header::{CONTENT_LENGTH, CONTENT_TYPE};

    fn key(text: &'static str) -> Key {
        let headers = HeaderMap::from_iter([(HEADER, HeaderValue::from_static(text))]);
        Key::of(&headers, "me", "edits").unwrap().unwrap()
    }

    fn fingerprint(text: &str) -> Fingerprint {
        Fingerprinting::new([text.as_bytes()], None).finish()
    }

    #[test]
    fn an_answer_is_kept_for_its_request_until_it_ends() {
        let world = World::new(1);
        let outside = world.outside();
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (CONTENT_LENGTH, HeaderValue::from_static("7")),
        ]);
        let answer = Answer::new(StatusCode::ACCEPTED, &headers, Bytes::from_static(b"\xff{}"));
        assert_eq!(answer.headers.len(), 1);
        let there = outside.clone();
        world.run(async move {
            let (one, other, outside) = (fingerprint("one"), fingerprint("other"), there);
            assert_eq!(look_up(&outside, &key("k"), &one).await, Ok(Known::Nothing));
            mark(&outside, &key("k"), &one, "an instance", Duration::from_secs(30)).await.unwrap();
            assert_eq!(look_up(&outside, &key("k"), &one).await, Ok(Known::Running("an instance".into())));
            assert_eq!(look_up(&outside, &key("k"), &other).await, Ok(Known::Other));
            outside.sleep(Duration::from_secs(31)).await;
            assert_eq!(look_up(&outside, &key("k"), &other).await, Ok(Known::Nothing), "a lease has ended");
            keep(&outside, &key("k"), &one, &answer, Duration::from_secs(60)).await.unwrap();
            assert_eq!(look_up(&outside, &key("k"), &one).await, Ok(Known::Answered(answer)));
            assert_eq!(look_up(&outside, &key("k"), &other).await, Ok(Known::Other));
            assert_eq!(look_up(&outside, &key("l"), &one).await, Ok(Known::Nothing));
        });
        world.pass(Duration::from_secs(61));
        let there = outside.clone();
        let left = world.run(async move {
            assert_eq!(look_up(&there, &key("k"), &fingerprint("one")).await, Ok(Known::Nothing));
            mark(&there, &key("m"), &fingerprint("one"), "an instance", Duration::from_secs(30)).await.unwrap();
            there.set("other".into(), vec![]).await.unwrap();
            sweep(&there).await;
            there.keys().await.unwrap()
        });
        assert_eq!(left, [name(&key("m")), "other".to_owned()]);
    }
}
