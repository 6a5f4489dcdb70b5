//! Capabilities of a model's Spaces, as far as they can be asked.

use std::rc::Rc;

use futures::future::join_all;
use serde::Serialize;
use serde_json::Value;
use serde_with::skip_serializing_none;

use super::knowledge::Knowledge;
use crate::catalog::PoolMember;
use crate::error::Error;
use crate::gradio::client::Client;
use crate::gradio::discovery::Profile;
use crate::gradio::discovery::role::{Kind, Role};
use crate::gradio::discovery::signature::{Input, Output, Signature};
use crate::gradio::failure::{Failure, plain};
use crate::gradio::space::Space;

/// Capabilities of a Space.
#[skip_serializing_none]
#[derive(Debug, Serialize)]
pub struct Capabilities {
    /// Its parameters, but those that are no client's business.
    parameters: Vec<ParameterInfo>,
    /// Those of its function that edits, where that is another one.
    edit_parameters: Option<Vec<ParameterInfo>>,
    /// The sizes to choose from, where there is a choice.
    sizes: Vec<String>,
    /// It makes images from text alone.
    generations: bool,
    /// It makes images from images.
    edits: bool,
    /// It yields partial images.
    partial_images: bool,
    /// One job makes several images.
    batch: bool,
    /// Time at which this was learnt, in seconds since the Unix epoch.
    learnt_at: u64,
}

/// A parameter of a Space.
#[derive(Debug, Serialize)]
struct ParameterInfo {
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
#[skip_serializing_none]
#[derive(Debug, Serialize)]
pub struct PoolSpace {
    name: String,
    /// `ready`, or why not.
    state: String,
    /// End of its pause, in seconds since the Unix epoch.
    until: Option<u64>,
    gradio: Option<String>,
    endpoint: Option<String>,
    learnt_at: Option<u64>,
}

/// SpacePause of a Space that accepts no jobs.
pub(super) struct SpacePause {
    /// Code of its last error.
    pub(super) reason: String,
    /// End, in seconds since the Unix epoch.
    pub(super) until: u64,
}

/// Capabilities of the first Space of `pool` that has any, and all its Spaces with their `pauses`. Spaces that nothing
/// is known of are asked.
pub(super) async fn survey(
    knowledge: &Rc<Knowledge>,
    client: &Client,
    pool: &[PoolMember],
    pauses: Vec<Option<SpacePause>>,
    reveal_spaces: bool,
) -> (Option<Capabilities>, Vec<PoolSpace>) {
    let asked = pool.iter().map(|member| async { (&member.space, knowledge.of(client, &member.space).await) });
    let asked = join_all(asked).await;
    let capabilities =
        asked.iter().find_map(|(_, known)| known.as_ref().ok()).and_then(|profile| capabilities(profile));
    let name =
        |space: &Space, number: usize| if reveal_spaces { space.name().to_owned() } else { format!("space-{number}") };
    let spaces = (1..).zip(asked).zip(pauses);
    let spaces = spaces.map(|((number, (space, known)), pause)| state(name(space, number), known, pause)).collect();
    (capabilities, spaces)
}

/// Names of the choices that the Spaces of `pool` are known to have, each once.
pub(super) async fn choices(knowledge: &Rc<Knowledge>, client: &Client, pool: &[PoolMember]) -> Vec<String> {
    let known = join_all(pool.iter().map(|member| knowledge.glance(client, &member.space))).await;
    let mut names: Vec<String> = Vec::new();
    for profile in known.into_iter().flatten() {
        let skills = [&profile.generate, &profile.edit].into_iter().flatten();
        for name in skills.flat_map(|skill| skill.signature.model_choices()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

fn state(name: String, known: Result<Rc<Profile>, Failure>, pause: Option<SpacePause>) -> PoolSpace {
    let until = pause.as_ref().map(|pause| pause.until);
    match known {
        Ok(profile) => PoolSpace {
            name,
            state: pause.map_or_else(|| "ready".to_owned(), |pause| pause.reason),
            until,
            gradio: Some(profile.version.clone()),
            endpoint: profile.generate.as_ref().or(profile.edit.as_ref()).and_then(|skill| skill.api_name.clone()),
            learnt_at: Some(profile.learnt),
        },
        Err(failure) => {
            let state = Error::from(failure).code.unwrap_or("unknown").to_owned();
            PoolSpace { name, state, until, gradio: None, endpoint: None, learnt_at: None }
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
        edit_parameters: edit.map(|edit| parameters(edit)),
        sizes: sizes.unwrap_or_default(),
        generations: profile.generate.is_some(),
        edits: profile.edit.is_some(),
        partial_images: signature.generator,
        batch: signature.outputs.contains(&Output::Gallery),
        learnt_at: profile.learnt,
    })
}

fn parameters(signature: &Signature) -> Vec<ParameterInfo> {
    let hidden =
        |input: &&Input| matches!(input.kind, Kind::State | Kind::Other) || input.role == Some(Role::RandomizeSeed);
    signature.inputs.iter().filter(|input| !hidden(input)).map(parameter).collect()
}

fn parameter(input: &Input) -> ParameterInfo {
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
    ParameterInfo {
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
