//! Rows of requests with a key (`store/schema/idempotency.rs`).
//!
//! A row holds either the mark of a request in flight, a lease that its instance renews, or the response. Each change
//! is one conditional statement, so that exactly one of concurrent requests leads.

use std::time::Duration;

use super::key::{Fingerprint, IdempotencyKey};
use super::stored_response::StoredResponse;
use crate::platform::{StoreError, Value};
use crate::store::lease::{TTL, expiry, free_before};
use crate::store::row::Columns;
use crate::store::statement::{Argument, Parameter};
use crate::store::statements::idempotency;
use crate::store::{Store, integer};

/// Mark of a request in flight on this instance.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Key of the request.
    pub key: IdempotencyKey,
    /// Fingerprint of the request.
    pub fingerprint: Fingerprint,
    /// Number of the flight, unique within the instance.
    pub number: i64,
}

/// Result of a look-up of a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    /// No row.
    Nothing,
    /// Row of another request with the same key.
    Other,
    /// In flight on another instance.
    Running,
    /// In flight on another instance, with a streaming response.
    Streaming,
    /// Stored response.
    Answered(StoredResponse),
}

/// State of a key, without its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// In flight.
    Running,
    /// In flight, with a streaming response.
    Streaming,
    /// With a stored response.
    Answered,
}

impl KeyState {
    fn of(status: i64) -> Self {
        match status {
            0 => Self::Running,
            ..0 => Self::Streaming,
            _ => Self::Answered,
        }
    }
}

/// Marks a request as in flight. Returns true where it leads.
///
/// # Errors
/// Failures of the store.
pub async fn begin(store: &Store, mark: &Mark) -> Result<bool, StoreError> {
    let mut parameters = of(store, mark);
    parameters.extend(clock(store));
    parameters.extend([
        ("fingerprint", mark.fingerprint.as_str().into()),
        ("expires", expiry(store.host().unix_time(), TTL).into()),
        ("body", Vec::new().into()),
    ]);
    Ok(store.first(&idempotency::BEGIN, parameters).await?.is_some())
}

/// Looks a key up.
///
/// # Errors
/// Failures of the store.
pub async fn look_up(store: &Store, key: &IdempotencyKey, fingerprint: &Fingerprint) -> Result<Known, StoreError> {
    let mut parameters = clock(store);
    parameters.push(("id", key.as_str().into()));
    let Some(row) = store.first(&idempotency::READ, parameters).await? else { return Ok(Known::Nothing) };
    let mut row = Columns::of(row);
    let (kept, status, head, body) = (row.text()?, row.integer()?, row.text()?, row.blob()?);
    if Fingerprint::kept(&kept) != *fingerprint {
        return Ok(Known::Other);
    }
    Ok(match KeyState::of(status) {
        KeyState::Running => Known::Running,
        KeyState::Streaming => Known::Streaming,
        KeyState::Answered => Known::Answered(
            StoredResponse::of_row(status, &head, body)
                .ok_or_else(|| StoreError::Failed("a kept answer is unreadable".to_owned()))?,
        ),
    })
}

/// States of those `keys` that have a row.
///
/// # Errors
/// Failures of the store.
pub async fn states(store: &Store, keys: &[IdempotencyKey]) -> Result<Vec<(String, KeyState)>, StoreError> {
    let mut parameters = clock(store);
    parameters.push(("ids", Argument::list(keys.iter().map(IdempotencyKey::as_str))));
    let rows = store.query(&idempotency::STATES, parameters).await?;
    let state = |row| {
        let mut row = Columns::of(row);
        Ok((row.text()?, KeyState::of(row.integer()?)))
    };
    rows.into_iter().map(state).collect()
}

/// Renews the marks of this instance for `keys`.
///
/// # Errors
/// Failures of the store.
pub async fn renew(store: &Store, keys: impl IntoIterator<Item = &IdempotencyKey>) -> Result<(), StoreError> {
    let parameters = vec![
        ("ids", Argument::list(keys.into_iter().map(IdempotencyKey::as_str))),
        ("holder", store.instance().into()),
        ("expires", expiry(store.host().unix_time(), TTL).into()),
    ];
    store.query(&idempotency::RENEW, parameters).await.map(drop)
}

/// Marks a response as a stream, in the background.
pub fn stream(store: &Store, mark: &Mark) {
    store.spawn(&idempotency::STREAM, of(store, mark));
}

/// Stores a response for `ttl`, unless another instance leads by now.
///
/// # Errors
/// Failures of the store.
pub async fn keep(store: &Store, mark: &Mark, answer: &StoredResponse, ttl: Duration) -> Result<(), StoreError> {
    let mut parameters = of(store, mark);
    parameters.extend([
        ("fingerprint", mark.fingerprint.as_str().into()),
        ("status", integer(answer.status.as_u16()).into()),
        ("expires", expiry(store.host().unix_time(), ttl).into()),
        ("head", answer.head().map_err(|error| StoreError::Failed(error.to_string()))?.into()),
        ("body", answer.body.to_vec().into()),
    ]);
    store.query(&idempotency::KEEP, parameters).await.map(drop)
}

/// Deletes a mark, in the background.
pub fn forget(store: &Store, mark: &Mark) {
    store.spawn(&idempotency::FORGET, of(store, mark));
}

fn of(store: &Store, mark: &Mark) -> Vec<Parameter> {
    let number = Value::Integer(mark.number);
    vec![("id", mark.key.as_str().into()), ("holder", store.instance().into()), ("flight", number.into())]
}

/// Parameters for the validity of a row: now for responses, and the end of expired leases.
fn clock(store: &Store) -> Vec<Parameter> {
    let now = store.host().unix_time();
    vec![("now", store.now().into()), ("before", free_before(now).into())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idempotency::key::{Fingerprinting, HEADER};
    use crate::platform::sim::World;
    use crate::store::sweep::Sweeper;
    use crate::store::tests::store;
    use bytes::Bytes;
    use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
    use http::{HeaderMap, HeaderValue, StatusCode};

    fn key(text: &'static str) -> IdempotencyKey {
        let headers = HeaderMap::from_iter([(HEADER, HeaderValue::from_static(text))]);
        IdempotencyKey::of(&headers, "me", "edits").unwrap().unwrap()
    }

    fn fingerprint(text: &str) -> Fingerprint {
        Fingerprinting::new([text.as_bytes()], None).finish()
    }

    #[test]
    fn an_answer_is_kept_for_its_request_until_it_ends() {
        let world = World::new(1);
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (CONTENT_LENGTH, HeaderValue::from_static("7")),
        ]);
        let answer = StoredResponse::new(StatusCode::ACCEPTED, &headers, Bytes::from_static(b"\xff{}"));
        assert_eq!(answer.headers.len(), 1);
        let (here, there) = (store(&world), store(&world));
        world.run(async move {
            let (one, other) = (fingerprint("one"), fingerprint("other"));
            let mark = |number| Mark { key: key("k"), fingerprint: one.clone(), number };
            assert_eq!(look_up(&there, &key("k"), &one).await, Ok(Known::Nothing));
            assert_eq!(begin(&here, &mark(1)).await, Ok(true));
            assert_eq!(begin(&there, &mark(1)).await, Ok(false));
            assert_eq!(look_up(&there, &key("k"), &one).await, Ok(Known::Running));
            assert_eq!(look_up(&there, &key("k"), &other).await, Ok(Known::Other));
            here.host().sleep(Duration::from_secs(9)).await;
            renew(&here, [&key("k")]).await.unwrap();
            here.host().sleep(Duration::from_millis(11_999)).await;
            assert_eq!(begin(&there, &mark(1)).await, Ok(false));
            here.host().sleep(Duration::from_millis(2)).await;
            assert_eq!(look_up(&there, &key("k"), &other).await, Ok(Known::Nothing), "a lease has ended");
            assert_eq!(begin(&there, &mark(1)).await, Ok(true));
            keep(&here, &mark(1), &answer, Duration::from_secs(60)).await.unwrap();
            assert_eq!(look_up(&here, &key("k"), &one).await, Ok(Known::Running), "another has it by now");
            assert_eq!(begin(&there, &mark(2)).await, Ok(true), "what the same instance has given up");
            forget(&there, &mark(1));
            stream(&there, &mark(1));
            there.host().sleep(Duration::from_millis(1)).await;
            assert_eq!(look_up(&here, &key("k"), &one).await, Ok(Known::Running));
            keep(&there, &mark(2), &answer, Duration::from_secs(60)).await.unwrap();
            assert_eq!(look_up(&here, &key("k"), &one).await, Ok(Known::Answered(answer)));
            assert_eq!(look_up(&here, &key("k"), &other).await, Ok(Known::Other));
            assert_eq!(look_up(&here, &key("l"), &one).await, Ok(Known::Nothing));
            assert_eq!(begin(&here, &mark(3)).await, Ok(false));
        });
        let sweeper = Sweeper::new(&store(&world));
        for (seconds, swept) in [(60, 0), (61, 1)] {
            world.pass(Duration::from_secs(seconds));
            let (there, sweeper) = (store(&world), std::rc::Rc::clone(&sweeper));
            world.run(async move {
                assert_eq!(look_up(&there, &key("k"), &fingerprint("one")).await, Ok(Known::Nothing));
                assert_eq!(sweeper.sweep().await, Ok(swept));
            });
        }
    }
}
