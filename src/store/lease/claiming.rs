//! Claims under way.

use std::collections::{BTreeMap, BTreeSet};

/// Resources of which slots are being claimed: what the store has for this instance there may be on its way here.
#[derive(Default)]
pub(super) struct Claiming {
    now: BTreeMap<String, u32>,
    /// At any time since the last renewal was sent.
    lately: BTreeSet<String>,
}

impl Claiming {
    pub(super) fn begin(&mut self, resource: &str) {
        *self.now.entry(resource.to_owned()).or_default() += 1;
        self.lately.insert(resource.to_owned());
    }

    pub(super) fn end(&mut self, resource: &str) {
        if let Some(count) = self.now.get_mut(resource) {
            *count -= 1;
            if *count == 0 {
                self.now.remove(resource);
            }
        }
    }

    /// A renewal is sent: what was claimed before is known by now.
    pub(super) fn forget(&mut self) {
        self.lately = self.now.keys().cloned().collect();
    }

    /// Whether slots of `resource` have been claimed since the last renewal was sent.
    pub(super) fn was_lately(&self, resource: &str) -> bool {
        self.lately.contains(resource)
    }
}
