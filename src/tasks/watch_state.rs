//! State of the watch over tasks in an instance.

use std::cell::Cell;
use std::time::Duration;

/// State of the watch over tasks in an instance.
#[derive(Default)]
pub(super) struct WatchState {
    pub(super) is_watching: Cell<bool>,
    /// Monotonic time of the last look.
    pub(super) looked: Cell<Option<Duration>>,
    /// Set while a delayed look is due.
    pub(super) is_look_due: Cell<bool>,
}
