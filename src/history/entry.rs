//! Entry of the history: a request and its images.

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use crate::catalog::Defaults;
use crate::generation::{Format, Generation, RequestKind, TargetFormat};
use crate::gradio::file::RemoteFile;
use crate::gradio::space::Space;
use crate::media::file::{ImageFile, StoredImage};
use crate::media::link::Links;

/// A request and its images.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Kind of the request.
    pub kind: RequestKind,
    /// Id of the model.
    pub model: String,
    /// Prompt of the request.
    pub prompt: String,
    /// Negative prompt.
    #[serde(default)]
    pub negative_prompt: Option<String>,
    /// Denoising steps.
    #[serde(default)]
    pub steps: Option<u32>,
    /// Guidance scale.
    #[serde(default)]
    pub guidance: Option<f64>,
    /// Sampler.
    #[serde(default)]
    pub sampler: Option<String>,
    /// Public id of the task, if the request was one.
    #[serde(default)]
    pub task: Option<String>,
    /// Images, in the order of their indexes.
    pub images: Vec<ImageRecord>,
}

/// A finished image.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Index in the request, from 0.
    pub index: u32,
    /// Seed of the image.
    pub seed: u32,
    /// `WIDTHxHEIGHT`, if known.
    #[serde(default)]
    pub size: Option<String>,
    /// Format of the image, if known.
    #[serde(default)]
    pub format: Option<String>,
    /// Location of the image.
    #[serde(flatten)]
    pub file: KeptFile,
}

/// A file at a Space or in the database, and the format for its delivery.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// Origin of the Space; empty for the database.
    pub origin: String,
    /// Path there.
    pub path: String,
    /// Name and quality of the format for delivery; none for the file's own.
    #[serde(default)]
    wanted: Option<(String, u8)>,
}

impl HistoryEntry {
    /// An entry without images of a request to `model`, completed by the `defaults` of the model.
    pub fn new(model: &str, defaults: Option<&Defaults>, kind: RequestKind, generation: &Generation) -> Self {
        // Input images may have megabytes, and aren't needed.
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

    /// Images as bits: bit i stands for the image of index i.
    pub fn shown(&self) -> i64 {
        self.images.iter().filter_map(|image| bit(image.index)).fold(0, |shown, bit| shown | bit)
    }
}

impl KeptFile {
    /// A file for delivery in the format `wanted`.
    pub fn new(file: &ImageFile, wanted: Option<TargetFormat>) -> Self {
        let (origin, path) = match file {
            ImageFile::Space(file) => (file.origin.to_string(), file.path.clone()),
            ImageFile::Stored(image) => (String::new(), image.to_string()),
        };
        Self { origin, path, wanted: wanted.map(|wanted| (wanted.format.name().to_owned(), wanted.quality)) }
    }

    /// The file; none where it can't be read.
    pub fn file(&self) -> Option<ImageFile> {
        if self.origin.is_empty() {
            return Some(ImageFile::Stored(StoredImage::parse(&self.path)?));
        }
        let space = Space::parse(&self.origin).ok()?;
        Some(ImageFile::Space(RemoteFile { origin: space.origin().clone(), path: self.path.clone() }))
    }

    /// Link to the file; none where it can't be read.
    pub fn url(&self, links: &Links) -> Option<String> {
        Some(links.to(&self.file()?, self.wanted()))
    }

    /// Format for delivery.
    fn wanted(&self) -> Option<TargetFormat> {
        let (name, quality) = self.wanted.as_ref()?;
        Some(TargetFormat { format: Format::of_output_format(name)?, quality: *quality })
    }
}

/// Bit of the image of that index. A request has ten images at most.
pub fn bit(index: u32) -> Option<i64> {
    (index < 62).then(|| 1 << index)
}

/// Text folded for the search: lower case.
pub fn fold(text: &str) -> String {
    text.to_lowercase()
}
