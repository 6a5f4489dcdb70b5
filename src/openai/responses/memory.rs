//! Memory of responses, for requests that go on from them (`previous_response_id`).
//!
//! A response belongs to the key that asked for it, and lies in the database under the random part of its id.

use std::time::Duration;

use super::id::Suffix;
use crate::platform::StoreError;
use crate::store::row::Columns;
use crate::store::statements::responses;
use crate::store::{Store, milliseconds};

/// Record of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResponseRecord {
    /// Prompt that it was made from.
    pub prompt: String,
    /// Tokens of links to its images, by their indexes.
    pub images: Vec<(u32, String)>,
}

impl ResponseRecord {
    /// Token of the link to the image that `id` names, or of the last one.
    pub(super) fn image(&self, id: &str) -> Option<&str> {
        let index = id.strip_prefix("ig_").and_then(|id| id.rsplit('_').next()?.parse::<u32>().ok());
        let found = match index {
            Some(index) => self.images.iter().find(|(known, _)| *known == index),
            None => self.images.last(),
        };
        found.map(|(_, token)| token.as_str())
    }
}

/// Keeps the record of a response of `owner` for `ttl`.
///
/// # Errors
/// Where the store fails: then nothing can go on from it.
pub(super) async fn remember(
    store: &Store,
    owner: &str,
    suffix: &Suffix,
    record: &ResponseRecord,
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

/// Record of the response that `id` names, if it is `owner`'s and has not ended.
///
/// # Errors
/// Where the store fails.
pub(super) async fn recall(store: &Store, owner: &str, id: &str) -> Result<Option<ResponseRecord>, StoreError> {
    let Some(suffix) = Suffix::of_id(id) else { return Ok(None) };
    let parameters = vec![("id", suffix.0.into()), ("owner", owner.into()), ("now", store.now().into())];
    let Some(row) = store.first(&responses::READ, parameters).await? else { return Ok(None) };
    let mut row = Columns::of(row);
    let (prompt, images) = (row.text()?, row.text()?);
    let images = serde_json::from_str(&images).map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(Some(ResponseRecord { prompt, images }))
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
        let record = ResponseRecord { prompt: "a fox".to_owned(), images: vec![(0, "T0".into()), (1, "T1".into())] };
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
