//! What is remembered of responses, for requests that go on from them (`previous_response_id`).
//!
//! A response belongs to the key that asked for it, and lies in the database under the random part of its id.

use std::time::Duration;

use crate::platform::{Host, StoreError, random_hex};
use crate::store::row::Columns;
use crate::store::statements::responses;
use crate::store::{Store, milliseconds};

/// What tells a response, and all that belongs to it, from others: 8 digits of the time when it ends, and 24 random
/// ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suffix(String);

impl Suffix {
    /// A new one, that ends after `ttl`.
    pub fn new(host: &Host, ttl: Duration) -> Self {
        let ends = host.unix_time().saturating_add(ttl).as_secs();
        Self(format!("{ends:08x}{}", random_hex::<12>(host)))
    }

    /// Reads the id of a response or of an image of one.
    pub fn of_id(id: &str) -> Option<Self> {
        let rest = id.strip_prefix("resp_").or_else(|| id.strip_prefix("ig_"))?;
        let suffix = rest.split('_').next()?;
        let is_one = suffix.len() == 32 && suffix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_one.then(|| Self(suffix.to_owned()))
    }

    /// The response's id.
    pub fn response(&self) -> String {
        format!("resp_{}", self.0)
    }

    /// The id of its image of that index.
    pub fn image(&self, index: u32) -> String {
        format!("ig_{}_{index}", self.0)
    }

    /// The id of its message.
    pub fn message(&self) -> String {
        format!("msg_{}", self.0)
    }
}

/// What is remembered of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The prompt that it was made from.
    pub prompt: String,
    /// The tokens of links to its images, by their indexes.
    pub images: Vec<(u32, String)>,
}

impl Record {
    /// The link's token of the image that `id` names, or of the last one.
    pub fn image(&self, id: &str) -> Option<&str> {
        let index = id.strip_prefix("ig_").and_then(|id| id.rsplit('_').next()?.parse::<u32>().ok());
        let found = match index {
            Some(index) => self.images.iter().find(|(known, _)| *known == index),
            None => self.images.last(),
        };
        found.map(|(_, token)| token.as_str())
    }
}

/// Keeps what is remembered of a response of `owner` for `ttl`.
///
/// # Errors
/// Where the store fails: then nothing can go on from it.
pub async fn remember(
    store: &Store,
    owner: &str,
    suffix: &Suffix,
    record: &Record,
    ttl: Duration,
) -> Result<(), StoreError> {
    let images = serde_json::to_string(&record.images).map_err(|error| StoreError::Failed(error.to_string()))?;
    let parameters = vec![
        ("id", suffix.0.as_str().into()),
        ("owner", owner.into()),
        ("expires", milliseconds(store.host().unix_time().saturating_add(ttl)).into()),
        ("prompt", record.prompt.as_str().into()),
        ("images", images.into()),
    ];
    store.query(&responses::KEEP, parameters).await.map(drop)
}

/// What is remembered of the response that `id` names, if it is `owner`'s and has not ended.
///
/// # Errors
/// Where the store fails.
pub async fn recall(store: &Store, owner: &str, id: &str) -> Result<Option<Record>, StoreError> {
    let Some(suffix) = Suffix::of_id(id) else { return Ok(None) };
    let parameters = vec![("id", suffix.0.into()), ("owner", owner.into()), ("now", store.now().into())];
    let Some(row) = store.first(&responses::READ, parameters).await? else { return Ok(None) };
    let mut row = Columns::of(row);
    let (prompt, images) = (row.text()?, row.text()?);
    let images = serde_json::from_str(&images).map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(Some(Record { prompt, images }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::sim::World;
    use crate::store::sweep::Sweeper;
    use crate::store::tests::store;

    #[test]
    fn a_response_is_remembered_for_its_owner_until_it_ends() {
        let world = World::new(1);
        let store = store(&world);
        let ttl = Duration::from_secs(60);
        let suffix = Suffix::new(store.host(), ttl);
        let record = Record { prompt: "a fox".to_owned(), images: vec![(0, "T0".into()), (1, "T1".into())] };
        let (there, kept) = (store.clone(), suffix.clone());
        world.run(async move { remember(&there, "me", &kept, &record, ttl).await.unwrap() });
        let recall = |owner: &'static str, id: String| {
            let store = store.clone();
            world.run(async move { recall(&store, owner, &id).await })
        };
        let found = recall("me", suffix.response()).unwrap().unwrap();
        assert_eq!((found.image(&suffix.response()), found.image(&suffix.image(0))), (Some("T1"), Some("T0")));
        assert_eq!(found.image(&suffix.image(2)), None);
        assert_eq!(recall("me", suffix.image(1)).unwrap().map(|found| found.prompt), Some("a fox".to_owned()));
        assert_eq!(recall("you", suffix.response()), Ok(None));
        for id in ["", "resp_", "resp_x", "response/x", "resp_../link-secret", "link-secret"] {
            assert_eq!(recall("me", id.to_owned()), Ok(None), "{id}");
        }
        let sweeper = Sweeper::new(&store);
        let sweep = || {
            let sweeper = std::rc::Rc::clone(&sweeper);
            world.run(async move { sweeper.sweep().await })
        };
        assert_eq!(sweep(), Ok(0));
        world.pass(Duration::from_secs(61));
        assert_eq!(recall("me", suffix.response()), Ok(None));
        assert_eq!(sweep(), Ok(1));
        world.break_store();
        assert!(recall("me", suffix.response()).is_err(), "it isn't known whether it was there");
        assert_eq!(recall("me", "resp_x".to_owned()), Ok(None));
    }
}
