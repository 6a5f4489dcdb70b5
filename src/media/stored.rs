//! Images that Spaces have sent inline, in the database.
//!
//! Such an image has no file that a link could lead to. It is kept for a while, in parts of a mebibyte, so that links,
//! chats, the history and later edits work for its Space as for others. The oldest go where there are too many. A
//! task's images are the task's own files, and stay as long as it.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::unfold;

use super::file::{ImageOwner, StoredImage};
use crate::error::Error;
use crate::generation::Format;
use crate::platform::{Body, HeldBuffer, ReadError, StoreError, TransportError, Value, grow, random_hex, read_held};
use crate::store::row::Columns;
use crate::store::statements::{kept_image, tasks};
use crate::store::{Store, integer, milliseconds};

/// Length of a part, in bytes.
pub const PART: usize = 1 << 20;
/// Size of all images that are kept, in bytes.
const MAX_TOTAL: i64 = 256 << 20;
/// The least that a part counts for, in bytes, so that their number has a bound too.
const LEAST: usize = 64 << 10;
/// Number of parts that a statement looks at: more than there can be.
const SPAN: i64 = 8192;
/// The least time for which an image is kept: as long as a response can be gone on from by default.
const DAY: Duration = Duration::from_secs(86_400);

/// Keeper of images that Spaces have sent inline.
#[derive(Clone)]
pub struct KeptImages {
    store: Store,
    /// Time until which they are kept, where there is room, since the Unix epoch.
    until: Duration,
}

impl KeptImages {
    /// A keeper of images that links lead to for `link_ttl`.
    pub fn new(store: &Store, link_ttl: Duration) -> Self {
        Self { store: store.clone(), until: store.host().unix_time().saturating_add(link_ttl.max(DAY)) }
    }

    /// Keeps an image.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn keep(&self, format: Format, bytes: &Bytes) -> Result<StoredImage, StoreError> {
        let (stored, id) = self.stored(format, bytes);
        self.add(&id, bytes).await?;
        Ok(stored)
    }

    /// Keeps an image in the background; `None` while the database is known to fail.
    pub fn spawn_keep(&self, format: Format, bytes: &Bytes) -> Option<StoredImage> {
        if !self.store.is_up() {
            return None;
        }
        let (stored, id) = self.stored(format, bytes);
        let (this, bytes) = (self.clone(), bytes.clone());
        self.store.host().spawn(Box::pin(async move {
            // A failure was logged; the image is answered all the same.
            let _ = this.add(&id, &bytes).await;
        }));
        Some(stored)
    }

    fn stored(&self, format: Format, bytes: &Bytes) -> (StoredImage, String) {
        let id = random_hex::<16>(self.store.host());
        (StoredImage { owner: ImageOwner::Kept(id.clone()), format, length: bytes.len() }, id)
    }

    async fn add(&self, id: &str, bytes: &Bytes) -> Result<(), StoreError> {
        let made = self.store.now();
        for (number, start) in (0..bytes.len()).step_by(PART).enumerate() {
            let part = bytes.slice(start..bytes.len().min(start + PART));
            let parameters = vec![
                ("id", id.into()),
                ("part", integer(number).into()),
                ("size", integer(part.len().max(LEAST)).into()),
                ("made", made.into()),
                ("expires", milliseconds(self.until).into()),
                ("bytes", Value::Blob(part.into()).into()),
            ];
            self.store.query(&kept_image::ADD, parameters).await?;
        }
        let bounds = vec![("span", SPAN.into()), ("most", MAX_TOTAL.into())];
        self.store.query(&kept_image::TRIM, bounds).await.map(drop)
    }
}

/// A part of an image; `None` where it isn't there (any more).
///
/// # Errors
/// Failures of the store.
pub async fn part(store: &Store, image: &StoredImage, number: usize) -> Result<Option<Vec<u8>>, StoreError> {
    let number = integer(number).into();
    let row = match &image.owner {
        ImageOwner::Kept(id) => {
            let parameters = vec![("id", id.as_str().into()), ("part", number), ("now", store.now().into())];
            store.first(&kept_image::READ, parameters).await?
        }
        ImageOwner::Task(id, name) => {
            let parameters = vec![("task", id.as_str().into()), ("name", name.as_str().into()), ("part", number)];
            store.first(&tasks::READ_PART, parameters).await?
        }
    };
    row.map(|row| Columns::of(row).blob()).transpose()
}

/// True where all parts of an image are there, by its last one.
///
/// # Errors
/// Failures of the store.
pub async fn is_there(store: &Store, image: &StoredImage) -> Result<bool, StoreError> {
    Ok(part(store, image, image.length.saturating_sub(1) / PART).await?.is_some())
}

/// The whole image.
///
/// # Errors
/// 404 where it isn't there any more, 503 where the store fails, or there is no memory for it.
pub async fn read(store: &Store, image: StoredImage) -> Result<Bytes, Error> {
    if !is_there(store, &image).await.map_err(|error| Error::store_failed(&error))? {
        return Err(Error::stored_image_gone());
    }
    let length = image.length;
    let buffer = HeldBuffer::new(store.host(), 1);
    match read_held(store.host(), body(store, image, 0, length), length, buffer).await {
        Ok(bytes) => Ok(bytes),
        Err(ReadError::OutOfMemory(refused)) => Err(Error::out_of_memory(&refused)),
        Err(_) => Err(Error::stored_image_gone()),
    }
}

/// The bytes of an image from `first` to before `end`, read part by part as they are written.
pub fn body(store: &Store, image: StoredImage, first: usize, end: usize) -> Body {
    let end = end.min(image.length);
    unfold(Some((store.clone(), image, first)), move |state| async move {
        let (store, image, at) = state?;
        if at >= end {
            return None;
        }
        match piece(&store, &image, at, end).await {
            Ok(piece) => {
                let next = at + piece.len();
                Some((Ok(piece), Some((store, image, next))))
            }
            Err(error) => Some((Err(TransportError::Broken(error)), None)),
        }
    })
    .boxed_local()
}

/// The bytes from `at` to the end of its part, or to before `end`.
async fn piece(store: &Store, image: &StoredImage, at: usize, end: usize) -> Result<Bytes, String> {
    let mut memory = store.host().memory().none();
    // Before the database sends it.
    grow(store.host(), &mut memory, PART).await.map_err(|refused| refused.to_string())?;
    let found = part(store, image, at / PART).await.map_err(|error| error.to_string())?;
    let bytes = memory.hold(found.unwrap_or_default());
    let begin = at - at % PART;
    let piece = bytes.slice((at - begin).min(bytes.len())..(end - begin).min(bytes.len()));
    if piece.is_empty() { Err("a part of the image is gone".to_owned()) } else { Ok(piece) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::read_to_end;
    use crate::platform::sim::World;
    use crate::store::tests::store;

    #[test]
    fn the_oldest_images_go_where_there_are_too_many() {
        let world = World::new(1);
        let store = store(&world);
        let keep = |size: usize| {
            let kept = KeptImages::new(&store, Duration::ZERO);
            let image = world.run(async move { kept.keep(Format::Png, &vec![7; size].into()).await }).unwrap();
            world.pass(Duration::from_millis(1));
            image
        };
        let is_there = |image: &StoredImage| {
            let (store, image) = (store.clone(), image.clone());
            world.run(async move { read_to_end(body(&store, image, 0, usize::MAX), usize::MAX).await }).is_ok()
        };
        let (first, second) = (keep(PART + 1), keep(3 * PART));
        assert!(is_there(&first) && is_there(&second));
        let last: Vec<_> = (0..253).map(|_| keep(PART)).collect();
        assert!(is_there(&second) && !is_there(&first), "256 MiB, and more");
        assert!(last.iter().all(is_there));
        let many: Vec<_> = (0..4200).map(|_| keep(1)).collect();
        assert!(!is_there(last.last().unwrap()) && !is_there(&many[0]) && is_there(many.last().unwrap()));
        world.pass(DAY);
        assert!(!is_there(many.last().unwrap()));
        assert_eq!(world.host().memory().used(), 0);
    }

    #[test]
    fn a_part_of_an_image_is_read() {
        let world = World::new(1);
        let store = store(&world);
        let bytes: Bytes = (0..2 * PART + 5).map(|at| at.to_le_bytes()[at % 3]).collect::<Vec<_>>().into();
        let (kept, whole) = (KeptImages::new(&store, Duration::ZERO), bytes.clone());
        let image = world.run(async move { kept.keep(Format::Png, &whole).await }).unwrap();
        for (first, end) in
            [(0, 1), (0, usize::MAX), (PART - 1, PART + 1), (PART, 2 * PART), (2 * PART + 4, 2 * PART + 5)]
        {
            let read = world.run(read_to_end(body(&store, image.clone(), first, end), usize::MAX)).unwrap();
            assert!(read == bytes.slice(first..end.min(bytes.len())), "{first}..{end}");
        }
    }
}
