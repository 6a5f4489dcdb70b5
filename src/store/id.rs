//! Ids that sort by their time of creation.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::platform::{Host, random_hex};

/// Digits of the time, in milliseconds.
const STAMP: usize = 12;
/// Digits in all.
const DIGITS: usize = 32;

/// Id of 32 hexadecimal digits: 12 of the time of creation, in milliseconds, and 20 random ones. Newer ids are greater.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimeId(Rc<str>);

impl TimeId {
    /// Text greater than every id.
    pub const END: &'static str = "g";

    /// A new id.
    pub fn new(host: &Host) -> Self {
        let now = host.unix_time().as_millis();
        Self(format!("{now:0STAMP$x}{}", random_hex::<10>(host)).into())
    }

    /// Parses the digits.
    pub fn parse(digits: &str) -> Option<Self> {
        let is_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (is_hex && digits.len() == DIGITS).then(|| Self(digits.into()))
    }

    /// Digits of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Time of creation, since the Unix epoch.
    pub fn created(&self) -> Duration {
        let stamp = self.0.get(..STAMP).and_then(|stamp| u64::from_str_radix(stamp, 16).ok());
        Duration::from_millis(stamp.unwrap_or(0))
    }
}

impl fmt::Display for TimeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::sim::World;

    #[test]
    fn an_id_tells_its_time_and_orders_by_it() {
        let world = World::new(1);
        let first = TimeId::new(&world.host());
        world.pass(Duration::from_millis(1_234));
        let id = TimeId::new(&world.host());
        assert_eq!(id.created(), Duration::from_millis(1_800_000_001_234));
        assert!(first < id && id.as_str() < TimeId::END);
        assert_eq!(TimeId::parse(id.as_str()), Some(id.clone()));
        for digits in ["", "x", "../../link-secret", &format!("{id}0"), &id.as_str().to_uppercase()] {
            assert_eq!(TimeId::parse(digits), None, "{digits}");
        }
    }
}
