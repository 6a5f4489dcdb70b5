//! Which function of a Space makes images from text.
//!
//! By what it takes and gives, then by its name, never by its position: a Space has functions for its buttons' looks,
//! its examples and its editors too.

use super::role::{Kind, Role};
use super::signature::{Info, Output, Signature};
use crate::gradio::config::{Config, Function};

/// Names that Spaces give to the function, the more usual first.
const USUAL: [&str; 10] = [
    "generate_image",
    "infer",
    "generate",
    "predict",
    "run",
    "text2image",
    "txt2img",
    "text_to_image",
    "process",
    "process_and_generate",
];
/// Words of functions that do something else with the same components.
const UNUSUAL: [&str; 8] = ["example", "edit", "upscale", "enhance", "inpaint", "img2img", "lambda", "load"];

/// The function of that name, or the one that most probably makes images from text, with its signature.
pub fn choose<'a>(config: &'a Config, info: &Info, api_name: Option<&str>) -> Option<(&'a Function, Signature)> {
    let candidates = config.functions.iter().map(|function| (function, Signature::read(config, info, function)));
    if let Some(name) = api_name {
        return candidates.into_iter().find(|(function, _)| function.api_name.as_deref() == Some(name));
    }
    let rated = candidates.filter_map(|(function, signature)| Some((rate(function, &signature)?, function, signature)));
    // Of two that are alike, the first: a second button's is often a copy.
    let (_, function, signature) = rated.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    Some((function, signature))
}

/// How probable it is, if it can be at all: it must take a prompt and give an image.
fn rate(function: &Function, signature: &Signature) -> Option<i32> {
    signature.input(Role::Prompt)?;
    let known = [
        Role::Width,
        Role::Height,
        Role::Size,
        Role::Seed,
        Role::Steps,
        Role::Guidance,
        Role::NegativePrompt,
        Role::Count,
    ];
    let mut points: i32 = known.into_iter().map(|role| if signature.input(role).is_some() { 4 } else { 0 }).sum();
    if !signature.gives_images() {
        if !signature.outputs.contains(&Output::Markup) {
            return None;
        }
        points -= 20;
    }
    // What needs an image is an editor; where it may be left out, it's both.
    let needs_image = signature.inputs.iter().any(|input| input.kind == Kind::Image && input.default.is_null());
    if needs_image {
        points -= 30;
    }
    let name = function.api_name.as_deref().unwrap_or_default().to_lowercase();
    if let Some(place) = USUAL.iter().position(|usual| *usual == name) {
        points += 12 - i32::try_from(place).unwrap_or(0);
    }
    if UNUSUAL.iter().any(|word| name.contains(word)) {
        points -= 10;
    }
    if !function.documented {
        points -= 8;
    }
    Some(points)
}
