//! The report on a Space.

use std::fmt::{self, Display, Formatter};

use serde_json::{Map, Value, json};
use z_image_2api::generation::{Generation, Priority, Purpose, Seed, Size};
use z_image_2api::gradio::arguments::Arguments;
use z_image_2api::gradio::config::{Config, Function};
use z_image_2api::gradio::discovery::choose::choose;
use z_image_2api::gradio::discovery::signature::{Info, Input, Signature};
use z_image_2api::gradio::space::Space;
use z_image_2api::gradio::upload::Uploaded;

/// Length of a value as it is shown, at most, in characters.
const SHOWN: usize = 120;
/// Choices of a parameter that are shown, at most.
const CHOICES: usize = 8;

/// Report on what the component makes of a Space, for people.
pub(crate) struct Report<'a> {
    pub(crate) space: &'a Space,
    pub(crate) config: &'a Config,
    pub(crate) info: &'a Info,
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nSpace {} runs Gradio {}; its calls go to {}",
            self.space.name(),
            self.config.version,
            self.base()
        )?;
        writeln!(f, "\nFunctions:")?;
        for function in &self.config.functions {
            self.function(f, function)?;
        }
        self.skill(f, Purpose::Generate, "An image from text")?;
        self.skill(f, Purpose::Edit, "An image from an image and a mask")
    }
}

impl Report<'_> {
    fn base(&self) -> String {
        self.config.base.url("").to_string()
    }

    fn kinds(&self, ids: &[u64]) -> String {
        let kind = |id: &u64| self.config.component(*id).map_or("unknown", |component| component.kind.as_str());
        ids.iter().map(kind).collect::<Vec<_>>().join(", ")
    }

    fn function(&self, f: &mut Formatter<'_>, function: &Function) -> fmt::Result {
        let marks =
            [(function.hidden, "hidden"), (!function.documented, "undocumented"), (function.generator, "yields")];
        let marks: Vec<_> = marks.iter().filter(|(is_set, _)| *is_set).map(|(_, mark)| *mark).collect();
        let name = name(function);
        let (inputs, outputs) = (self.kinds(&function.inputs), self.kinds(&function.outputs));
        writeln!(f, "  {:>3} {name} ({inputs}) -> ({outputs}) {}", function.index, marks.join(", "))
    }

    fn skill(&self, f: &mut Formatter<'_>, purpose: Purpose, title: &str) -> fmt::Result {
        let Some((function, signature)) = choose(self.config, self.info, self.space.endpoint(), purpose) else {
            return writeln!(f, "\n{title}: no function does that.");
        };
        writeln!(f, "\n{title}: function {} {}\n", function.index, name(function))?;
        writeln!(f, "  Parameters, with the role that their names and labels give them:")?;
        for input in &signature.inputs {
            writeln!(f, "    {}", parameter(input))?;
        }
        let (request, uploaded) = sample(purpose);
        let arguments = Arguments::new(&signature, &request, request.seed, request.count, &uploaded);
        writeln!(f, "\n  Arguments of a request with {}:", told(&request))?;
        for (input, value) in signature.inputs.iter().zip(&arguments.data) {
            writeln!(f, "    {}: {}", shown_name(input), short(value))?;
        }
        writeln!(f, "\n  Outputs, and what they are taken for:")?;
        for (id, output) in function.outputs.iter().zip(&signature.outputs) {
            let component = self.config.component(*id);
            let kind = component.map_or("unknown", |component| component.kind.as_str());
            let label = component.and_then(|component| component.props.label.as_deref()).unwrap_or_default();
            writeln!(f, "    {kind} {label:?}: {}", text(&json!(output)))?;
        }
        models(f, &signature)
    }
}

/// The choices that are models of their own.
fn models(f: &mut Formatter<'_>, signature: &Signature) -> fmt::Result {
    let choices = signature.model_choices();
    if choices.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n  Models besides, each behind the model's name and a slash: {}", choices.join("; "))
}

/// A request that says something of everything, and the files that it would have at the Space.
fn sample(purpose: Purpose) -> (Generation, Uploaded) {
    let file = |name: &str| json!({"path": format!("/tmp/{name}.png"), "meta": {"_type": "gradio.FileData"}});
    let uploaded = match purpose {
        Purpose::Generate => Uploaded::default(),
        Purpose::Edit => Uploaded { images: vec![file("image")], mask: Some(file("mask")) },
    };
    let request = Generation {
        prompt: "a red fox".to_owned(),
        negative_prompt: Some("blur".to_owned()),
        size: Size::new(1024, 768),
        aspect: None,
        seed: Seed::of_bits(42_u32.to_le_bytes()),
        count: 1,
        steps: Some(8),
        quality: None,
        guidance: Some(4.0),
        sampler: None,
        choice: None,
        images: Vec::new(),
        mask: None,
        strength: None,
        format: None,
        priority: Priority::default(),
        extras: Map::new(),
    };
    (request, uploaded)
}

fn told(request: &Generation) -> String {
    let size = request.size.map(|size| size.to_string()).unwrap_or_default();
    format!(
        "prompt \"{}\", negative_prompt \"blur\", size {size}, seed {}, steps 8, guidance_scale 4",
        request.prompt,
        request.seed.get()
    )
}

fn name(function: &Function) -> String {
    function.api_name.as_ref().map_or_else(|| "(no name)".to_owned(), |name| format!("/{name}"))
}

fn shown_name(input: &Input) -> String {
    if input.name.is_empty() { format!("{:?}", input.label) } else { input.name.clone() }
}

fn parameter(input: &Input) -> String {
    let role = input.role.map_or_else(|| "no role: keeps its default".to_owned(), |role| text(&json!(role)));
    let mut line = format!("{} {:?} ({}): {role}", shown_name(input), input.label, text(&json!(input.kind)));
    let number = |name: &str, value: Option<f64>| value.map(|value| format!(", {name} {value}")).unwrap_or_default();
    line += &format!(", default {}", short(&input.default));
    line += &number("from", input.minimum);
    line += &number("to", input.maximum);
    line += &number("by", input.step);
    if !input.choices.is_empty() {
        let labels: Vec<_> = input.choices.iter().take(CHOICES).map(|choice| choice.label.as_str()).collect();
        line += &format!(", of {} choices: {}", input.choices.len(), labels.join("; "));
    }
    line
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN { text } else { text.chars().take(SHOWN).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Report on a recorded Space.
    fn report(version: &str, shape: &str, space: &str) -> String {
        let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recorded").join(version).join(shape);
        let recorded: Value = serde_json::from_slice(&fs::read(recorded).unwrap()).unwrap();
        let space = Space::parse(space).unwrap();
        let config = Config::parse(space.origin(), recorded["config"].to_string().as_bytes()).unwrap();
        let info = serde_json::from_value(recorded["info"].clone()).unwrap();
        Report { space: &space, config: &config, info: &info }.to_string()
    }

    #[test]
    fn a_report_says_what_is_found_sent_and_taken() {
        for version in ["4.44.1", "5.50.0", "6.31.0"] {
            let text = report(version, "odd.json", "http://127.0.0.1:7860/sliders_stepless");
            for line in [
                "steps \"Steps\" (number): steps, default 20, from 1, to 50, by 1",
                "height \"Height\" (number): height, default 1024, from 256, to 2048, by 64",
                "guidance \"Guidance scale\" (number): guidance, default 7.5",
                "    seed: 42",
                "    width: 1024",
                "An image from an image and a mask: no function does that.",
                ": image",
            ] {
                assert!(text.lines().any(|found| found.contains(line)), "{version}: {line}\n{text}");
            }
            let text = report(version, "odd.json", "http://127.0.0.1:7860/inputs_choices");
            assert!(text.contains("a slash: Base; Turbo, 8 steps; org/fine tune; Ink; Photo"), "{version}\n{text}");
            let text = report(version, "hidden.json", "http://127.0.0.1:7860");
            assert!(text.contains("hidden, undocumented"), "{version}\n{text}");
        }
    }
}
