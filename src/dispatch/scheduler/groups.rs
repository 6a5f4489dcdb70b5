//! Groups of waiting jobs that the same decision is due to.
//!
//! Jobs of a queue with the same candidates, which no stagger holds back, differ by nothing but their work and their
//! place in the order. Once there is no room for one of them, there is none for those behind it. So a scheduling pass
//! looks at a group's jobs up to the first one without room: the group is *stuck* there.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::rank::WaitingPlace;
use super::ranked::RankedSet;
use super::request::{Past, SlotRequest};
use crate::gradio::space::Origin;

/// Groups by number.
#[derive(Default)]
pub(super) struct Groups {
    numbers: HashMap<Features, u32>,
    groups: BTreeMap<u32, Group>,
    next: u32,
}

/// A group.
pub(super) struct Group {
    features: Features,
    pub(super) order: RankedSet<WaitingPlace>,
    /// Number of its jobs with a row in the database.
    written: usize,
    /// Point from which on the last pass has looked at none.
    pub(super) stuck: Option<Stuck>,
}

/// Point at which a group is stuck.
pub(super) struct Stuck {
    /// The last job that the pass has looked at.
    pub(super) at: WaitingPlace,
    /// Set where the jobs behind it lack nothing but a slot.
    pub(super) wants_slot: bool,
}

/// Features that a group's jobs share.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Features {
    queue: Rc<str>,
    /// Their candidates, with the number of slots.
    candidates: Vec<(Origin, Past, usize)>,
}

impl Features {
    fn of(request: &SlotRequest) -> Self {
        let candidates = request.candidates.iter();
        let feature = candidates.map(|one| (one.member.space.origin().clone(), one.past, one.member.slots));
        Self { queue: Rc::clone(&request.place.queue), candidates: feature.collect() }
    }
}

impl Groups {
    /// Number of the group for a request, which is made where there is none.
    pub(super) fn number(&mut self, request: &SlotRequest) -> u32 {
        let features = Features::of(request);
        if let Some(number) = self.numbers.get(&features) {
            return *number;
        }
        self.next = self.next.wrapping_add(1);
        self.numbers.insert(features.clone(), self.next);
        let group = Group { features, order: RankedSet::default(), written: 0, stuck: None };
        self.groups.insert(self.next, group);
        self.next
    }

    /// Adds a job to a group.
    pub(super) fn add(&mut self, number: u32, place: WaitingPlace, is_written: bool) {
        if let Some(group) = self.groups.get_mut(&number) {
            group.order.insert(place);
            group.written += usize::from(is_written);
        }
    }

    /// Removes a job from a group, which goes with its last one.
    pub(super) fn remove(&mut self, number: u32, place: &WaitingPlace, is_written: bool) {
        let Some(group) = self.groups.get_mut(&number) else { return };
        group.order.remove(place);
        group.written -= usize::from(is_written);
        if group.order.len() == 0
            && let Some(group) = self.groups.remove(&number)
        {
            self.numbers.remove(&group.features);
        }
    }

    pub(super) fn get(&self, number: u32) -> Option<&Group> {
        self.groups.get(&number)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Group> {
        self.groups.get_mut(&number)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Group)> {
        self.groups.iter().map(|(number, group)| (*number, group))
    }

    /// Begins a pass, in which no group is stuck yet.
    pub(super) fn loosen(&mut self) {
        self.groups.values_mut().for_each(|group| group.stuck = None);
    }
}

impl Group {
    /// True while jobs of the group have rows in the database.
    pub(super) fn has_rows(&self) -> bool {
        self.written > 0
    }

    /// The flag of a job at `place` by the last pass, where the pass hasn't looked at it.
    pub(super) fn wants_slot(&self, place: &WaitingPlace) -> Option<bool> {
        self.stuck.as_ref().filter(|stuck| *place > stuck.at).map(|stuck| stuck.wants_slot)
    }
}
