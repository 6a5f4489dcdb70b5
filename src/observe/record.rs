//! Record of a request: what is known of it until its end.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::Method;

use crate::catalog::Model;
use crate::dispatch::Timing;
use crate::generation::Generation;
use crate::trace_context::TraceContext;

/// Length of a prompt in the log at most, in characters.
const MAX_PROMPT: usize = 4_000;

/// Route of a request, as far as the log needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedRoute {
    /// Pattern of its paths.
    pub pattern: &'static str,
    /// Marks a route that programs ask for all the time: probes, images behind links.
    pub is_quiet: bool,
}

/// End of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestEnd {
    /// All of its answer was taken.
    Complete,
    /// Its client left before, or takes nothing any more.
    Left,
    /// Its answer broke off by a fault on this side.
    Broken,
}

/// Record of a request. Clones are the same.
#[derive(Clone)]
pub struct RequestRecord(Rc<RecordInner>);

struct RecordInner {
    id: String,
    method: Method,
    /// Arrival, monotonic.
    begun: Duration,
    known: RefCell<RequestFacts>,
}

/// Facts of a request.
#[derive(Debug, Default)]
pub(super) struct RequestFacts {
    pub(super) route: Option<ObservedRoute>,
    pub(super) trace: Option<TraceContext>,
    /// Id of the caller's key; empty for none.
    pub(super) key_id: String,
    /// Status of the answer.
    pub(super) status: u16,
    /// Id of the model.
    pub(super) model: Option<String>,
    /// Name of the Space that made the last image, or failed to.
    pub(super) space: Option<Rc<str>>,
    /// Number of images that were asked for.
    pub(super) asked: Option<u32>,
    /// Set once its images are in the making, by this request and not by a task.
    pub(super) has_started: bool,
    pub(super) made: u32,
    pub(super) failed: u32,
    pub(super) retries: u32,
    /// Times of the last image that was made.
    pub(super) timing: Option<Timing>,
    /// Bytes of the answer's body that were taken.
    pub(super) bytes: u64,
    pub(super) prompt: Option<String>,
    /// Ends of its images, where its trace is collected.
    pub(super) images: Vec<ImageEnd>,
}

/// End of an image. Times are monotonic.
#[derive(Debug)]
pub(super) struct ImageEnd {
    /// Index of the image, from 0.
    pub(super) index: u32,
    pub(super) begun: Duration,
    pub(super) ended: Duration,
    /// Times of one that was made.
    pub(super) timing: Option<Timing>,
    /// Name of the Space that made it, or failed to.
    pub(super) space: Option<Rc<str>>,
    /// Name for machines of why there is none.
    pub(super) error: Option<&'static str>,
}

impl RequestFacts {
    /// True where spans of the request are collected.
    pub(super) fn is_collected(&self) -> bool {
        self.trace.as_ref().is_some_and(|trace| trace.span().is_some())
    }
}

impl RequestRecord {
    pub(super) fn new(id: &str, method: &Method, route: Option<ObservedRoute>, begun: Duration) -> Self {
        let known = RefCell::new(RequestFacts { route, ..RequestFacts::default() });
        Self(Rc::new(RecordInner { id: id.to_owned(), method: method.clone(), begun, known }))
    }

    pub(super) fn id(&self) -> &str {
        &self.0.id
    }

    pub(super) fn method(&self) -> &Method {
        &self.0.method
    }

    pub(super) fn begun(&self) -> Duration {
        self.0.begun
    }

    pub(super) fn read(&self, read: impl FnOnce(&RequestFacts)) {
        read(&self.0.known.borrow());
    }

    pub(super) fn note(&self, note: impl FnOnce(&mut RequestFacts)) {
        note(&mut self.0.known.borrow_mut());
    }

    /// Notes the trace that it belongs to.
    pub fn set_trace(&self, trace: Option<TraceContext>) {
        self.note(|known| known.trace = trace);
    }

    /// Trace that it belongs to.
    pub fn trace(&self) -> Option<TraceContext> {
        self.0.known.borrow().trace.clone()
    }

    /// Notes the id of the caller's key.
    pub fn set_key(&self, id: &str) {
        self.note(|known| id.clone_into(&mut known.key_id));
    }

    /// Notes images that are asked for; their prompt only with `has_prompt`.
    pub fn set_images(&self, model: &Model, generation: &Generation, has_prompt: bool) {
        self.note(|known| {
            known.model = Some(model.id.clone());
            known.asked = Some(generation.count);
            known.prompt = has_prompt.then(|| generation.prompt.chars().take(MAX_PROMPT).collect());
        });
    }
}
