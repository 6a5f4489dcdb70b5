//! Images in another format than their Spaces made, kept for as long as their links work.
//!
//! They lie in the database, where all instances find them. An instance that is about to make one claims it first, so
//! that of many at the same time one does, and the others wait for it. The oldest go where there are too many.

use std::time::Duration;

use bytes::Bytes;

use crate::generation::Format;
use crate::platform::StoreError;
use crate::store::row::Columns;
use crate::store::statements::converted;
use crate::store::{Store, integer, milliseconds};

/// Size of the largest image that is kept, in bytes.
pub(super) const MAX_KEPT: usize = 8 << 20;
/// Size of all images that are kept, in bytes.
const MAX_TOTAL: i64 = 64 << 20;
/// The least that an image counts for, in bytes, so that their number has a bound too.
const LEAST: usize = 64 << 10;
/// Number of images that a statement deletes: more than there can be.
const SPAN: i64 = 2048;
/// Time for which a claim holds.
const CLAIM: Duration = Duration::from_secs(45);

/// An image by a link that names a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Converted {
    /// In the format that is named.
    Image(Format, Bytes),
    /// As its Space made it, since it can't be converted.
    AsMade,
}

/// State of an image in the database.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ConversionState {
    /// It is there.
    Image(Converted),
    /// Another instance is making it.
    InTheMaking,
    /// It is to be made, by who asks.
    Claimed,
}

/// Finds the image of that key, or claims its making.
pub(super) async fn find_or_claim(store: &Store, key: &str) -> Result<ConversionState, StoreError> {
    let now = store.now();
    if let Some(row) = store.first(&converted::READ, vec![("id", key.into()), ("now", now.into())]).await? {
        let mut row = Columns::of(row);
        let (holder, format, bytes) = (row.text()?, row.text()?, row.blob()?);
        // A claim of this instance that it doesn't know of any more runs out like others.
        if !holder.is_empty() {
            return Ok(ConversionState::InTheMaking);
        }
        let image = Format::of_output_format(&format).map(|format| Converted::Image(format, bytes.into()));
        return Ok(ConversionState::Image(image.unwrap_or(Converted::AsMade)));
    }
    let claim = vec![
        ("id", key.into()),
        ("holder", store.instance().into()),
        ("expires", now.saturating_add(milliseconds(CLAIM)).into()),
        ("bytes", Vec::new().into()),
        ("now", now.into()),
    ];
    let is_claimed = store.first(&converted::CLAIM, claim).await?.is_some();
    Ok(if is_claimed { ConversionState::Claimed } else { ConversionState::InTheMaking })
}

/// Keeps an image that was claimed until `expires`, in seconds since the Unix epoch; one that is too large is given up.
pub(super) async fn keep(store: &Store, key: &str, image: &Converted, expires: u64) -> Result<(), StoreError> {
    let (format, bytes) = match image {
        Converted::Image(_, bytes) if bytes.len() > MAX_KEPT => return release(store, key).await,
        Converted::Image(format, bytes) => (format.name(), bytes.to_vec()),
        Converted::AsMade => ("", Vec::new()),
    };
    let parameters = vec![
        ("format", format.into()),
        ("size", integer(bytes.len().max(LEAST)).into()),
        ("now", store.now().into()),
        ("expires", integer(expires.saturating_mul(1000)).into()),
        ("bytes", bytes.into()),
        ("id", key.into()),
        ("holder", store.instance().into()),
    ];
    store.query(&converted::KEEP, parameters).await?;
    let span = ("span", SPAN.into());
    store.query(&converted::TRIM, vec![span, ("most", MAX_TOTAL.into())]).await.map(drop)
}

/// Gives up the making of an image that was claimed.
pub(super) async fn release(store: &Store, key: &str) -> Result<(), StoreError> {
    let parameters = vec![("id", key.into()), ("holder", store.instance().into())];
    store.query(&converted::RELEASE, parameters).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::sim::World;
    use crate::store::tests::store;

    #[test]
    fn the_oldest_images_go_where_there_are_too_many() {
        let world = World::new(1);
        let store = store(&world);
        let keep_all = |range: std::ops::Range<u32>, size: usize| {
            for number in range {
                let (store, key) = (store.clone(), number.to_string());
                world.run(async move {
                    assert_eq!(find_or_claim(&store, &key).await, Ok(ConversionState::Claimed));
                    let image = Converted::Image(Format::Jpeg, vec![7; size].into());
                    keep(&store, &key, &image, u64::from(u32::MAX)).await.unwrap();
                });
                world.pass(Duration::from_millis(1));
            }
        };
        let count = || match world.database().query("SELECT COUNT(*), SUM(LENGTH(bytes)) FROM converted", &[]).unwrap()
            [0][..]
        {
            [crate::platform::Value::Integer(count), crate::platform::Value::Integer(bytes)] => (count, bytes),
            ref other => panic!("{other:?}"),
        };
        keep_all(0..20, MAX_KEPT);
        assert_eq!(count(), (8, 64 << 20));
        let found = |key: &str| {
            let (store, key) = (store.clone(), key.to_owned());
            world.run(async move { find_or_claim(&store, &key).await.unwrap() })
        };
        let ConversionState::Image(Converted::Image(Format::Jpeg, newest)) = found("19") else { panic!() };
        assert_eq!(newest.len(), MAX_KEPT);
        assert_eq!(found("11"), ConversionState::Claimed, "it was one of the oldest");
        keep_all(100..1200, 10);
        assert_eq!(count().0, 1024 + 1, "and one in the making");
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let world = World::new(1);
        let store = store(&world);
        world.run(async move {
            assert_eq!(find_or_claim(&store, "x").await, Ok(ConversionState::Claimed));
            assert_eq!(find_or_claim(&store, "x").await, Ok(ConversionState::InTheMaking));
            let image = Converted::Image(Format::Png, vec![7; MAX_KEPT + 1].into());
            keep(&store, "x", &image, u64::from(u32::MAX)).await.unwrap();
            assert_eq!(find_or_claim(&store, "x").await, Ok(ConversionState::Claimed));
            keep(&store, "x", &Converted::AsMade, u64::from(u32::MAX)).await.unwrap();
            assert_eq!(find_or_claim(&store, "x").await, Ok(ConversionState::Image(Converted::AsMade)));
        });
    }
}
