//! Form of the history for clients.

use serde::Serialize;
use serde_with::skip_serializing_none;

use super::entry::{HistoryEntry, ImageRecord};
use crate::catalog::Catalog;
use crate::generation::RequestKind;
use crate::media::link::Links;
use crate::store::id::TimeId;

/// An image in the history.
#[skip_serializing_none]
#[derive(Clone, Debug, Serialize)]
pub struct RememberedObject {
    /// Id of the image.
    pub id: String,
    object: &'static str,
    created_at: u64,
    model: String,
    /// Prompt of the request.
    pub prompt: String,
    negative_prompt: Option<String>,
    seed: u32,
    size: Option<String>,
    output_format: Option<String>,
    steps: Option<u32>,
    guidance_scale: Option<f64>,
    sampler: Option<String>,
    kind: RequestKind,
    url: String,
    space: Option<String>,
    task_id: Option<String>,
}

impl RememberedObject {
    /// Images of an entry for their owner, the last one first; with the names of their Spaces if `spaces` is given.
    pub fn of_entry(id: &TimeId, entry: &HistoryEntry, links: &Links, spaces: Option<&Catalog>) -> Vec<Self> {
        let of_image = |image: &ImageRecord| {
            let space = spaces
                .and_then(|catalog| Some(catalog.space_at(&image.file.file()?.remote()?.origin)?.name().to_owned()));
            Some(Self {
                id: image_id(id, image.index),
                object: "image",
                created_at: id.created().as_secs(),
                model: entry.model.clone(),
                prompt: entry.prompt.clone(),
                negative_prompt: entry.negative_prompt.clone(),
                seed: image.seed,
                size: image.size.clone(),
                output_format: image.format.clone(),
                steps: entry.steps,
                guidance_scale: entry.guidance,
                sampler: entry.sampler.clone(),
                kind: entry.kind,
                url: image.file.url(links)?,
                space,
                task_id: entry.task.clone(),
            })
        };
        entry.images.iter().rev().filter_map(of_image).collect()
    }
}

/// Public id of an image in the history.
pub fn image_id(id: &TimeId, index: u32) -> String {
    format!("img_{id}_{index}")
}
