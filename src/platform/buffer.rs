//! Buffer that grows within the budget of the instance's memory.

use bytes::Bytes;

use super::memory::{OutOfMemory, Reservation, UNCOUNTED};
use super::port::Host;
use super::reserve::grow;

/// Bytes that come in pieces, with the memory that they take.
pub struct HeldBuffer {
    bytes: Vec<u8>,
    reservation: Reservation,
    /// Copies of them that are about to be made, themselves included.
    copies: usize,
}

impl HeldBuffer {
    /// A buffer of which that many copies are about to be made, itself included.
    pub fn new(host: &Host, copies: usize) -> Self {
        Self { bytes: Vec::new(), reservation: host.memory().none(), copies }
    }

    /// Number of bytes in it.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True where nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Makes room for `length` bytes in all, if there is as much memory now.
    pub fn try_make_room(&mut self, length: usize) -> bool {
        let has_room = length <= UNCOUNTED || self.reservation.try_grow_to(length.saturating_mul(self.copies));
        if has_room {
            self.bytes.reserve_exact(length.saturating_sub(self.bytes.len()));
        }
        has_room
    }

    /// Adds a piece.
    ///
    /// # Errors
    /// [`OutOfMemory`], as of [`grow`].
    pub async fn push(&mut self, host: &Host, piece: &[u8]) -> Result<(), OutOfMemory> {
        let (length, needed) = (self.bytes.len(), self.bytes.len().saturating_add(piece.len()));
        if needed > self.bytes.capacity() {
            // By halves rather than by doubling, and beside the old place while it moves.
            let capacity = needed.max(length.saturating_add(length / 2)).max(4096);
            if capacity > UNCOUNTED {
                let all = capacity.saturating_mul(self.copies).saturating_add(length);
                grow(host, &mut self.reservation, all).await?;
            }
            self.bytes.reserve_exact(capacity.saturating_sub(length));
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// The bytes, which hold their memory, that of the copies included, for as long as a slice of them is left.
    pub fn finish(mut self) -> Bytes {
        self.bytes.shrink_to_fit();
        self.reservation.shrink_to(self.bytes.len().saturating_mul(self.copies));
        self.reservation.hold(self.bytes)
    }
}
