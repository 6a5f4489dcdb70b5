//! Seed of an image.

/// A seed: from 0 to 2³¹ − 1, which is what Spaces take (`np.iinfo(np.int32).max`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u32);

impl Seed {
    /// The greatest seed.
    pub const MAX: u32 = i32::MAX.unsigned_abs();

    /// A seed, unless it is out of range.
    pub fn new(seed: u32) -> Option<Self> {
        (seed <= Self::MAX).then_some(Self(seed))
    }

    /// The seed that random bits stand for.
    pub fn of_bits(bits: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(bits) & Self::MAX)
    }

    /// The seed `offset` further; after the greatest comes 0.
    pub fn plus(self, offset: u32) -> Self {
        Self(self.0.wrapping_add(offset) & Self::MAX)
    }

    /// The seed that this one is from `least` to `greatest`: itself, or one that differs for seeds that follow each
    /// other, as long as there are any.
    pub fn within(self, least: u32, greatest: u32) -> Self {
        if (least..=greatest).contains(&self.0) {
            return self;
        }
        let count = greatest.saturating_sub(least).saturating_add(1);
        Self(least.saturating_add(self.0 % count).min(Self::MAX))
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_wrap_at_their_greatest() {
        assert_eq!(Seed::new(Seed::MAX).unwrap().plus(1).get(), 0);
        assert_eq!(Seed::new(Seed::MAX + 1), None);
        assert_eq!(Seed::of_bits([0xff; 4]).get(), Seed::MAX);
        assert_eq!(Seed::new(41).unwrap().plus(1).get(), 42);
    }

    #[test]
    fn seeds_stay_different_in_a_smaller_range() {
        let within = |seed, least, greatest| Seed::new(seed).unwrap().within(least, greatest).get();
        assert_eq!((within(42, 0, 999_999), within(1_000_042, 0, 999_999)), (42, 42));
        assert_eq!((within(999_999, 0, 999_999), within(1_000_000, 0, 999_999)), (999_999, 0));
        assert_eq!((within(0, 1, 10), within(10, 1, 10), within(11, 1, 10)), (1, 10, 2));
        assert_eq!((within(7, 5, 5), within(7, 9, 3), within(Seed::MAX, 0, u32::MAX)), (5, 9, Seed::MAX));
    }
}
