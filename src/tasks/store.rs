//! Where tasks lie in the key-value store.
//!
//! | key | what |
//! |---|---|
//! | `task/OWNER/DIGITS` | the [`Record`] |
//! | `task-open/OWNER/DIGITS` | nothing: a mark that there is something to be done for the task |
//! | `task-image/OWNER/DIGITS/NAME/PART` | an image that the request sent along, or one that a Space sent along, in parts |
//!
//! A store only gives a value by its key, and all keys. The mark is there before its record is, and goes when nothing is to be
//! done any more, so what is unfinished, and how much of it a key has, is known without reading a record.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::iter;

use super::lease::Token;
use super::name::Name;
use super::record::Record;
use crate::platform::{Outside, StoreError, random_hex, timeout};

/// Below which the records lie.
pub const RECORDS: &str = "task/";
/// Below which the marks lie.
pub const OPEN: &str = "task-open/";
/// Below which images lie.
pub const IMAGES: &str = "task-image/";
/// The size of a part, in bytes: what every store behind Spin takes as one value (DynamoDB's limit is 400 KB).
const PART: usize = 256 << 10;
/// How long an operation may take. The host has limits of its own; this is for those that have none.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many values are read at the same time.
const READS_AT_ONCE: usize = 8;

/// The key-value store, as tasks use it.
#[derive(Clone)]
pub struct Shelf {
    outside: Outside,
}

/// A record, and what was seen in its place.
#[derive(Clone, Debug)]
pub struct Held {
    /// The record, with changes that aren't written yet.
    pub record: Record,
    /// What lies in the store, as far as is known.
    seen: Vec<u8>,
}

/// What has become of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is in the store.
    Kept,
    /// The task is somebody else's by now, or gone.
    Lost,
}

impl Shelf {
    /// The store behind `outside`.
    pub fn new(outside: Outside) -> Self {
        Self { outside }
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let late = |_| StoreError::Failed(format!("no answer within {} s", TIMEOUT.as_secs()));
        timeout(&self.outside, TIMEOUT, work).await.map_err(late)?
    }

    fn mark(&self) -> String {
        random_hex::<6>(&self.outside)
    }

    /// All keys.
    pub async fn keys(&self) -> Result<Vec<String>, StoreError> {
        self.within(self.outside.keys()).await
    }

    /// Puts a new task into the store.
    pub async fn put(&self, name: &Name, mut record: Record) -> Result<Held, StoreError> {
        self.within(self.outside.set(name.key(OPEN), Vec::new())).await?;
        let seen = record.write(self.mark());
        self.within(self.outside.set(name.key(RECORDS), seen.clone())).await?;
        Ok(Held { record, seen })
    }

    /// Reads a task's record.
    pub async fn read(&self, name: &Name) -> Result<Option<Held>, StoreError> {
        let seen = self.within(self.outside.get(name.key(RECORDS))).await?;
        Ok(seen.and_then(|seen| Some(Held { record: Record::read(&seen)?, seen })))
    }

    /// Reads records, some at a time, in that order; those that are gone or can't be read are left out.
    pub fn read_all(&self, names: Vec<Name>) -> impl futures::Stream<Item = Result<(Name, Held), StoreError>> + use<> {
        let shelf = self.clone();
        let read = move |name: Name| {
            let shelf = shelf.clone();
            async move { shelf.read(&name).await.map(|held| held.map(|held| (name, held))).transpose() }
        };
        iter(names).map(read).buffered(READS_AT_ONCE).filter_map(std::future::ready)
    }

    /// Takes a task that nobody works at, and returns it with `token`'s lease in it; none where somebody does, or nothing is left to do.
    pub async fn take(&self, name: &Name, token: &Token) -> Result<Option<Held>, StoreError> {
        let Some(mut held) = self.read(name).await? else { return Ok(None) };
        if !held.record.wants_work() || !held.record.is_free(self.outside.unix_time()) {
            return Ok(None);
        }
        held.record.lease = Some(token.lease(&self.outside));
        Ok((self.write(name, &mut held, token).await? == Written::Kept).then_some(held))
    }

    /// Writes a record in place of what was seen, which is possible as long as nobody else has written.
    ///
    /// # Errors
    /// Where the store fails. It may have written all the same; the next write finds out.
    pub async fn write(&self, name: &Name, held: &mut Held, token: &Token) -> Result<Written, StoreError> {
        // Each round either ends it, or has learnt of a write that was not known, and of those there are few.
        for _ in 0..8 {
            let next = held.record.write(self.mark());
            let swap = self.outside.swap(name.key(RECORDS), held.seen.clone(), next.clone());
            if self.within(swap).await? {
                held.seen = next;
                return Ok(Written::Kept);
            }
            let there = self.within(self.outside.get(name.key(RECORDS))).await?;
            match there {
                Some(there) if there == next => {
                    held.seen = next;
                    return Ok(Written::Kept);
                }
                // An earlier write of this holder's, which was said to have failed.
                Some(there) if Record::read(&there).is_some_and(|record| record.is_held_by(token)) => held.seen = there,
                _ => return Ok(Written::Lost),
            }
        }
        Err(StoreError::Failed("what is written isn't what is read".to_owned()))
    }

    /// Changes a record that somebody else may be writing too, until `change` finds nothing to do. Returns the record as it is
    /// then; none where there is no such task.
    pub async fn change(
        &self,
        name: &Name,
        mut change: impl FnMut(&mut Record) -> bool,
    ) -> Result<Option<Held>, StoreError> {
        loop {
            let Some(mut held) = self.read(name).await? else { return Ok(None) };
            if !change(&mut held.record) {
                return Ok(Some(held));
            }
            let next = held.record.write(self.mark());
            if self.within(self.outside.swap(name.key(RECORDS), held.seen.clone(), next.clone())).await? {
                return Ok(Some(Held { seen: next, ..held }));
            }
        }
    }

    /// Whether a record is still as it was seen, or at least still `token`'s. What it holds now is taken for seen.
    pub async fn is_still(&self, name: &Name, held: &mut Held, token: &Token) -> Result<bool, StoreError> {
        let Some(there) = self.within(self.outside.get(name.key(RECORDS))).await? else { return Ok(false) };
        if there == held.seen {
            return Ok(true);
        }
        let is_mine = Record::read(&there).is_some_and(|record| record.is_held_by(token));
        if is_mine {
            held.seen = there;
        }
        Ok(is_mine)
    }

    /// Nothing is to be done for the task any more: takes its mark away, and the images that were sent along.
    pub async fn close(&self, name: &Name, record: &Record) -> Result<(), StoreError> {
        for index in 0..record.inputs {
            self.delete_image(name, &input(index)).await?;
        }
        if record.has_mask {
            self.delete_image(name, MASK).await?;
        }
        self.within(self.outside.delete(name.key(OPEN))).await
    }

    /// Deletes all there is of a task, of which `keys` are some.
    pub async fn forget(&self, name: &Name, keys: &[String]) -> Result<(), StoreError> {
        let images = name.key(IMAGES);
        for key in keys.iter().filter(|key| key.strip_prefix(&images).is_some_and(|rest| rest.starts_with('/'))) {
            self.delete(key.clone()).await?;
        }
        self.delete(name.key(RECORDS)).await?;
        self.delete(name.key(OPEN)).await
    }

    /// Deletes what lies under a key.
    pub async fn delete(&self, key: String) -> Result<(), StoreError> {
        self.within(self.outside.delete(key)).await
    }

    /// Keeps an image of a task's.
    pub async fn put_image(&self, name: &Name, image: &str, bytes: &Bytes) -> Result<(), StoreError> {
        // An image that ends where a part does is followed by an empty one, so that its end is seen.
        for number in 0..=bytes.len() / PART {
            let part = bytes.slice(number * PART..bytes.len().min((number + 1) * PART));
            self.within(self.outside.set(part_key(name, image, number), part.into())).await?;
        }
        Ok(())
    }

    /// An image of a task's; none where a part is missing.
    pub async fn image(&self, name: &Name, image: &str) -> Result<Option<Bytes>, StoreError> {
        let mut bytes = Vec::new();
        for number in 0.. {
            let Some(part) = self.within(self.outside.get(part_key(name, image, number))).await? else {
                return Ok(None);
            };
            bytes.extend_from_slice(&part);
            if part.len() < PART {
                break;
            }
        }
        Ok(Some(Bytes::from(bytes)))
    }

    async fn delete_image(&self, name: &Name, image: &str) -> Result<(), StoreError> {
        for number in 0.. {
            let key = part_key(name, image, number);
            if self.within(self.outside.get(key.clone())).await?.is_none() {
                break;
            }
            self.delete(key).await?;
        }
        Ok(())
    }
}

/// The name of the mask that a request sends along.
pub const MASK: &str = "mask";

/// The name of an image that a request sends along.
pub fn input(index: u32) -> String {
    format!("in{index}")
}

/// The name of an image that a Space sent along.
pub fn output(index: u32) -> String {
    format!("out{index}")
}

fn part_key(name: &Name, image: &str, number: usize) -> String {
    format!("{}/{image}/{number}", name.key(IMAGES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::sim::World;

    #[test]
    fn images_are_kept_in_parts() {
        let world = World::new(1);
        let (shelf, name) = (Shelf::new(world.outside()), Name::new(&world.outside(), "me"));
        world.run(async move {
            for length in [0, 1, PART - 1, PART, PART + 1, 3 * PART] {
                let bytes = Bytes::from((0..length).map(|i| i.to_le_bytes()[0]).collect::<Vec<_>>());
                shelf.put_image(&name, "in0", &bytes).await.unwrap();
                assert_eq!(shelf.image(&name, "in0").await.unwrap(), Some(bytes), "{length}");
                shelf.delete_image(&name, "in0").await.unwrap();
                assert_eq!(shelf.keys().await.unwrap(), [""; 0], "{length}");
            }
            shelf.put_image(&name, "in0", &Bytes::from(vec![1; 2 * PART])).await.unwrap();
            shelf.delete(part_key(&name, "in0", 2)).await.unwrap();
            assert_eq!(shelf.image(&name, "in0").await.unwrap(), None, "half an image is none");
        });
    }
}
