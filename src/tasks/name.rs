//! What tells a task, or a remembered request, from others.

use std::time::Duration;

use crate::platform::{Outside, random_hex};

/// Whose things are kept where no key is asked for.
const ANYONE: &str = "anyone";
/// How many digits tell the time, in milliseconds.
const STAMP: usize = 12;
/// How many digits there are.
const DIGITS: usize = 32;

/// An owner, and 12 hexadecimal digits of the time when the thing was made and 20 random ones: what is newer, and what has expired, is known by names alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    owner: String,
    suffix: String,
}

impl Name {
    /// A new one of `owner`'s.
    pub fn new(outside: &Outside, owner: &str) -> Self {
        let now = outside.unix_time().as_millis();
        Self { owner: owner_or_anyone(owner), suffix: format!("{now:0STAMP$x}{}", random_hex::<10>(outside)) }
    }

    /// Reads an id of `owner`'s: `prefix` and the digits.
    pub fn of_id(owner: &str, prefix: &str, id: &str) -> Option<Self> {
        Self::of(&owner_or_anyone(owner), id.strip_prefix(prefix)?)
    }

    /// Reads the key under which something lies below `prefix`.
    pub fn of_key(prefix: &str, key: &str) -> Option<Self> {
        let (owner, suffix) = key.strip_prefix(prefix)?.split_once('/')?;
        Self::of(owner, suffix)
    }

    fn of(owner: &str, suffix: &str) -> Option<Self> {
        let digits = suffix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (digits && suffix.len() == DIGITS).then(|| Self { owner: owner.to_owned(), suffix: suffix.to_owned() })
    }

    /// Whose it is.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Whether it is `owner`'s, as callers are called.
    pub fn is_of(&self, owner: &str) -> bool {
        self.owner == owner_or_anyone(owner)
    }

    /// The digits.
    pub fn digits(&self) -> &str {
        &self.suffix
    }

    /// When it was made, since the Unix epoch.
    pub fn created(&self) -> Duration {
        let stamp = self.suffix.get(..STAMP).and_then(|stamp| u64::from_str_radix(stamp, 16).ok());
        Duration::from_millis(stamp.unwrap_or(0))
    }

    /// The task's id.
    pub fn task_id(&self) -> String {
        format!("task_{}", self.suffix)
    }

    /// The key under which something of that name lies.
    pub fn key(&self, prefix: &str) -> String {
        format!("{prefix}{}/{}", self.owner, self.suffix)
    }
}

fn owner_or_anyone(owner: &str) -> String {
    if owner.is_empty() { ANYONE.to_owned() } else { owner.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::sim::World;

    #[test]
    fn a_name_tells_its_owner_and_its_time() {
        let world = World::new(1);
        world.pass(Duration::from_millis(1_234));
        let name = Name::new(&world.outside(), "0123");
        assert_eq!(name.created(), Duration::from_millis(1_800_000_001_234));
        assert_eq!(Name::of_id("0123", "task_", &name.task_id()), Some(name.clone()));
        assert_eq!(Name::of_key("task/", &name.key("task/")), Some(name.clone()));
        assert!(name.is_of("0123") && !name.is_of(""));
        assert!(Name::new(&world.outside(), "").is_of(""));
        for id in ["", "task_", "task_x", "task_../../link-secret", &name.key("task/")] {
            assert_eq!(Name::of_id("0123", "task_", id), None, "{id}");
        }
    }
}
