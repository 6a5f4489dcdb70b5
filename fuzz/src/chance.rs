//! Random numbers from a seed.

/// Random numbers from a seed (SplitMix64): the same input is cut and changed in the same way each time.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// Numbers of that seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Numbers that an input decides (FNV-1a).
    pub fn of(data: &[u8]) -> Self {
        let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self(data.iter().fold(0xcbf2_9ce4_8422_2325, hash))
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 where that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.draw() % bound).unwrap_or_default()
    }

    /// One of `all`, which aren't none.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// `whole` in pieces, most of them short.
    pub fn pieces<'a>(&mut self, mut whole: &'a [u8]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        while !whole.is_empty() {
            let longest = *self.one_of(&[1, 2, 8, 100, 10_000]);
            let (piece, rest) = whole.split_at((1 + self.below(longest)).min(whole.len()));
            pieces.push(piece);
            whole = rest;
        }
        pieces
    }
}
