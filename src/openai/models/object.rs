//! OpenAI's model object, and ours of a model's details.

use serde::Serialize;
use serde_with::skip_serializing_none;

use crate::catalog::{Catalog, Defaults, Model};
use crate::dispatch::{Capabilities, PoolSpace};
use crate::generation::Quality;

/// OpenAI's model object, and the model that it is a preset of.
#[derive(Debug, Serialize)]
pub(super) struct ModelObject<'a> {
    id: &'a str,
    object: &'static str,
    /// Seconds since the Unix epoch: the time at which this instance read its settings.
    created: u64,
    owned_by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    preset_of: Option<&'a str>,
    /// The model that this is a choice of.
    #[serde(skip_serializing_if = "Option::is_none")]
    choice_of: Option<&'a str>,
}

/// OpenAI's list object.
#[derive(Debug, Serialize)]
pub(super) struct ModelList<'a> {
    object: &'static str,
    data: Vec<ModelObject<'a>>,
}

/// A model, with the capabilities of its Spaces.
#[derive(Debug, Serialize)]
pub(super) struct ModelDetails<'a> {
    #[serde(flatten)]
    object: ModelObject<'a>,
    /// The catalogue's defaults of requests.
    defaults: DefaultFields<'a>,
    /// `null` where no Space can be asked.
    capabilities: Option<Capabilities>,
    spaces: Vec<PoolSpace>,
}

/// The catalogue's defaults of a model, by the names of the request's fields.
#[skip_serializing_none]
#[derive(Debug, Serialize)]
struct DefaultFields<'a> {
    size: Option<String>,
    steps: Option<u32>,
    quality: Option<&'static str>,
    guidance_scale: Option<f64>,
    negative_prompt: Option<&'a str>,
    sampler: Option<&'a str>,
}

impl<'a> DefaultFields<'a> {
    fn of(defaults: &'a Defaults) -> Self {
        Self {
            size: defaults.size.map(|size| size.to_string()),
            steps: defaults.steps,
            quality: defaults.quality.map(Quality::name),
            guidance_scale: defaults.guidance,
            negative_prompt: defaults.negative_prompt.as_deref(),
            sampler: defaults.sampler.as_deref(),
        }
    }
}

impl<'a> ModelObject<'a> {
    fn new(model: &'a Model, created: u64) -> Self {
        let preset_of = model.preset_of.as_deref();
        let choice_of = model.choice.as_ref().map(|choice| choice.of.as_str());
        Self { id: &model.id, object: "model", created, owned_by: "z-image-2api", preset_of, choice_of }
    }
}

impl<'a> ModelList<'a> {
    /// The models of a catalogue that was read at `created`, and `choices` of their Spaces.
    pub(super) fn new(catalog: &'a Catalog, choices: &'a [Model], created: u64) -> Self {
        let models = catalog.models().iter().chain(choices);
        let data = models.map(|model| ModelObject::new(model, created)).collect();
        Self { object: "list", data }
    }
}

impl<'a> ModelDetails<'a> {
    /// A model of a catalogue that was read at `created`.
    pub(super) fn new(
        model: &'a Model,
        created: u64,
        capabilities: Option<Capabilities>,
        spaces: Vec<PoolSpace>,
    ) -> Self {
        Self {
            object: ModelObject::new(model, created),
            defaults: DefaultFields::of(&model.defaults),
            capabilities,
            spaces,
        }
    }
}
