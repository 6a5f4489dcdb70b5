//! What is remembered of responses.
//!
//! A record lies in the key-value store under the response's id, which begins with the time when it ends: what has ended is known by its name
//! alone, so sweeping reads no record. A response belongs to the key that asked for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::platform::{Outside, random_bytes, random_hex};

/// Below which the records lie.
const PREFIX: &str = "response/";
/// One of so many writes sweeps.
const SWEEP_ONE_OF: u8 = 32;
/// The most records that one sweep deletes.
const SWEEP_MOST: usize = 500;
/// The form of a record. Another form needs another number.
const VERSION: u32 = 1;

/// What tells a response, and all that belongs to it, from others: 8 digits of the time when it ends, and 24 random ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suffix(String);

impl Suffix {
    /// A new one, that ends after `ttl`.
    pub fn new(outside: &Outside, ttl: Duration) -> Self {
        let ends = outside.unix_time().saturating_add(ttl).as_secs();
        Self(format!("{ends:08x}{}", random_hex::<12>(outside)))
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

    fn ends(&self) -> u64 {
        self.0.get(..8).and_then(|ends| u64::from_str_radix(ends, 16).ok()).unwrap_or(0)
    }

    fn key(&self) -> String {
        format!("{PREFIX}{}", self.0)
    }
}

/// What is remembered of a response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// Whose it is.
    owner: String,
    /// The prompt that it was made from.
    pub prompt: String,
    /// The tokens of links to its images, by their indexes.
    pub images: Vec<(u32, String)>,
}

impl Record {
    /// A record of `owner`'s.
    pub fn new(owner: &str, prompt: &str, images: Vec<(u32, String)>) -> Self {
        Self { version: VERSION, owner: owner.to_owned(), prompt: prompt.to_owned(), images }
    }

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

/// Keeps a record. Where the store fails, it is as if it had ended; the failure is returned for the log.
pub async fn remember(outside: &Outside, suffix: &Suffix, record: &Record) -> Option<String> {
    let json = serde_json::to_vec(record).ok()?;
    let kept = outside.set(suffix.key(), json).await;
    let [lot] = random_bytes::<1>(outside);
    if lot % SWEEP_ONE_OF == 0 {
        let there = outside.clone();
        outside.spawn(Box::pin(async move { sweep(&there).await }));
    }
    kept.err().map(|error| error.to_string())
}

/// What is remembered of the response that `id` names, if it is `owner`'s and has not ended.
pub async fn recall(outside: &Outside, owner: &str, id: &str) -> Option<Record> {
    let suffix = Suffix::of_id(id)?;
    if suffix.ends() <= outside.unix_time().as_secs() {
        return None;
    }
    let json = outside.get(suffix.key()).await.ok()??;
    let record: Record = serde_json::from_slice(&json).ok()?;
    (record.version == VERSION && record.owner == owner).then_some(record)
}

/// Deletes what has ended.
async fn sweep(outside: &Outside) {
    let now = outside.unix_time().as_secs();
    let Ok(keys) = outside.keys().await else { return };
    let ended = |key: &&String| key.strip_prefix(PREFIX).is_some_and(|suffix| Suffix(suffix.to_owned()).ends() <= now);
    for key in keys.iter().filter(ended).take(SWEEP_MOST) {
        // What can't be deleted now can be later.
        let _ = outside.delete(key.clone()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::sim::World;

    #[test]
    fn a_response_is_remembered_for_its_owner_until_it_ends() {
        let world = World::new(1);
        let outside = world.outside();
        let suffix = Suffix::new(&outside, Duration::from_secs(60));
        let record = Record::new("me", "a fox", vec![(0, "T0".into()), (1, "T1".into())]);
        let (there, kept) = (outside.clone(), suffix.clone());
        world.run(async move { assert_eq!(remember(&there, &kept, &record).await, None) });
        let recall = |owner: &'static str, id: String| {
            let outside = outside.clone();
            world.run(async move { recall(&outside, owner, &id).await })
        };
        let found = recall("me", suffix.response()).unwrap();
        assert_eq!((found.image(&suffix.response()), found.image(&suffix.image(0))), (Some("T1"), Some("T0")));
        assert_eq!(found.image(&suffix.image(2)), None);
        assert_eq!(recall("me", suffix.image(1)).map(|found| found.prompt), Some("a fox".to_owned()));
        assert_eq!(recall("you", suffix.response()), None);
        for id in ["", "resp_", "resp_x", "response/x", "resp_../link-secret", "link-secret"] {
            assert_eq!(recall("me", id.to_owned()), None, "{id}");
        }
        world.pass(Duration::from_secs(61));
        assert_eq!(recall("me", suffix.response()), None);
        let there = outside.clone();
        let left = world.run(async move {
            there.set("other".into(), vec![]).await.unwrap();
            sweep(&there).await;
            there.keys().await.unwrap()
        });
        assert_eq!(left, ["other"]);
    }
}
