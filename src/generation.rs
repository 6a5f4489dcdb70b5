//! What is to be made: a value that names no wire.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::format::Format;

/// What is to be made, in the gateway's own terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// What the picture shows.
    pub prompt: String,
    /// What it must not show.
    pub negative_prompt: Option<String>,
    /// How large; `None` for the Space's own default.
    pub size: Option<Size>,
    /// Its shape, where the request says that in place of a size.
    pub aspect: Option<Aspect>,
    /// The randomness it starts from; image i of several starts from `seed.plus(i)`.
    pub seed: Seed,
    /// How many images.
    pub count: u32,
    /// How many denoising steps, where the request says.
    pub steps: Option<u32>,
    /// How much care, where the request says that in place of steps.
    pub quality: Option<Quality>,
    /// How closely it follows the prompt.
    pub guidance: Option<f64>,
    /// The name of the sampler or scheduler.
    pub sampler: Option<String>,
    /// The images to start from; none for an image made from text alone.
    pub images: Vec<SourceImage>,
    /// Which part of the first image is to change.
    pub mask: Option<SourceImage>,
    /// How much of it is to change, from 0 to 1.
    pub strength: Option<f64>,
    /// The file format, where the Space can be asked for one.
    pub format: Option<Format>,
    /// Who goes first where jobs wait for a Space.
    pub priority: Priority,
    /// Arguments of the Space's own, by the names of its parameters.
    pub extras: Map<String, Value>,
}

/// Who goes first where jobs wait for a Space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// After the others.
    Low,
    /// As they come.
    #[default]
    Normal,
    /// Before the others.
    High,
}

impl Priority {
    /// Reads its name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "low" => Some(Self::Low),
            "normal" => Some(Self::Normal),
            "high" => Some(Self::High),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// Kind of a request for images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestKind {
    /// Images from text.
    Generation,
    /// Images from images.
    Edit,
    /// Images from an image, without words.
    Variation,
}

/// An image that a client has sent.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceImage {
    /// The image.
    pub bytes: Bytes,
    /// What its bytes say it is.
    pub format: Format,
}

impl fmt::Debug for SourceImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceImage({:?}, {} bytes)", self.format, self.bytes.len())
    }
}

/// How much care: what a model makes of it is its own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// Quick.
    Low,
    /// As the Space does by itself.
    Medium,
    /// Careful.
    High,
    /// As careful as can be.
    Max,
}

impl Quality {
    /// Reads OpenAI's names, those of DALL·E among them. `auto` is none.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "low" => Some(Self::Low),
            "medium" | "standard" => Some(Self::Medium),
            "high" | "hd" => Some(Self::High),
            "xhigh" | "max" => Some(Self::Max),
            _ => None,
        }
    }

    /// Its name in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Max => "max",
        }
    }
}

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
    /// What most models are made for.
    pub const USUAL: Self = Self { width: 1024, height: 1024 };

    /// A size, unless a side is out of range.
    pub fn new(width: u32, height: u32) -> Option<Self> {
        let fits = |side| (Self::MIN..=Self::MAX).contains(&side);
        (fits(width) && fits(height)).then_some(Self { width, height })
    }

    /// Reads `WIDTHxHEIGHT`; `×` and `*` stand for `x` too.
    pub fn parse(text: &str) -> Option<Self> {
        let (width, height) = text.trim().split_once(['x', 'X', '×', '*'])?;
        let side = |text: &str| text.trim().parse().ok();
        Self::new(side(width)?, side(height)?)
    }

    /// In pixels.
    pub fn width(self) -> u32 {
        self.width
    }

    /// In pixels.
    pub fn height(self) -> u32 {
        self.height
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// The ratio of width to height, from 1:8 to 8:1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aspect(f64);

impl Aspect {
    /// Sides that come out of a ratio are multiples of this, in pixels: image models ask for that.
    const STEP: f64 = 64.0;

    /// Reads `WIDTH:HEIGHT`.
    pub fn parse(text: &str) -> Option<Self> {
        let (width, height) = text.trim().split_once([':', '：', '/'])?;
        let side = |text: &str| text.trim().parse::<f64>().ok().filter(|side| side.is_finite() && *side > 0.0);
        let ratio = side(width)? / side(height)?;
        (0.125..=8.0).contains(&ratio).then_some(Self(ratio))
    }

    /// The size of this shape with about as many pixels as `like`.
    pub fn size(self, like: Size) -> Size {
        let area = f64::from(like.width) * f64::from(like.height);
        let side = |length: f64| {
            let length = ((length / Self::STEP).round() * Self::STEP).clamp(f64::from(Size::MIN), f64::from(Size::MAX));
            format!("{length:.0}").parse().unwrap_or(Size::MIN)
        };
        Size { width: side((area * self.0).sqrt()), height: side((area / self.0).sqrt()) }
    }
}

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

    /// As a number.
    pub fn get(self) -> u32 {
        self.0
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

    #[test]
    fn seeds_wrap_at_their_greatest() {
        assert_eq!(Seed::new(Seed::MAX).unwrap().plus(1).get(), 0);
        assert_eq!(Seed::new(Seed::MAX + 1), None);
        assert_eq!(Seed::of_bits([0xff; 4]).get(), Seed::MAX);
        assert_eq!(Seed::new(41).unwrap().plus(1).get(), 42);
    }
}
