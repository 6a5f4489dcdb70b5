//! State of an instance's watch over tasks.

use std::cell::Cell;
use std::time::Duration;

/// Knowledge of an instance of its watching.
#[derive(Default)]
pub(super) struct WatchState {
    pub(super) is_watching: Cell<bool>,
    /// Monotonic time of the last look.
    pub(super) looked: Cell<Option<Duration>>,
    /// Whether a look is to come.
    pub(super) is_look_due: Cell<bool>,
}
