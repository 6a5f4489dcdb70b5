//! Width and height of an image.

use std::fmt;

/// Width and height in pixels, each from [`Size::MIN`] to [`Size::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    width: u32,
    height: u32,
}

impl Size {
    /// The least width and height, in pixels.
    pub const MIN: u32 = 64;
    /// The greatest width and height, in pixels.
    pub const MAX: u32 = 4096;
    /// Size that most models are made for.
    pub const USUAL: Self = Self { width: 1024, height: 1024 };

    /// A size, unless a side is out of range.
    pub fn new(width: u32, height: u32) -> Option<Self> {
        let fits = |side| (Self::MIN..=Self::MAX).contains(&side);
        (fits(width) && fits(height)).then_some(Self { width, height })
    }

    /// The size nearest to these sides.
    pub(super) fn clamped(width: u32, height: u32) -> Self {
        Self { width: width.clamp(Self::MIN, Self::MAX), height: height.clamp(Self::MIN, Self::MAX) }
    }

    /// Parses `WIDTHxHEIGHT`; `×` and `*` stand for `x` too.
    pub fn parse(text: &str) -> Option<Self> {
        let (width, height) = text.trim().split_once(['x', 'X', '×', '*'])?;
        let side = |text: &str| text.trim().parse().ok();
        Self::new(side(width)?, side(height)?)
    }

    /// Width in pixels.
    pub fn width(self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(self) -> u32 {
        self.height
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_bounded() {
        assert_eq!(Size::parse("1536x1024").map(|size| size.to_string()).as_deref(), Some("1536x1024"));
        assert_eq!(Size::parse(" 512 × 768 "), Size::new(512, 768));
        for text in ["", "x", "1024", "63x64", "64x4097", "-1x5", "1e3x1e3", "64x64x64", "auto"] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
    }
}
