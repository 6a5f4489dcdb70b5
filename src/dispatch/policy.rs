//! The operator's settings for giving jobs to Spaces.

use std::time::Duration;

use crate::platform::{Outside, random_bytes};

/// Settings for giving jobs to Spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Pause between a request's jobs at the same Space.
    pub stagger: Pause,
    /// Number of jobs that may wait in a model's queue.
    pub max_waiting: usize,
    /// Rule by which a Space is chosen.
    pub(crate) rule: SelectionRule,
}

/// Rule by which a Space is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SelectionRule {
    /// Earliest forecast of two Spaces that are drawn.
    #[default]
    Forecast,
    /// Any Space, at random.
    #[cfg(test)]
    Random,
    /// One Space after the other.
    #[cfg(test)]
    RoundRobin,
}

/// A pause of random length, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    least: Duration,
    most: Duration,
}

impl Policy {
    /// The policy with those figures.
    pub fn new(stagger: Pause, max_waiting: usize) -> Self {
        Self { stagger, max_waiting, rule: SelectionRule::default() }
    }
}

impl Pause {
    /// Usual pause: the predecessor's, which Spaces that count requests let pass.
    pub const USUAL: Self = Self { least: Duration::from_millis(1500), most: Duration::from_millis(3500) };

    /// Reads milliseconds: `1500-3500`, or one number for a pause that is always the same; up to ten minutes.
    pub fn parse(text: &str) -> Option<Self> {
        let (least, most) = text.split_once('-').unwrap_or((text, text));
        let milliseconds =
            |text: &str| text.trim().parse().ok().filter(|number| *number <= 600_000).map(Duration::from_millis);
        let (least, most) = (milliseconds(least)?, milliseconds(most)?);
        (least <= most).then_some(Self { least, most })
    }

    /// A pause.
    pub(super) fn draw(&self, outside: &Outside) -> Duration {
        let span = u32::try_from(self.most.saturating_sub(self.least).as_millis()).unwrap_or(u32::MAX);
        let random = u32::from_le_bytes(random_bytes(outside));
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
        assert_eq!(Pause::parse(" 0 ").unwrap().draw(&World::new(1).outside()), Duration::ZERO);
        for wrong in ["", "x", "3-2", "-1", "1-2-3", "600001", "1.5"] {
            assert_eq!(Pause::parse(wrong), None, "{wrong}");
        }
        let outside = World::new(1).outside();
        let drawn: Vec<u128> = (0..2000).map(|_| Pause::USUAL.draw(&outside).as_millis()).collect();
        assert!(drawn.iter().all(|pause| (1500..=3500).contains(pause)));
        assert!(drawn.iter().min() < Some(&1510) && drawn.iter().max() > Some(&3490));
    }
}
