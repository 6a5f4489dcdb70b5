//! Records of requests with a key: a row each (`store/schema/idempotency.rs`).
//!
//! A row says that the request is being answered, by which instance, with a lease that is renewed while the instance
//! lives; or it holds the answer. Each change is one conditional statement, so that of any number of requests in the
//! same moment one leads.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use super::key::{Fingerprint, IdempotencyKey};
use super::stored_response::StoredResponse;
use crate::platform::{StoreError, Value};
use crate::store::lease::{TTL, expiry, free_before};
use crate::store::row::Columns;
use crate::store::statement::{Argument, Parameter};
use crate::store::statements::idempotency;
use crate::store::{Store, integer};

/// A mark of this instance: that a request is being answered.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The request's key.
    pub key: IdempotencyKey,
    /// What the request says.
    pub fingerprint: Fingerprint,
    /// Number that tells it from the instance's earlier ones.
    pub number: i64,
}

/// Knowledge of a key in the store.
#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    Nothing,
    /// It came with another request.
    Other,
    /// Its request is being answered by another instance.
    Running,
    /// Its request is being answered by another instance, by a stream.
    Streaming,
    /// The answer.
    Answered(StoredResponse),
}

/// State of a key's request, without its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It is being answered.
    Running,
    /// It is being answered by a stream.
    Streaming,
    /// It was answered.
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

/// Marks a request as being answered. Returns whether this instance is to answer it.
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
            answer(status, &head, body).ok_or_else(|| StoreError::Failed("a kept answer is unreadable".to_owned()))?,
        ),
    })
}

/// States of those of these keys that are known.
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

/// Lets the marks of this instance for these keys last longer.
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

/// Tells beside the answer that it is a stream.
pub fn stream(store: &Store, mark: &Mark) {
    store.spawn(&idempotency::STREAM, of(store, mark));
}

/// Keeps the answer to a request for `ttl`, unless another instance has the request by now.
///
/// # Errors
/// Failures of the store.
pub async fn keep(store: &Store, mark: &Mark, answer: &StoredResponse, ttl: Duration) -> Result<(), StoreError> {
    let headers = answer.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let head = serde_json::to_string(&headers.collect::<Vec<_>>());
    let mut parameters = of(store, mark);
    parameters.extend([
        ("fingerprint", mark.fingerprint.as_str().into()),
        ("status", integer(answer.status.as_u16()).into()),
        ("expires", expiry(store.host().unix_time(), ttl).into()),
        ("head", head.map_err(|error| StoreError::Failed(error.to_string()))?.into()),
        ("body", answer.body.to_vec().into()),
    ]);
    store.query(&idempotency::KEEP, parameters).await.map(drop)
}

/// Takes a mark away, beside all requests.
pub fn forget(store: &Store, mark: &Mark) {
    store.spawn(&idempotency::FORGET, of(store, mark));
}

fn of(store: &Store, mark: &Mark) -> Vec<Parameter> {
    let number = Value::Integer(mark.number);
    vec![("id", mark.key.as_str().into()), ("holder", store.instance().into()), ("flight", number.into())]
}

/// Moments that decide whether a row counts: an answer's end, and a lease's.
fn clock(store: &Store) -> Vec<Parameter> {
    let now = store.host().unix_time();
    vec![("now", store.now().into()), ("before", free_before(now).into())]
}

fn answer(status: i64, head: &str, body: Vec<u8>) -> Option<StoredResponse> {
    let status = StatusCode::from_u16(u16::try_from(status).ok()?).ok()?;
    let head: Vec<(String, String)> = serde_json::from_str(head).ok()?;
    let header = |(name, value): &(String, String)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    };
    Some(StoredResponse { status, headers: head.iter().filter_map(header).collect(), body: Bytes::from(body) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idempotency::key::{Fingerprinting, HEADER};
    use crate::platform::sim::World;
    use crate::store::sweep::Sweeper;
    use crate::store::tests::store;
    use http::HeaderMap;
    use http::header::{CONTENT_LENGTH, CONTENT_TYPE};

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
