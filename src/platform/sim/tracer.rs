//! The simulated world's collector of spans, which is as strict as hosts are.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::platform::span::{Span, SpanPlace, Tracer};

/// Collector of spans.
#[derive(Default)]
pub struct SimTracer {
    open: RefCell<BTreeSet<String>>,
    ended: RefCell<Vec<Span>>,
}

impl SimTracer {
    /// Spans that have ended, in that order.
    pub fn ended(&self) -> Vec<Span> {
        self.ended.borrow().clone()
    }

    /// Number of spans that have begun and not ended.
    pub fn open(&self) -> usize {
        self.open.borrow().len()
    }
}

impl Tracer for SimTracer {
    fn begin(&self, place: &SpanPlace) {
        assert!(self.open.borrow_mut().insert(place.id.to_string()), "{place:?} has begun before");
    }

    fn end(&self, span: &Span) {
        // Spin ends the instance.
        assert!(self.open.borrow_mut().remove(&*span.place.id), "{span:?} has not begun");
        self.ended.borrow_mut().push(span.clone());
    }
}
