//! A request, and the images that were made for it.

use serde::{Deserialize, Serialize};

use crate::catalog::Defaults;
use crate::format::{Format, Wanted};
use crate::generation::{Generation, RequestKind};
use crate::gradio::file::RemoteFile;
use crate::gradio::space::Space;
use crate::media::link::Links;

/// A request, and the images that were made for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Kind of the request.
    pub kind: RequestKind,
    /// The model's id.
    pub model: String,
    /// The prompt.
    pub prompt: String,
    /// What the images were not to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
    /// Denoising steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// The guidance scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance: Option<f64>,
    /// The sampler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler: Option<String>,
    /// The task's id, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The images, by their index.
    pub images: Vec<ImageRecord>,
}

/// An image that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Index in the request, from 0.
    pub index: u32,
    /// Seed that it was made from.
    pub seed: u32,
    /// `WIDTHxHEIGHT`, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Its format, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Place where it lies.
    #[serde(flatten)]
    pub file: KeptFile,
}

/// A file at a Space, and the format that it is to come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// The Space's origin.
    pub origin: String,
    /// The path there.
    pub path: String,
    /// The format's name and quality; none for its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wanted: Option<(String, u8)>,
}

impl HistoryEntry {
    /// A request to `model`, whose defaults fill in what it doesn't say; without images yet.
    pub fn new(model: &str, defaults: Option<&Defaults>, kind: RequestKind, generation: &Generation) -> Self {
        // The images that were sent along may have megabytes, and aren't needed.
        let mut filled = Generation { images: Vec::new(), mask: None, ..generation.clone() };
        if let Some(defaults) = defaults {
            defaults.fill(&mut filled);
        }
        Self {
            kind,
            model: model.to_owned(),
            prompt: filled.prompt,
            negative_prompt: filled.negative_prompt,
            steps: filled.steps,
            guidance: filled.guidance,
            sampler: filled.sampler,
            task: None,
            images: Vec::new(),
        }
    }

    /// The images as bits, bit i for the image of index i.
    pub fn shown(&self) -> i64 {
        self.images.iter().filter_map(|image| bit(image.index)).fold(0, |shown, bit| shown | bit)
    }
}

impl KeptFile {
    /// A file that comes in the format `wanted`.
    pub fn new(file: &RemoteFile, wanted: Option<Wanted>) -> Self {
        Self {
            origin: file.origin.to_string(),
            path: file.path.clone(),
            wanted: wanted.map(|wanted| (wanted.format.name().to_owned(), wanted.quality)),
        }
    }

    /// The file.
    pub fn file(&self) -> Option<RemoteFile> {
        let space = Space::parse(&self.origin).ok()?;
        Some(RemoteFile { origin: space.origin().clone(), path: self.path.clone() })
    }

    /// A link to it.
    pub fn url(&self, links: &Links) -> Option<String> {
        Some(links.to(&self.file()?, self.wanted()))
    }

    /// The format that it is to come in.
    fn wanted(&self) -> Option<Wanted> {
        let (name, quality) = self.wanted.as_ref()?;
        Some(Wanted { format: Format::of_output_format(name)?, quality: *quality })
    }
}

/// The bit that stands for the image of that index; a request has ten images at most.
pub fn bit(index: u32) -> Option<i64> {
    (index < 62).then(|| 1 << index)
}

/// A text as it is searched: in lower case.
pub fn fold(text: &str) -> String {
    text.to_lowercase()
}
