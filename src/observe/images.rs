//! Watch over what becomes of a run's images.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;

use super::metrics::family::{FETCH, GENERATE, IMAGES, QUEUE, RETRIES, WAIT};
use super::metrics::registry::Metrics;
use super::record::{ImageEnd, RequestFacts, RequestRecord};
use crate::catalog::Model;
use crate::dispatch::{Event, EventKind, Made, Refusal};
use crate::error::Retry;
use crate::gradio::space::Space;
use crate::pipeline::{EventWatch, Item};

/// Label of an image that no Space was tried for.
const NO_SPACE: &str = "none";

/// Watch over the images of a request, of which its `record` takes note.
pub fn of_request(metrics: &Rc<Metrics>, record: &RequestRecord, model: &Model, count: u32) -> EventWatch {
    record.note(|known| known.has_started = true);
    watch(metrics, Some(record), model, count)
}

/// Watch over images of a task.
pub fn of_task(metrics: &Rc<Metrics>, model: &Model, count: u32) -> EventWatch {
    watch(metrics, None, model, count)
}

fn watch(metrics: &Rc<Metrics>, record: Option<&RequestRecord>, model: &Model, count: u32) -> EventWatch {
    let watch = ImagesWatch {
        metrics: Rc::clone(metrics),
        record: record.cloned(),
        model: metrics.model(model).to_owned(),
        begun: metrics.now(),
        placed: RefCell::default(),
        left: Cell::new(count),
    };
    Rc::new(move |event| watch.see(event))
}

struct ImagesWatch {
    metrics: Rc<Metrics>,
    /// Record of the request; none for a task.
    record: Option<RequestRecord>,
    /// Label of the model.
    model: String,
    /// Beginning of the run, monotonic.
    begun: Duration,
    /// Space that each image was given to last, by the image's index.
    placed: RefCell<BTreeMap<u32, Space>>,
    /// Number of images that have not ended.
    left: Cell<u32>,
}

impl ImagesWatch {
    fn see(&self, Event { index, kind }: &Event<Item>) {
        match kind {
            EventKind::Placed(placement) => {
                let before = self.placed.borrow_mut().insert(*index, placement.space.clone());
                if before.is_some() {
                    self.metrics.add(&RETRIES, &[("model", &self.model)], 1.0);
                    self.note(|record| record.note(|known| known.retries = known.retries.saturating_add(1)));
                }
            }
            EventKind::Made(made) => self.made(*index, made),
            EventKind::Failed(refusal) => self.failed(*index, refusal),
            EventKind::Waiting { .. } | EventKind::Progress(_) | EventKind::Partial(_) => {}
        }
    }

    fn made(&self, index: u32, Made { space, timing, .. }: &Made<Item>) {
        self.ended(Some(space), "made");
        let label = [("space", self.metrics.space(space.name()))];
        self.metrics.observe(&WAIT, &[("model", &self.model)], timing.wait);
        self.metrics.observe(&QUEUE, &label, timing.queue);
        self.metrics.observe(&GENERATE, &label, timing.generate);
        self.metrics.observe(&FETCH, &label, timing.fetch);
        self.note(|record| {
            record.note(|known| {
                known.made = known.made.saturating_add(1);
                known.timing = Some(*timing);
                known.space = Some(Rc::from(space.name()));
                self.keep_end(known, index, known.space.clone(), None);
            });
        });
    }

    fn failed(&self, index: u32, refusal: &Refusal) {
        let placed = self.placed.borrow();
        let space = placed.get(&index);
        let is_postponed = self.record.is_none() && is_for_want_of_room(refusal);
        self.ended(space, if is_postponed { "postponed" } else { "failed" });
        self.note(|record| {
            record.note(|known| {
                known.failed = known.failed.saturating_add(1);
                let name: Option<Rc<str>> = space.map(|space| Rc::from(space.name()));
                known.space = name.clone().or_else(|| known.space.take());
                if known.is_collected() {
                    let code = refusal.clone().into_error(false).code;
                    self.keep_end(known, index, name, Some(code.unwrap_or("_OTHER")));
                }
            });
        });
    }

    /// Keeps the end of an image for its span, where that is collected.
    fn keep_end(&self, known: &mut RequestFacts, index: u32, space: Option<Rc<str>>, error: Option<&'static str>) {
        if known.is_collected() {
            let timing = known.timing.filter(|_| error.is_none());
            let (begun, ended) = (self.begun, self.metrics.now());
            known.images.push(ImageEnd { index, begun, ended, timing, space, error });
        }
    }

    fn ended(&self, space: Option<&Space>, outcome: &str) {
        self.left.set(self.left.get().saturating_sub(1));
        self.count(space, outcome, 1);
    }

    fn count(&self, space: Option<&Space>, outcome: &str, number: u32) {
        let space = space.map_or(NO_SPACE, |space| self.metrics.space(space.name()));
        let pairs = [("model", self.model.as_str()), ("space", space), ("outcome", outcome)];
        self.metrics.add(&IMAGES, &pairs, f64::from(number));
    }

    fn note(&self, note: impl FnOnce(&RequestRecord)) {
        if let Some(record) = &self.record {
            note(record);
        }
    }
}

impl Drop for ImagesWatch {
    fn drop(&mut self) {
        // Their client has left, or their task was cancelled.
        self.count(None, "cancelled", self.left.get());
    }
}

/// True for a refusal after which a task is put back until later.
fn is_for_want_of_room(refusal: &Refusal) -> bool {
    let error = refusal.clone().into_error(false);
    error.status == StatusCode::SERVICE_UNAVAILABLE && matches!(error.retry, Retry::After(_))
}
