//! A model of the catalogue.

use crate::generation::{Generation, Quality, ResponseFormat, Size};
use crate::gradio::space::Space;

/// A model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Its id.
    pub id: String,
    /// Other ids that mean it.
    pub aliases: Vec<String>,
    /// Spaces that make its images: any of them can. Never empty.
    pub pool: Vec<PoolMember>,
    /// Values for what a request doesn't say.
    pub defaults: Defaults,
    /// The model that this is a preset of.
    pub preset_of: Option<String>,
    /// Defaults of choices that its Spaces have, by their names.
    pub choices: Vec<(String, Defaults)>,
    /// The choice of its Spaces that this is, where it is one.
    pub choice: Option<ModelChoice>,
}

/// A choice that a model's Spaces have: a checkpoint, a LoRA, a style. It is a model of its own, `name/choice`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelChoice {
    /// Id of the model.
    pub of: String,
    /// Name of the choice.
    pub name: String,
}

impl Model {
    /// A model of these Spaces, and nothing else said of it.
    pub(super) fn new(id: String, pool: Vec<PoolMember>) -> Self {
        let (aliases, choices) = (Vec::new(), Vec::new());
        Self { id, aliases, pool, defaults: Defaults::default(), preset_of: None, choices, choice: None }
    }

    /// The model that the choice of that name is.
    pub fn with_choice(&self, name: &str) -> Self {
        let own = self.choices.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let defaults = own.map_or_else(Defaults::default, |(_, defaults)| defaults.clone()).over(&self.defaults);
        let choice = Some(ModelChoice { of: self.id.clone(), name: name.to_owned() });
        Self { id: format!("{}/{name}", self.id), aliases: Vec::new(), defaults, choice, ..self.clone() }
    }

    /// Fills in what `generation` doesn't say.
    pub fn fill(&self, generation: &mut Generation) {
        self.defaults.fill(generation);
        generation.choice = self.choice.as_ref().map(|choice| choice.name.clone());
    }
}

/// A Space in a model's pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolMember {
    /// The Space.
    pub space: Space,
    /// Jobs that it may have at once.
    pub slots: usize,
    /// Preference to the others: the greatest weight comes first.
    pub weight: f64,
}

/// Jobs that a Space may have at once where nobody says otherwise.
pub(super) const SLOTS: usize = 2;

impl PoolMember {
    /// A Space as it is.
    pub fn new(space: Space) -> Self {
        Self { space, slots: SLOTS, weight: 1.0 }
    }
}

/// Values for what a request doesn't say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Defaults {
    /// The size.
    pub size: Option<Size>,
    /// The denoising steps.
    pub steps: Option<u32>,
    /// The quality.
    pub quality: Option<Quality>,
    /// The guidance scale.
    pub guidance: Option<f64>,
    /// The negative prompt.
    pub negative_prompt: Option<String>,
    /// The sampler.
    pub sampler: Option<String>,
    /// Form in which the images are delivered.
    pub response_format: Option<ResponseFormat>,
}

impl Defaults {
    /// These, and for what they don't say, `base`.
    pub(super) fn over(self, base: &Self) -> Self {
        Self {
            size: self.size.or(base.size),
            // Steps of one level and quality of the other would both be meant.
            steps: if self.quality.is_some() { self.steps } else { self.steps.or(base.steps) },
            quality: if self.steps.is_some() { self.quality } else { self.quality.or(base.quality) },
            guidance: self.guidance.or(base.guidance),
            negative_prompt: self.negative_prompt.or_else(|| base.negative_prompt.clone()),
            sampler: self.sampler.or_else(|| base.sampler.clone()),
            response_format: self.response_format.or(base.response_format),
        }
    }

    /// Fills in what `generation` doesn't say.
    pub fn fill(&self, generation: &mut Generation) {
        let of_shape = generation.aspect.map(|aspect| aspect.size(self.size.unwrap_or(Size::USUAL)));
        generation.size = generation.size.or(of_shape).or(self.size);
        if generation.steps.is_none() && generation.quality.is_none() {
            (generation.steps, generation.quality) = (self.steps, self.quality);
        }
        generation.guidance = generation.guidance.or(self.guidance);
        generation.negative_prompt = generation.negative_prompt.take().or_else(|| self.negative_prompt.clone());
        generation.sampler = generation.sampler.take().or_else(|| self.sampler.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_fill_in_what_a_request_does_not_say() {
        let base = Defaults { steps: Some(9), guidance: Some(3.5), ..Defaults::default() };
        let preset =
            Defaults { quality: Some(Quality::High), size: Size::new(512, 512), ..Defaults::default() }.over(&base);
        assert_eq!((preset.steps, preset.quality, preset.guidance), (None, Some(Quality::High), Some(3.5)));
    }
}
