//! A function's arguments for one job: what is asked for, in the Space's own terms.
//!
//! Every parameter keeps the Space's default unless its role, or its name among the request's own fields, says
//! otherwise. Values are brought into the parameter's range and onto its steps, and choices are matched, so that what
//! is sent is something the Space takes: Gradio 5 and 6 refuse what lies outside with an error, and Gradio 4 runs it.
//! A seed is wrapped into the range in place of that, so that different seeds stay different. Whole numbers are written
//! without a point, as a browser writes them: Python's `range` takes no `20.0`.

use serde_json::{Map, Value, json};

use super::discovery::choice::ParameterChoice;
use super::discovery::role::{Kind, Role};
use super::discovery::signature::{Input, Signature};
use super::discovery::size::Shape;
use super::failure::plain;
use super::upload::Uploaded;
use crate::generation::{Format, Generation, Quality, Seed, Size};

/// Arguments, and what became of the request on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments {
    /// In the function's order.
    pub data: Vec<Value>,
    /// The size that they ask for, where they ask for one.
    pub size: Option<Size>,
    /// The seed that they ask for; the request's own where the function takes none.
    pub seed: Seed,
}

impl Arguments {
    /// Arguments of `signature` for `count` images of `generation` from `seed` on.
    ///
    /// `uploaded` are the request's images, as files at the Space.
    pub fn new(signature: &Signature, generation: &Generation, seed: Seed, count: u32, uploaded: &Uploaded) -> Self {
        let size = Sizing::new(signature, generation.size);
        let seed = signature.input(Role::Seed).map_or(seed, |input| wrapped(input, seed));
        let mut images = uploaded.images.iter();
        let argument = |input: &Input| match (input.role, input.kind) {
            (Some(Role::Image), Kind::Image) => images.next().cloned().unwrap_or_else(|| input.default.clone()),
            (Some(Role::Image), Kind::Editor) => match images.next() {
                Some(image) => json!({"background": image, "layers": layers(uploaded), "composite": image}),
                None => input.default.clone(),
            },
            (Some(Role::Image), Kind::Gallery) => {
                let rest: Vec<_> = images.by_ref().map(|image| json!({"image": image, "caption": null})).collect();
                if rest.is_empty() { input.default.clone() } else { json!(rest) }
            }
            (Some(Role::Mask), _) => uploaded.mask.clone().unwrap_or_else(|| input.default.clone()),
            _ => argument(input, generation, seed, count, &size),
        };
        Self { data: signature.inputs.iter().map(argument).collect(), size: size.asked(), seed }
    }
}

/// Layers that are painted over an image in an editor: the mask.
fn layers(uploaded: &Uploaded) -> Vec<&Value> {
    uploaded.mask.iter().collect()
}

/// The request's own fields that name no parameter of `signature`: they change nothing.
pub fn unused<'a>(signature: &Signature, extras: &'a Map<String, Value>) -> Vec<&'a str> {
    let used = |name: &str, value: &Value| {
        signature.inputs.iter().any(|input| is_named(input, name) && fitting(input, value).is_some())
    };
    extras.iter().filter(|(name, value)| !used(name, value)).map(|(name, _)| name.as_str()).collect()
}

/// True where `signature` has the choice of that name that a model may stand for.
pub fn has_model(signature: &Signature, name: &str) -> bool {
    let mut inputs = signature.inputs.iter().filter(|input| input.role.is_some_and(Role::is_model));
    inputs.any(|input| choice(input, name).is_some())
}

fn argument(input: &Input, generation: &Generation, seed: Seed, count: u32, size: &Sizing) -> Value {
    let own = || {
        generation.extras.iter().find(|(name, _)| is_named(input, name)).and_then(|(_, value)| fitting(input, value))
    };
    let by_role = match input.role {
        Some(Role::Prompt) => Some(json!(generation.prompt)),
        Some(Role::NegativePrompt) => generation.negative_prompt.as_ref().map(|text| json!(text)),
        Some(Role::Width) => size.sides.map(|size| number(input, f64::from(size.width()))),
        Some(Role::Height) => size.sides.map(|size| number(input, f64::from(size.height()))),
        Some(Role::Size) => size.choice.clone(),
        Some(Role::Seed) if input.kind == Kind::Text => Some(json!(seed.get().to_string())),
        Some(Role::Seed) => Some(number(input, f64::from(seed.get()))),
        Some(Role::RandomizeSeed) => Some(json!(false)),
        Some(Role::Steps) => steps(input, generation),
        Some(Role::Guidance) => generation.guidance.map(|guidance| number(input, guidance)),
        Some(Role::Strength) => generation.strength.map(|strength| number(input, strength)),
        Some(Role::Format) => generation.format.and_then(|format| file_format(input, format)),
        Some(Role::Sampler) => generation.sampler.as_deref().and_then(|name| choice(input, name)),
        Some(Role::Model | Role::Lora | Role::Style) => {
            generation.choice.as_deref().and_then(|name| choice(input, name))
        }
        Some(Role::Count) if input.kind == Kind::Number => Some(number(input, f64::from(count))),
        Some(Role::Count) => nearest_number(input, f64::from(count)),
        _ => None,
    };
    by_role.or_else(own).unwrap_or_else(|| input.default.clone())
}

/// Number of denoising steps: as asked for, or by quality from the Space's default.
fn steps(input: &Input, generation: &Generation) -> Option<Value> {
    let default = input.default.as_f64();
    let wanted = match (generation.steps, generation.quality) {
        (Some(steps), _) => f64::from(steps),
        (None, None | Some(Quality::Medium)) => return None,
        (None, Some(Quality::Low)) => (default? / 2.0).ceil(),
        (None, Some(Quality::High)) => (default? * 1.5).ceil(),
        (None, Some(Quality::Max)) => input.maximum.or(default.map(|steps| steps * 2.0))?,
    };
    if input.kind == Kind::Choice { nearest_number(input, wanted) } else { Some(number(input, wanted)) }
}

/// `wanted`, within the parameter's range and on its steps, where it has any. Where a range has no such steps, as one
/// that no number can count, it is within the range alone. What counts something is whole.
fn number(input: &Input, wanted: f64) -> Value {
    let least = input.minimum.unwrap_or(f64::MIN);
    let greatest = input.maximum.unwrap_or(f64::MAX).max(least);
    let start = input.minimum.unwrap_or(0.0);
    let within = wanted.clamp(least, greatest);
    let mut value = within;
    if let Some(step) = input.step {
        value = start + ((value - start) / step).round() * step;
        if value > greatest {
            value -= step;
        }
        // 0.35, not 0.35000000000000003.
        value = format!("{value:.6}").parse().unwrap_or(value);
        value = if value.is_finite() { value.clamp(least, greatest) } else { within };
    }
    if input.role.is_some_and(Role::is_whole) {
        let whole = value.round().clamp(least.ceil(), greatest.floor().max(least.ceil()));
        value = if whole <= greatest { whole } else { within };
    }
    written(value)
}

/// A number as a browser writes it: without a point where it is whole.
fn written(value: f64) -> Value {
    match format!("{value:.0}").parse::<i64>() {
        Ok(integer) if value.fract() == 0.0 => json!(integer),
        _ => json!(value),
    }
}

/// `seed`, wrapped into the parameter's range. What is below 0 has a meaning of its own, most often "random".
fn wrapped(input: &Input, seed: Seed) -> Seed {
    let whole = |bound: f64| format!("{:.0}", bound.clamp(0.0, f64::from(Seed::MAX))).parse::<u32>().ok();
    let least = input.minimum.and_then(|least| whole(least.ceil())).unwrap_or(0);
    let greatest = input.maximum.and_then(|greatest| whole(greatest.floor())).unwrap_or(Seed::MAX);
    seed.within(least, greatest)
}

/// The choice of that name: by value or label, in any case.
fn choice(input: &Input, name: &str) -> Option<Value> {
    // A label may be shown in a plainer form than it has.
    let is = |text: &str| [text.trim(), plain(text).as_str()].iter().any(|one| one.eq_ignore_ascii_case(name.trim()));
    let found = input.choices.iter().find(|choice| is(&choice.label) || choice.value.as_str().is_some_and(is));
    found.map(|choice| choice.value.clone())
}

/// The choice that names a file format: `PNG`, `jpg`, `image/webp`.
fn file_format(input: &Input, format: Format) -> Option<Value> {
    let names = |text: &str| {
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| Format::of_output_format(&word.to_ascii_lowercase()) == Some(format))
    };
    let found = input.choices.iter().find(|choice| choice.value.as_str().is_some_and(names) || names(&choice.label));
    found.map(|choice| choice.value.clone())
}

/// The choice whose number is nearest: `4-Step` for 5.
fn nearest_number(input: &Input, wanted: f64) -> Option<Value> {
    let read = |choice: &ParameterChoice| {
        let digits = |text: &str| -> Option<f64> {
            text.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty())?.parse().ok()
        };
        choice.value.as_f64().or_else(|| digits(choice.value.as_str()?)).or_else(|| digits(&choice.label))
    };
    let numbers = input.choices.iter().filter_map(|choice| Some((choice, (read(choice)? - wanted).abs())));
    numbers.min_by(|one, other| one.1.total_cmp(&other.1)).map(|(choice, _)| choice.value.clone())
}

/// True where a request's field of that name means the parameter.
fn is_named(input: &Input, name: &str) -> bool {
    let same = |text: &str| !text.is_empty() && text.eq_ignore_ascii_case(name);
    same(&input.name) || same(&input.label)
}

/// `value` as the parameter can hold it, if it can.
fn fitting(input: &Input, value: &Value) -> Option<Value> {
    match (input.kind, value) {
        (Kind::Text, Value::String(_)) | (Kind::Flag, Value::Bool(_)) => Some(value.clone()),
        // A form has nothing but texts.
        (Kind::Flag, Value::String(text)) => text.parse::<bool>().ok().map(Value::from),
        (Kind::Number, Value::String(text)) => {
            Some(number(input, text.trim().parse().ok().filter(|value: &f64| value.is_finite())?))
        }
        (Kind::Number, Value::Number(wanted)) => Some(number(input, wanted.as_f64()?)),
        (Kind::Choice, Value::String(name)) => choice(input, name),
        (Kind::Choice, other) => {
            input.choices.iter().map(|choice| &choice.value).find(|value| *value == other).cloned()
        }
        (Kind::Choices, Value::Array(names)) => {
            names.iter().map(|name| choice(input, name.as_str()?)).collect::<Option<_>>().map(Value::Array)
        }
        _ => None,
    }
}

/// Form in which a Space gets a size: two sides, or one choice, or both.
struct Sizing {
    sides: Option<Size>,
    choice: Option<Value>,
    chosen: Option<Size>,
}

impl Sizing {
    fn new(signature: &Signature, wanted: Option<Size>) -> Self {
        let (width, height) = (signature.input(Role::Width), signature.input(Role::Height));
        let sides = match (wanted, width, height) {
            (Some(wanted), Some(width), Some(height)) => Some(fit(wanted, width, height)),
            _ => None,
        };
        let default = || {
            let side = |input: Option<&Input>| format!("{:.0}", input?.default.as_f64()?).parse().ok();
            Size::new(side(width)?, side(height)?)
        };
        let shape = signature.input(Role::Size);
        let shaped = wanted.zip(shape).and_then(|(wanted, input)| nearest_shape(input, wanted));
        let (choice, chosen) = match shaped {
            Some((value, Shape::Size(size))) => (Some(value), Some(size)),
            Some((value, Shape::Ratio(_))) => (Some(value), None),
            None => (
                None,
                shape.and_then(|input| match Shape::read(input.default.as_str()?)? {
                    Shape::Size(size) => Some(size),
                    Shape::Ratio(_) => None,
                }),
            ),
        };
        Self { chosen: sides.or(chosen).or_else(default), sides, choice }
    }

    /// The size that comes of it, where that is known.
    fn asked(&self) -> Option<Size> {
        self.chosen
    }
}

/// The choice that is nearest to `wanted` in shape, then in area. A field for text takes the size as it is.
fn nearest_shape(input: &Input, wanted: Size) -> Option<(Value, Shape)> {
    if input.choices.is_empty() {
        let takes = input.kind == Kind::Text && input.default.as_str().and_then(Shape::read).is_some();
        return takes.then(|| (json!(wanted.to_string()), Shape::Size(wanted)));
    }
    let shapes = input.choices.iter().filter_map(|choice| Some((choice, Shape::of_choice(choice)?)));
    let nearest = shapes.min_by(|one, other| one.1.distance(wanted).total_cmp(&other.1.distance(wanted)));
    nearest.map(|(choice, shape)| (choice.value.clone(), shape))
}

/// `wanted` in the sliders' ranges and on their steps. Where a side is too long, both shrink, so that the shape stays.
fn fit(wanted: Size, width: &Input, height: &Input) -> Size {
    let (w, h) = (f64::from(wanted.width()), f64::from(wanted.height()));
    let shrink = (width.maximum.unwrap_or(w) / w).min(height.maximum.unwrap_or(h) / h).min(1.0);
    let grow = (width.minimum.unwrap_or(w) / w).max(height.minimum.unwrap_or(h) / h).max(1.0);
    let scale = if shrink < 1.0 { shrink } else { grow };
    let side = |input: &Input, side: f64| -> Option<u32> {
        format!("{:.0}", number(input, side * scale).as_f64()?).parse().ok()
    };
    side(width, w).zip(side(height, h)).and_then(|(width, height)| Size::new(width, height)).unwrap_or(wanted)
}
