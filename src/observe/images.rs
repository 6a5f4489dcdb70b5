//! Watch over what becomes of a run's images.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::record::RequestRecord;
use crate::dispatch::{Event, EventKind};
use crate::gradio::space::Space;
use crate::pipeline::{EventWatch, Item};

/// Watch over the images of a request, of which its `record` takes note.
pub fn watch(record: &RequestRecord) -> EventWatch {
    record.note(|known| known.has_started = true);
    let watch = ImagesWatch { record: record.clone(), placed: RefCell::default() };
    Rc::new(move |event| watch.see(event))
}

struct ImagesWatch {
    record: RequestRecord,
    /// Space that each image was given to last, by the image's index.
    placed: RefCell<BTreeMap<u32, Space>>,
}

impl ImagesWatch {
    fn see(&self, Event { index, kind }: &Event<Item>) {
        match kind {
            EventKind::Placed(placement) => {
                let before = self.placed.borrow_mut().insert(*index, placement.space.clone());
                if before.is_some() {
                    self.record.note(|known| known.retries = known.retries.saturating_add(1));
                }
            }
            EventKind::Made(made) => self.record.note(|known| {
                known.made = known.made.saturating_add(1);
                known.timing = Some(made.timing);
                known.space = Some(Rc::from(made.space.name()));
            }),
            EventKind::Failed(_) => {
                let at = self.placed.borrow().get(index).map(|space| Rc::from(space.name()));
                self.record.note(|known| {
                    known.failed = known.failed.saturating_add(1);
                    known.space = at.or_else(|| known.space.take());
                });
            }
            EventKind::Waiting { .. } | EventKind::Progress(_) | EventKind::Partial(_) => {}
        }
    }
}
