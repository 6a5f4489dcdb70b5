//! A warning that an instance logs once, however often its cause occurs.

use std::cell::Cell;
use std::rc::Rc;

use crate::platform::log::{Level, Log, LogRecord};

/// A warning that is logged at most once.
pub struct WarnOnce {
    message: &'static str,
    is_given: Cell<bool>,
    log: Log,
}

impl WarnOnce {
    /// A warning with `message`, not logged yet.
    pub fn new(message: &'static str, log: &Log) -> Self {
        Self { message, is_given: Cell::new(false), log: Rc::clone(log) }
    }

    /// Logs the warning with `detail` on the first call, and nothing afterwards.
    pub fn warn(&self, detail: &impl ToString) {
        if !self.is_given.replace(true) {
            let detail = detail.to_string();
            (self.log)(&LogRecord { detail: Some(&detail), ..LogRecord::new(Level::Warn, self.message) });
        }
    }
}
