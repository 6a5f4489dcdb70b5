//! Wall-clock time that an instance can count on: it never goes back.

use std::cell::Cell;
use std::time::Duration;

/// Wall clock of an instance, corrected where the machine's is set back.
///
/// A machine's clock that is set forward is followed at once. While it is behind what was read before, time goes on at
/// half its speed until the machine's has caught up, so that what waits until some time waits twice as long at most.
#[derive(Debug, Default)]
pub(crate) struct WallClock {
    last: Cell<Option<ClockReading>>,
}

#[derive(Clone, Copy, Debug)]
struct ClockReading {
    unix: Duration,
    monotonic: Duration,
}

impl WallClock {
    /// Time since the Unix epoch, where the machine's wall clock says `unix` and its monotonic one `monotonic`.
    pub(crate) fn read(&self, unix: Duration, monotonic: Duration) -> Duration {
        let slowest = self.last.get().map(|last| last.unix + monotonic.saturating_sub(last.monotonic) / 2);
        let unix = slowest.map_or(unix, |slowest| slowest.max(unix));
        self.last.set(Some(ClockReading { unix, monotonic }));
        unix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_clock_that_is_right_is_followed() {
        let clock = WallClock::default();
        for second in [0, 1, 2, 3600, 3601] {
            assert_eq!(clock.read(second * SECOND, second * SECOND), second * SECOND);
        }
        assert_eq!(clock.read(8000 * SECOND, 3602 * SECOND), 8000 * SECOND, "set forward");
    }

    #[test]
    fn a_clock_that_is_set_back_is_waited_for() {
        let clock = WallClock::default();
        assert_eq!(clock.read(100 * SECOND, SECOND), 100 * SECOND);
        assert_eq!(clock.read(90 * SECOND, SECOND), 100 * SECOND);
        assert_eq!(clock.read(94 * SECOND, 5 * SECOND), 102 * SECOND);
        assert_eq!(clock.read(108 * SECOND, 19 * SECOND), 109 * SECOND);
        assert_eq!(clock.read(112 * SECOND, 23 * SECOND), 112 * SECOND, "caught up");
        assert_eq!(clock.read(113 * SECOND, 24 * SECOND), 113 * SECOND);
    }
}
