//! Claims under way.

use std::collections::{BTreeMap, BTreeSet};

/// Resources with claims under way, whose slots in the database may not have arrived here yet.
#[derive(Default)]
pub(super) struct Claiming {
    now: BTreeMap<String, u32>,
    /// Resources with a claim at any time since the last renewal was sent.
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

    /// Notes that a renewal is sent: earlier claims have arrived by now.
    pub(super) fn forget(&mut self) {
        self.lately = self.now.keys().cloned().collect();
    }

    /// True if slots of `resource` were claimed since the last renewal was sent.
    pub(super) fn was_lately(&self, resource: &str) -> bool {
        self.lately.contains(resource)
    }
}
