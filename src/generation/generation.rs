//! Images that are to be made: a value that names no wire.

use serde_json::{Map, Value};

use super::aspect::Aspect;
use super::format::Format;
use super::priority::Priority;
use super::quality::Quality;
use super::seed::Seed;
use super::size::Size;
use super::source::SourceImage;

/// Images that are to be made, in the gateway's own terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// Description of the picture.
    pub prompt: String,
    /// Description of what it must not show.
    pub negative_prompt: Option<String>,
    /// Size; `None` for the Space's own default.
    pub size: Option<Size>,
    /// Shape, where the request says that in place of a size.
    pub aspect: Option<Aspect>,
    /// Seed of the first image; image i of several starts from `seed.plus(i)`.
    pub seed: Seed,
    /// Number of images.
    pub count: u32,
    /// Number of denoising steps, where the request says.
    pub steps: Option<u32>,
    /// Quality, where the request says that in place of steps.
    pub quality: Option<Quality>,
    /// Guidance scale.
    pub guidance: Option<f64>,
    /// Name of the sampler or scheduler.
    pub sampler: Option<String>,
    /// Name of the checkpoint, LoRA or style, of those that the Space has to choose from.
    pub choice: Option<String>,
    /// The images to start from; none for an image made from text alone.
    pub images: Vec<SourceImage>,
    /// Part of the first image that is to change.
    pub mask: Option<SourceImage>,
    /// Denoising strength, from 0 (unchanged) to 1.
    pub strength: Option<f64>,
    /// The file format, where the Space can be asked for one.
    pub format: Option<Format>,
    /// Priority among jobs that wait for a Space.
    pub priority: Priority,
    /// Arguments of the Space's own, by the names of its parameters.
    pub extras: Map<String, Value>,
}
