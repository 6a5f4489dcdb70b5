//! Choice of the functions of a Space that make images from text, and from images.
//!
//! By what it takes and gives, then by its name, never by its position: a Space has functions for its buttons' looks,
//! its examples and its editors too.

use super::role::Role;
use super::signature::{Info, Input, Output, Signature};
use crate::generation::Purpose;
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
const UNUSUAL: [&str; 5] = ["example", "upscale", "enhance", "lambda", "load"];
/// Words of functions that change an image.
const EDITING: [&str; 4] = ["edit", "inpaint", "img2img", "image_to_image"];

/// The function that most probably serves `purpose`, with its signature; of that name alone, where one is given.
pub fn choose<'a>(
    config: &'a Config,
    info: &Info,
    api_name: Option<&str>,
    purpose: Purpose,
) -> Option<(&'a Function, Signature)> {
    let named = |function: &&Function| api_name.is_none_or(|name| function.api_name.as_deref() == Some(name));
    let candidates =
        config.functions.iter().filter(named).map(|function| (function, Signature::read(config, info, function)));
    let rated = candidates.filter_map(|(function, signature)| {
        Some((rate(function, &signature, purpose, api_name.is_some())?, function, signature))
    });
    // Of two that are alike, the first: a second button's is often a copy.
    let (_, function, signature) = rated.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    Some((function, signature))
}

/// Points of a function, if it can be it at all: it must give an image, and take what the purpose needs.
fn rate(function: &Function, signature: &Signature, purpose: Purpose, is_named: bool) -> Option<i32> {
    let mut points = 0;
    if !signature.gives_images() {
        let may_give = |output: &Output| matches!(output, Output::Markup | Output::File);
        if !signature.outputs.iter().any(may_give) && !is_named {
            return None;
        }
        points -= 20;
    }
    let takes_image = signature.input(Role::Image).is_some();
    // A function that wants one image can't do without, unless it says so; one that takes several, as a gallery, may.
    let needs = |input: &Input| input.kind.is_one_image() && input.default.is_null() && !input.optional;
    let needs_image = signature.inputs.iter().any(needs);
    match purpose {
        Purpose::Generate if !is_named => {
            signature.input(Role::Prompt)?;
            if needs_image {
                return None;
            }
        }
        Purpose::Generate if needs_image => return None,
        Purpose::Generate => {}
        Purpose::Edit if takes_image => points += if needs_image { 10 } else { 0 },
        Purpose::Edit => return None,
    }
    let known = [
        Role::Prompt,
        Role::Width,
        Role::Height,
        Role::Size,
        Role::Seed,
        Role::Steps,
        Role::Guidance,
        Role::NegativePrompt,
        Role::Count,
    ];
    points += known.into_iter().map(|role| if signature.input(role).is_some() { 4 } else { 0 }).sum::<i32>();
    let name = function.api_name.as_deref().unwrap_or_default().to_lowercase();
    if let Some(place) = USUAL.iter().position(|usual| *usual == name) {
        points += 12 - i32::try_from(place).unwrap_or(0);
    }
    if UNUSUAL.iter().any(|word| name.contains(word)) {
        points -= 10;
    }
    if EDITING.iter().any(|word| name.contains(word)) {
        points += if purpose == Purpose::Edit { 10 } else { -10 };
    }
    if !function.documented {
        points -= 8;
    }
    // Where nothing else makes images: an author who keeps programs out most often means the copies of a function.
    if function.hidden {
        points -= 40;
    }
    Some(points)
}
