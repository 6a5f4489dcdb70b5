//! A warning that is logged once, however often there is reason for it.

use std::cell::Cell;
use std::rc::Rc;

use crate::platform::log::{Level, Log, LogRecord};

/// The warning, and whether it was given.
pub struct WarnOnce {
    message: &'static str,
    is_given: Cell<bool>,
    log: Log,
}

impl WarnOnce {
    /// A warning of that message, for people.
    pub fn new(message: &'static str, log: &Log) -> Self {
        Self { message, is_given: Cell::new(false), log: Rc::clone(log) }
    }

    /// Logs it with `detail`, the first time.
    pub fn warn(&self, detail: &impl ToString) {
        if !self.is_given.replace(true) {
            let detail = detail.to_string();
            (self.log)(&LogRecord { detail: Some(&detail), ..LogRecord::new(Level::Warn, self.message) });
        }
    }
}
