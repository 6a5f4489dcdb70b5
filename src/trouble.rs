//! Trouble that is told once, however often it happens.

use std::cell::Cell;
use std::rc::Rc;

/// What is told of it, and where.
pub struct Trouble {
    message: &'static str,
    told: Cell<bool>,
    log: Log,
}

/// Writes a message and its detail to the log.
pub type Log = Rc<dyn Fn(&str, &str)>;

impl Trouble {
    /// Trouble with that message, for people.
    pub fn new(message: &'static str, log: &Log) -> Self {
        Self { message, told: Cell::new(false), log: Rc::clone(log) }
    }

    /// Tells it, the first time.
    pub fn tell(&self, detail: &impl ToString) {
        if !self.told.replace(true) {
            (self.log)(self.message, &detail.to_string());
        }
    }
}
