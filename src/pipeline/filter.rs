//! Filter of updates that come too late.

use std::collections::{HashMap, HashSet};

use super::item::Item;
use super::update::Update;

/// Filter of updates that come too late, as fetches overtake each other.
#[derive(Default)]
pub(super) struct UpdateFilter {
    ended: HashSet<u32>,
    partials: HashMap<u32, u32>,
}

impl UpdateFilter {
    /// False for what would follow an image's end, or a newer partial image.
    pub(super) fn allows(&mut self, update: &Update) -> bool {
        match update {
            Update::Ignored(_) => true,
            Update::Waiting(index, _) | Update::Placed(index, _) | Update::Progress(index, _) => {
                !self.ended.contains(index)
            }
            Update::Partial(index, number, _) => {
                let newest = self.partials.insert(*index, *number).is_none_or(|last| last < *number);
                newest && !self.ended.contains(index)
            }
            Update::Made(Item { index, .. }) | Update::Failed(index, _) => self.ended.insert(*index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Timing;
    use crate::pipeline::{ImageProgress, Payload};

    #[test]
    fn nothing_follows_an_images_end() {
        let item = |index| Item {
            index,
            seed: 1,
            size: None,
            format: None,
            payload: Payload::Url(String::new()),
            file: None,
            space: None,
            timing: Timing::default(),
        };
        let mut order = UpdateFilter::default();
        assert!(order.allows(&Update::Partial(0, 1, item(0))));
        assert!(!order.allows(&Update::Partial(0, 0, item(0))), "an older one");
        assert!(order.allows(&Update::Made(item(0))));
        assert!(!order.allows(&Update::Partial(0, 2, item(0))));
        assert!(!order.allows(&Update::Progress(0, ImageProgress::Started(None))));
        assert!(order.allows(&Update::Progress(1, ImageProgress::Started(None))));
    }
}
