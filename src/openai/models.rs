//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::rc::Rc;

use futures::future::join_all;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::Value;

use crate::catalog::{Defaults, Model};
use crate::dispatch::Dispatcher;
use crate::error::Error;
use crate::generation::Quality;
use crate::gradio::discovery::Profile;
use crate::gradio::discovery::role::{Kind, Role};
use crate::gradio::discovery::signature::{Input, Output, Signature};
use crate::gradio::failure::{Failure, plain};
use crate::gradio::space::Space;
use crate::settings::Settings;

/// OpenAI's model object.
#[derive(Debug, Serialize)]
pub struct ModelObject<'a> {
    id: &'a str,
    object: &'static str,
    /// Seconds since the Unix epoch: when this instance read its settings.
    created: u64,
    owned_by: &'static str,
}

/// OpenAI's list object.
#[derive(Debug, Serialize)]
pub struct ModelList<'a> {
    object: &'static str,
    data: Vec<ModelObject<'a>>,
}

/// All models, the default first.
pub fn list(settings: &Settings, created: u64) -> ModelList<'_> {
    ModelList { object: "list", data: settings.catalog.models().iter().map(|model| object(model, created)).collect() }
}

/// The model that the rest of the path names. Its id may hold slashes, raw or percent-encoded.
///
/// # Errors
/// 404 where there is none.
pub fn named<'a>(settings: &'a Settings, encoded_id: &str) -> Result<&'a Model, Error> {
    let id = percent_decode_str(encoded_id).decode_utf8_lossy();
    find(settings, Some(&id))
}

/// A model, with what its Spaces can do.
#[derive(Debug, Serialize)]
pub struct ModelDetails<'a> {
    #[serde(flatten)]
    object: ModelObject<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preset_of: Option<&'a str>,
    /// What a request gets that says nothing else, where the catalogue says so.
    defaults: DefaultFields<'a>,
    /// `null` where no Space tells.
    capabilities: Option<Capabilities>,
    spaces: Vec<SpaceState>,
}

/// The catalogue's defaults of a model, by the names of the request's fields.
#[derive(Debug, Serialize)]
struct DefaultFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guidance_scale: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    negative_prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
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

/// What a Space can do.
#[derive(Debug, Serialize)]
pub struct Capabilities {
    /// Its parameters, but those that are no client's business.
    parameters: Vec<Parameter>,
    /// Those of its function that edits, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    edit_parameters: Option<Vec<Parameter>>,
    /// The sizes to choose from, where there is a choice.
    sizes: Vec<String>,
    /// Whether it can make an image of text alone.
    generations: bool,
    /// Whether it can start from an image.
    edits: bool,
    /// Whether it shows images while they are made.
    partial_images: bool,
    /// Whether one job of it makes several images.
    batch: bool,
    /// When this was learnt, in seconds since the Unix epoch.
    learnt_at: u64,
}

/// A parameter of a Space.
#[derive(Debug, Serialize)]
struct Parameter {
    /// The request's field that sets it.
    name: String,
    label: String,
    role: Option<Role>,
    r#type: Kind,
    default: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    choices: Vec<String>,
}

/// A Space of a model.
#[derive(Debug, Serialize)]
struct SpaceState {
    name: String,
    /// `ready`, or why not.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    gradio: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    learnt_at: Option<u64>,
}

/// The details of `model`: its Spaces are asked where nothing is known of them.
pub async fn details<'a>(
    dispatcher: &Dispatcher,
    model: &'a Model,
    created: u64,
    reveal_spaces: bool,
) -> ModelDetails<'a> {
    let asked = model
        .pool
        .iter()
        .map(|member| async { (&member.space, dispatcher.knowledge().of(dispatcher.client(), &member.space).await) });
    let asked = join_all(asked).await;
    let capabilities =
        asked.iter().find_map(|(_, known)| known.as_ref().ok()).and_then(|profile| capabilities(profile));
    let name =
        |space: &Space, number: usize| if reveal_spaces { space.name().to_owned() } else { format!("space-{number}") };
    let spaces = (1..).zip(asked).map(|(number, (space, known))| state(name(space, number), known)).collect();
    ModelDetails {
        object: object(model, created),
        preset_of: model.preset_of.as_deref(),
        defaults: DefaultFields::of(&model.defaults),
        capabilities,
        spaces,
    }
}

fn state(name: String, known: Result<Rc<Profile>, Failure>) -> SpaceState {
    match known {
        Ok(profile) => SpaceState {
            name,
            state: "ready",
            gradio: Some(profile.version.clone()),
            endpoint: profile.generate.as_ref().or(profile.edit.as_ref()).and_then(|skill| skill.api_name.clone()),
            learnt_at: Some(profile.learnt),
        },
        Err(failure) => {
            let state = Error::from(failure).code.unwrap_or("unknown");
            SpaceState { name, state, gradio: None, endpoint: None, learnt_at: None }
        }
    }
}

fn capabilities(profile: &Profile) -> Option<Capabilities> {
    let skill = profile.generate.as_ref().or(profile.edit.as_ref())?;
    let signature = &skill.signature;
    let sizes =
        signature.input(Role::Size).map(|input| input.choices.iter().map(|choice| choice.label.clone()).collect());
    let edit = profile.edit.as_ref().map(|edit| &edit.signature).filter(|edit| *edit != signature);
    Some(Capabilities {
        parameters: parameters(signature),
        edit_parameters: edit.map(parameters),
        sizes: sizes.unwrap_or_default(),
        generations: profile.generate.is_some(),
        edits: profile.edit.is_some(),
        partial_images: signature.generator,
        batch: signature.outputs.contains(&Output::Gallery),
        learnt_at: profile.learnt,
    })
}

fn parameters(signature: &Signature) -> Vec<Parameter> {
    let hidden =
        |input: &&Input| matches!(input.kind, Kind::State | Kind::Other) || input.role == Some(Role::RandomizeSeed);
    signature.inputs.iter().filter(|input| !hidden(input)).map(parameter).collect()
}

fn parameter(input: &Input) -> Parameter {
    // The fields of a request that have a meaning of their own.
    let field = match input.role {
        Some(Role::Prompt) => "prompt",
        Some(Role::NegativePrompt) => "negative_prompt",
        Some(Role::Width) => "width",
        Some(Role::Height) => "height",
        Some(Role::Size) => "size",
        Some(Role::Seed) => "seed",
        Some(Role::Steps) => "steps",
        Some(Role::Guidance) => "guidance_scale",
        Some(Role::Sampler) => "sampler",
        Some(Role::Count) => "n",
        _ if input.name.is_empty() => input.label.as_str(),
        _ => input.name.as_str(),
    };
    Parameter {
        name: plain(field),
        label: plain(&input.label),
        role: input.role,
        r#type: input.kind,
        default: input.default.clone(),
        minimum: input.minimum,
        maximum: input.maximum,
        step: input.step,
        choices: input.choices.iter().map(|choice| plain(&choice.label)).collect(),
    }
}

/// The model that a request names, or the default where it names none.
///
/// # Errors
/// 404 where there is none of that id.
pub fn find<'a>(settings: &'a Settings, id: Option<&str>) -> Result<&'a Model, Error> {
    settings.catalog.find(id).ok_or_else(|| {
        let known = settings.catalog.models().iter().map(|model| model.id.as_str());
        Error::model_not_found(id.unwrap_or_default(), known)
    })
}

fn object(model: &Model, created: u64) -> ModelObject<'_> {
    ModelObject { id: &model.id, object: "model", created, owned_by: "z-image-2api" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::parse(|name| if name == "spaces" { "z=a/b,c/d" } else { "" })
    }

    #[test]
    fn models_are_listed_and_found_with_slashes_in_any_form() {
        let settings = settings();
        let list = serde_json::to_value(list(&settings, 7)).unwrap();
        assert_eq!(list["object"], "list");
        assert_eq!(
            list["data"][0],
            serde_json::json!({"id": "z", "object": "model", "created": 7, "owned_by": "z-image-2api"})
        );
        for id in ["c/d", "c%2Fd", "c%2fd"] {
            assert_eq!(named(&settings, id).unwrap().id, "c/d", "{id}");
        }
        let error = named(&settings, "gpt%ff").unwrap_err();
        assert_eq!((error.status.as_u16(), error.code), (404, Some("model_not_found")));
        assert!(error.message.contains("z, c/d"));
    }
}
