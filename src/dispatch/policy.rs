//! Configuration of the dispatch.

use std::time::Duration;

use crate::platform::{Host, random_bytes};

/// Configuration of the dispatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Pause between a request's jobs at the same Space.
    pub stagger: Pause,
    /// Maximum length of a model's wait queue.
    pub max_waiting: usize,
    /// Rule for the choice of a Space.
    pub rule: SelectionRule,
}

/// Rule for the choice of a Space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelectionRule {
    /// The earlier forecast of two Spaces drawn at random.
    #[default]
    Forecast,
    /// Any Space, at random.
    #[cfg(feature = "simulated")]
    Random,
    /// Spaces in turn.
    #[cfg(feature = "simulated")]
    RoundRobin,
}

/// A pause of random length within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    least: Duration,
    most: Duration,
}

impl Policy {
    /// A policy with the default rule.
    pub fn new(stagger: Pause, max_waiting: usize) -> Self {
        Self { stagger, max_waiting, rule: SelectionRule::default() }
    }
}

impl Default for Pause {
    fn default() -> Self {
        Self::USUAL
    }
}

impl Pause {
    /// Default pause: 1.5 to 3.5 s, which Spaces with rate limits tolerate.
    pub const USUAL: Self = Self { least: Duration::from_millis(1500), most: Duration::from_millis(3500) };

    /// Parses milliseconds: a range such as `1500-3500`, or one number for a fixed pause; ten minutes at most.
    pub fn parse(text: &str) -> Option<Self> {
        let (least, most) = text.split_once('-').unwrap_or((text, text));
        let milliseconds =
            |text: &str| text.trim().parse().ok().filter(|number| *number <= 600_000).map(Duration::from_millis);
        let (least, most) = (milliseconds(least)?, milliseconds(most)?);
        (least <= most).then_some(Self { least, most })
    }

    /// Draws a pause, uniformly distributed.
    pub(super) fn draw(&self, host: &Host) -> Duration {
        let span = u32::try_from(self.most.saturating_sub(self.least).as_millis()).unwrap_or(u32::MAX);
        let random = u32::from_le_bytes(random_bytes(host));
        let extra = (u64::from(random) * (u64::from(span) + 1)) >> 32;
        self.least + Duration::from_millis(extra)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::sim::World;

    #[test]
    fn pauses_are_read_and_drawn() {
        assert_eq!(Pause::parse("1500-3500"), Some(Pause::USUAL));
        assert_eq!(Pause::parse(" 0 ").unwrap().draw(&World::new(1).host()), Duration::ZERO);
        for wrong in ["", "x", "3-2", "-1", "1-2-3", "600001", "1.5"] {
            assert_eq!(Pause::parse(wrong), None, "{wrong}");
        }
        let host = World::new(1).host();
        let drawn: Vec<u128> = (0..2000).map(|_| Pause::USUAL.draw(&host).as_millis()).collect();
        assert!(drawn.iter().all(|pause| (1500..=3500).contains(pause)));
        assert!(drawn.iter().min() < Some(&1510) && drawn.iter().max() > Some(&3490));
    }
}
