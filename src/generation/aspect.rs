//! Ratio of width to height.

use super::size::Size;

/// The ratio of width to height, from 1:8 to 8:1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aspect(f64);

impl Aspect {
    /// Sides that come out of a ratio are multiples of this, in pixels: image models ask for that.
    const STEP: f64 = 64.0;

    /// Parses `WIDTH:HEIGHT`.
    pub fn parse(text: &str) -> Option<Self> {
        let (width, height) = text.trim().split_once([':', '：', '/'])?;
        let side = |text: &str| text.trim().parse::<f64>().ok().filter(|side| side.is_finite() && *side > 0.0);
        let ratio = side(width)? / side(height)?;
        (0.125..=8.0).contains(&ratio).then_some(Self(ratio))
    }

    /// The size of this shape with about as many pixels as `like`.
    pub fn size(self, like: Size) -> Size {
        let area = f64::from(like.width()) * f64::from(like.height());
        let side = |length: f64| {
            let length = ((length / Self::STEP).round() * Self::STEP).clamp(f64::from(Size::MIN), f64::from(Size::MAX));
            format!("{length:.0}").parse().unwrap_or(Size::MIN)
        };
        Size::clamped(side((area * self.0).sqrt()), side((area / self.0).sqrt()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_keeps_the_number_of_pixels() {
        let size = |text, like| Aspect::parse(text).map(|aspect| aspect.size(like).to_string());
        assert_eq!(size("16:9", Size::USUAL).as_deref(), Some("1344x768"));
        assert_eq!(size("9 : 16", Size::USUAL).as_deref(), Some("768x1344"));
        assert_eq!(size("1:1", Size::new(2048, 2048).unwrap()).as_deref(), Some("2048x2048"));
        assert_eq!(size("8:1", Size::new(4096, 4096).unwrap()).as_deref(), Some("4096x1472"));
        for text in ["", "16", "16:", "0:1", "-1:1", "9:1", "1:9", "a:b", "inf:1", "NaN:1"] {
            assert_eq!(size(text, Size::USUAL), None, "{text}");
        }
    }
}
