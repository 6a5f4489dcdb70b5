//! Prefix codes: the shortest ones for how often symbols occur.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A code: its bits, the first of them lowest, and their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) bits: u16,
    pub(super) length: u8,
}

/// Codes for symbols that occur so often, of `longest` bits at most. A symbol that doesn't occur has no bits, and so
/// has the only one that does.
pub(super) fn codes(counts: &[u32], longest: u8) -> Vec<Code> {
    let mut counts: Vec<u64> = counts.iter().map(|count| u64::from(*count)).collect();
    let mut lengths = lengths(&counts);
    while lengths.iter().any(|length| *length > longest) {
        // The less they differ, the less their codes do.
        for count in counts.iter_mut().filter(|count| **count > 0) {
            *count = *count / 2 + 1;
        }
        lengths = self::lengths(&counts);
    }
    numbered(&lengths)
}

/// Length of each symbol's code.
fn lengths(counts: &[u64]) -> Vec<u8> {
    let mut lengths = vec![0_u8; counts.len()];
    let occurring = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let mut open: BinaryHeap<_> = occurring.map(|(symbol, count)| Reverse((*count, symbol))).collect();
    // Nodes above the symbols, each with the two below it.
    let mut nodes: Vec<[usize; 2]> = Vec::new();
    while let Some(Reverse((count, first))) = open.pop() {
        let Some(Reverse((other, second))) = open.pop() else { break };
        open.push(Reverse((count + other, counts.len() + nodes.len())));
        nodes.push([first, second]);
    }
    // The last node is the root, and none comes before the one above it when they are read from behind.
    let mut depths = vec![0_u8; nodes.len()];
    for number in (0..nodes.len()).rev() {
        let depth = depths.get(number).map_or(u8::MAX, |depth| depth.saturating_add(1));
        for below in nodes.get(number).into_iter().flatten() {
            let place = match below.checked_sub(counts.len()) {
                Some(node) => depths.get_mut(node),
                None => lengths.get_mut(*below),
            };
            if let Some(place) = place {
                *place = depth;
            }
        }
    }
    lengths
}

/// The codes of those lengths, in the order of RFC 1951 section 3.2.2.
fn numbered(lengths: &[u8]) -> Vec<Code> {
    let mut codes = vec![Code::default(); lengths.len()];
    let mut next = 0_u16;
    for length in 1..=15_u8 {
        for (code, _) in codes.iter_mut().zip(lengths).filter(|(_, own)| **own == length) {
            *code = Code { bits: next.reverse_bits() >> (16 - length), length };
            next = next.wrapping_add(1);
        }
        next <<= 1;
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_symbols_have_short_codes_and_none_begins_another() {
        let counts = [10, 0, 3, 3, 1, 1];
        let codes = codes(&counts, 15);
        assert_eq!(codes.iter().map(|code| code.length).collect::<Vec<_>>(), [1, 0, 3, 2, 4, 4]);
        let used: Vec<_> = codes.iter().filter(|code| code.length > 0).collect();
        for one in &used {
            for other in used.iter().filter(|other| **other != *one && other.length >= one.length) {
                assert_ne!(other.bits & ((1 << one.length) - 1), one.bits, "{codes:?}");
            }
        }
    }

    #[test]
    fn codes_are_no_longer_than_allowed_and_complete() {
        // As Fibonacci's numbers go, so do the longest codes.
        let mut counts = vec![1, 1];
        for number in 2..40 {
            counts.push(counts[number - 1] + counts[number - 2]);
        }
        for longest in [7, 15] {
            let codes = codes(&counts, longest);
            assert!(codes.iter().all(|code| (1..=longest).contains(&code.length)));
            let room: u32 = codes.iter().map(|code| 1 << (15 - code.length)).sum();
            assert_eq!(room, 1 << 15);
        }
    }

    #[test]
    fn one_symbol_needs_no_bits() {
        assert_eq!(codes(&[0, 7, 0], 15), vec![Code::default(); 3]);
        assert_eq!(codes(&[0, 0], 15), vec![Code::default(); 2]);
    }
}
