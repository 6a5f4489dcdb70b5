//! Sizes of the reads of a body.
//!
//! A read takes a buffer that waits for as long as nothing comes: a thousand streams that wait should not have a large
//! one each. A body whose length is known is read in as few pieces as can be, so that it leaves in as few.

/// Bytes that the first read of a body takes at most whose length isn't known: some events.
const FIRST: usize = 4 << 10;
/// Bytes that a read takes at most.
const MOST: usize = 64 << 10;

/// Size of a body's next read.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadSize {
    /// Bytes that are still to come, where the length is known.
    left: Option<usize>,
    next: usize,
}

impl ReadSize {
    /// Reads of a body of `length`, where that is known.
    pub(super) fn of(length: Option<usize>) -> Self {
        Self { left: length, next: FIRST }
    }

    /// Bytes that the next read may take: at least one, by which the end is seen.
    pub(super) fn next(self) -> usize {
        self.left.map_or(self.next, |left| left.clamp(1, MOST))
    }

    /// Notes that a read took `count` bytes into a buffer of `room`. After a full one, the next may take twice as many.
    pub(super) fn took(&mut self, count: usize, room: usize) {
        self.left = self.left.map(|left| left.saturating_sub(count));
        if count >= room {
            self.next = room.saturating_mul(2).clamp(FIRST, MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes of the reads of a body that comes as fast as it is read.
    fn reads(length: Option<usize>, bytes: usize) -> Vec<usize> {
        let (mut size, mut left, mut reads) = (ReadSize::of(length), bytes, Vec::new());
        loop {
            let (room, count) = (size.next(), left.min(size.next()));
            reads.push(room);
            if count == 0 {
                return reads;
            }
            size.took(count, room);
            left -= count;
        }
    }

    #[test]
    fn a_known_body_is_read_in_pieces_as_large_as_can_be() {
        assert_eq!(reads(Some(30_000), 30_000), [30_000, 1]);
        assert_eq!(reads(Some(0), 0), [1]);
        assert_eq!(reads(Some(150_000), 150_000), [MOST, MOST, 150_000 - 2 * MOST, 1]);
    }

    #[test]
    fn a_body_of_unknown_length_is_read_in_pieces_that_grow() {
        assert_eq!(reads(None, 300), [FIRST, FIRST]);
        let grown = [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST, MOST, MOST, MOST];
        assert_eq!(reads(None, 31 * FIRST + 1)[..], grown);
        assert_eq!(reads(Some(10), 50).last(), Some(&1), "a length that lies costs small reads only");
    }
}
