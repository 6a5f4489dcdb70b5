//! A warning that an instance logs once, however often its cause occurs.

use std::cell::Cell;
use std::rc::Rc;

/// Writes a message and its detail to the log.
pub type Log = Rc<dyn Fn(&str, &str)>;

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
            (self.log)(self.message, &detail.to_string());
        }
    }
}
