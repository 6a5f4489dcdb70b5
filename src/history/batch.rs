//! Bounded buffer of entries that wait to be written.

use std::collections::VecDeque;

use futures::channel::oneshot;

use crate::platform::Value;

/// Maximum number of entries of a batch.
const ENTRIES: usize = 32;
/// Maximum size of a batch, in bytes; a single entry may be larger.
const BYTES: usize = 64 << 10;
/// Maximum number of buffered entries.
const MOST: usize = 512;
/// Maximum size of buffered entries, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// Buffer of entries that wait to be written.
#[derive(Default)]
pub(super) struct Batch {
    rows: VecDeque<Pending>,
    bytes: usize,
    /// Dropped once a batch is full, which notifies its receiver.
    full: Option<oneshot::Sender<()>>,
}

/// A buffered row.
#[derive(Clone)]
pub(super) struct Pending {
    pub(super) owner: String,
    pub(super) bytes: usize,
    pub(super) values: Vec<Value>,
}

impl Batch {
    /// Adds a row.
    pub(super) fn push(&mut self, row: Pending) {
        self.bytes += row.bytes;
        self.rows.push_back(row);
        if self.is_full() {
            self.full.take();
        }
    }

    /// True once a batch is full.
    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= ENTRIES || self.bytes >= BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Receiver that resolves once a batch is full.
    pub(super) fn await_full(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.full = Some(sender);
        receiver
    }

    /// True if the buffer has room for `row`.
    pub(super) fn has_room(&self, row: &Pending) -> bool {
        self.rows.len() < MOST && self.bytes.saturating_add(row.bytes) <= MOST_BYTES
    }

    /// Takes the rows of one batch.
    pub(super) fn take(&mut self) -> Vec<Pending> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(row) = self.rows.front() {
            if taken.len() == ENTRIES || (!taken.is_empty() && bytes + row.bytes > BYTES) {
                break;
            }
            bytes += row.bytes;
            taken.extend(self.rows.pop_front());
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        taken
    }

    /// Puts the rows of a failed batch back to the front.
    pub(super) fn put_back(&mut self, rows: Vec<Pending>) {
        for row in rows.into_iter().rev() {
            self.bytes += row.bytes;
            self.rows.push_front(row);
        }
    }
}
