//! Sizes as choices: `1024x1024 ( 1:1 )`, `16:9`, `Landscape (1152×896)`.

use super::choice::ParameterChoice;
use crate::generation::Size;

/// Shape of an image, as an option has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Its width and height in pixels.
    Size(Size),
    /// Its width over its height.
    Ratio(f64),
}

impl Shape {
    /// Reads it from a choice's value, or else from its label.
    pub fn of_choice(choice: &ParameterChoice) -> Option<Self> {
        choice.value.as_str().and_then(Self::read).or_else(|| Self::read(&choice.label))
    }

    /// Reads the first size in a text, or else the first ratio.
    pub fn read(text: &str) -> Option<Self> {
        let size = pairs(text, &['x', 'X', '×', '*', '✕']).find_map(|(width, height)| Size::new(width, height));
        let ratio = || {
            pairs(text, &[':', '：']).find(|(width, height)| *width > 0 && *height > 0 && *width < 100 && *height < 100)
        };
        size.map(Self::Size)
            .or_else(|| ratio().map(|(width, height)| Self::Ratio(f64::from(width) / f64::from(height))))
    }

    /// Distance from `wanted`: by shape first, then by area. 0 is the same.
    pub fn distance(self, wanted: Size) -> f64 {
        let ratio = |size: Size| f64::from(size.width()) / f64::from(size.height());
        let area = |size: Size| f64::from(size.width()) * f64::from(size.height());
        match self {
            Self::Size(size) => {
                (ratio(size) / ratio(wanted)).ln().abs() * 10.0 + (area(size) / area(wanted)).ln().abs()
            }
            Self::Ratio(own) => (own / ratio(wanted)).ln().abs() * 10.0,
        }
    }
}

/// All pairs of whole numbers in a text that one of `signs` joins, with white space around it or not.
fn pairs<'a>(text: &'a str, signs: &'a [char]) -> impl Iterator<Item = (u32, u32)> + 'a {
    text.match_indices(signs).filter_map(move |(at, sign)| {
        let before = text.get(..at)?.trim_end();
        let after = text.get(at + sign.len()..)?.trim_start();
        let digits = before.bytes().rev().take_while(u8::is_ascii_digit).count();
        let first = before.get(before.len() - digits..)?;
        let second = after.get(..after.bytes().take_while(u8::is_ascii_digit).count())?;
        Some((first.parse().ok()?, second.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ratios_are_read() {
        let size = |width, height| Some(Shape::Size(Size::new(width, height).unwrap()));
        assert_eq!(Shape::read("1024x768 ( 4:3 )"), size(1024, 768));
        assert_eq!(Shape::read("Landscape (1152 × 896)"), size(1152, 896));
        assert_eq!(Shape::read("16:9"), Some(Shape::Ratio(16.0 / 9.0)));
        assert_eq!(Shape::read("竖版 9：16"), Some(Shape::Ratio(9.0 / 16.0)));
        for text in ["", "Square", "x", ":", "4x", "4-Step", "99999999999x1", "2x upscale"] {
            assert_eq!(Shape::read(text), None, "{text}");
        }
    }

    #[test]
    fn the_same_shape_is_nearest_and_of_those_the_same_area() {
        let wanted = Size::new(1536, 1024).unwrap();
        let nearest = ["1024x1024", "768x512", "1216x832", "1536x1024", "3:2", "16:9"]
            .into_iter()
            .min_by(|one, other| {
                let distance = |text| Shape::read(text).unwrap().distance(wanted);
                distance(one).total_cmp(&distance(other))
            })
            .unwrap();
        assert_eq!(nearest, "1536x1024");
        assert!(Shape::read("3:2").unwrap().distance(wanted) < Shape::read("16:9").unwrap().distance(wanted));
    }
}
