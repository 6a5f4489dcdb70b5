//! A function's parameters and outputs, as they can be called: what `/config` and `/info` say together.
//!
//! `/info` has the parameters' names and defaults, `/config` has ranges and choices, and the components that `/info`
//! leaves out (`state` above all, without which the call has too few arguments). Where there is no `/info` for a
//! function, as for one without a name, labels have to do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::assign::assign;
use super::choice::ParameterChoice;
use super::role::{Kind, Role};
use super::size::Shape;
use crate::gradio::config::{Component, Config, Function, Props};
use crate::gradio::failure::plain;

/// Choices that a model may stand for, at most.
const MOST_CHOICES: usize = 200;
/// Names of choices of nothing.
const NO_CHOICE: [&str; 7] = ["none", "no style", "no lora", "default", "auto", "custom", "无"];

/// Parameters and outputs of a function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    /// Its parameters, in order.
    pub inputs: Vec<Input>,
    /// Its outputs, in order.
    pub outputs: Vec<Output>,
    /// Marks a function that yields several times: partial images.
    pub generator: bool,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// The name of the function's argument; empty where Gradio doesn't give one.
    pub name: String,
    /// For people.
    pub label: String,
    /// Kind of its value.
    pub kind: Kind,
    /// Role, where that is known.
    pub role: Option<Role>,
    /// Value if nobody says otherwise.
    pub default: Value,
    /// Marks a parameter that the function can do without: it has a default of its own, be it `None`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// The least value.
    pub minimum: Option<f64>,
    /// The greatest.
    pub maximum: Option<f64>,
    /// From one value to the next, counted from the least, where the Space's author has said so.
    pub step: Option<f64>,
    /// Options, where it is chosen from a list.
    pub choices: Vec<ParameterChoice>,
}

/// An output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// An image, or what wraps one.
    Image,
    /// Several images.
    Gallery,
    /// A file to download, which may be an image.
    File,
    /// A number that is called a seed.
    Seed,
    /// HTML or Markdown, which can hold an image.
    Markup,
    /// Text or JSON, which can hold an image too, but seldom does.
    Text,
    /// Anything else.
    Other,
}

/// `/info`, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
pub struct Info {
    #[serde(default)]
    named_endpoints: BTreeMap<String, InfoEndpoint>,
    #[serde(default)]
    unnamed_endpoints: BTreeMap<String, InfoEndpoint>,
}

#[derive(Debug, Deserialize)]
struct InfoEndpoint {
    #[serde(default)]
    parameters: Vec<InfoParameter>,
}

#[derive(Debug, Deserialize)]
struct InfoParameter {
    parameter_name: Option<String>,
    #[serde(default)]
    parameter_has_default: bool,
    #[serde(default)]
    parameter_default: Value,
}

impl Info {
    fn parameters(&self, function: &Function) -> &[InfoParameter] {
        let endpoint = match &function.api_name {
            Some(name) => self.named_endpoints.get(&format!("/{name}")),
            None => self.unnamed_endpoints.get(&function.index.to_string()),
        };
        endpoint.map_or(&[], |endpoint| &endpoint.parameters)
    }
}

impl Signature {
    /// Reads the signature of `function`.
    pub fn read(config: &Config, info: &Info, function: &Function) -> Self {
        let mut described = info.parameters(function).iter();
        let mut inputs: Vec<Input> = Vec::with_capacity(function.inputs.len());
        for id in &function.inputs {
            let component = config.component(*id);
            let skipped = component.is_some_and(|component| component.skip_api || component.kind == "state");
            let parameter = if skipped { None } else { described.next() };
            inputs.push(input(component, parameter));
        }
        let named: Vec<_> = inputs
            .iter()
            .map(|input| (Some(input.name.as_str()).filter(|name| !name.is_empty()), input.label.as_str(), input.kind))
            .collect();
        let roles = assign(&named);
        for (input, role) in inputs.iter_mut().zip(roles) {
            // A choice of something else may have a size in its name.
            let fits = role != Some(Role::Size)
                || input.choices.is_empty()
                || input.choices.iter().any(|choice| Shape::of_choice(choice).is_some());
            input.role = role.filter(|_| fits);
            if input.kind == Kind::Number && input.role.is_some_and(Role::is_whole) {
                // No seed is coarser than another.
                let step = input.step.filter(|step| input.role != Some(Role::Seed) && step.fract() == 0.0);
                input.step = Some(step.unwrap_or(1.0));
            }
        }
        let outputs = function.outputs.iter().map(|id| output(config, *id)).collect();
        Self { inputs, outputs, generator: function.generator }
    }

    /// The parameter of that role.
    pub fn input(&self, role: Role) -> Option<&Input> {
        self.inputs.iter().find(|input| input.role == Some(role))
    }

    /// Names of the choices that a model of this server's may stand for, each once: checkpoints, LoRAs, styles.
    pub fn model_choices(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let inputs = self.inputs.iter().filter(|input| input.role.is_some_and(Role::is_model));
        for choice in inputs.flat_map(|input| &input.choices) {
            let name = plain(&choice.label);
            let is_none =
                NO_CHOICE.iter().any(|none| name.trim_matches(['(', ')', '-', ' ']).eq_ignore_ascii_case(none));
            if !name.is_empty() && !is_none && !names.contains(&name) && names.len() < MOST_CHOICES {
                names.push(name);
            }
        }
        names
    }

    /// True where an output is an image or a gallery.
    pub fn gives_images(&self) -> bool {
        self.outputs.iter().any(|output| matches!(output, Output::Image | Output::Gallery))
    }
}

fn input(component: Option<&Component>, parameter: Option<&InfoParameter>) -> Input {
    let props = component.map(|component| &component.props);
    let multiselect = props.and_then(|props| props.multiselect).unwrap_or(false);
    let kind = component.map_or(Kind::Other, |component| Kind::of_component(&component.kind, multiselect));
    let default = match parameter {
        Some(parameter) if parameter.parameter_has_default => parameter.parameter_default.clone(),
        _ if kind == Kind::State => Value::Null,
        _ => props.map_or(Value::Null, |props| props.value.clone()),
    };
    Input {
        name: parameter.and_then(|parameter| parameter.parameter_name.clone()).unwrap_or_default(),
        label: props.and_then(|props| props.label.clone()).unwrap_or_default(),
        kind,
        role: None,
        default,
        optional: parameter.is_some_and(|parameter| parameter.parameter_has_default),
        minimum: props.and_then(|props| props.minimum),
        maximum: props.and_then(|props| props.maximum),
        step: component.and_then(step),
        choices: props.map_or_else(Vec::new, |props| choices(&props.choices)),
    }
}

/// Step that the author of a slider or number has chosen.
///
/// A slider that was made without has one all the same: 10 to the power of ⌊lg (maximum − minimum) − 2⌋, to move its
/// handle by (Gradio's `slider.py`). It says nothing about the values that the function takes: 0.1 for 1 to 50 steps,
/// 10,000,000 for seeds. A number's is 1 where nobody says otherwise, and is what its arrows change it by.
fn step(component: &Component) -> Option<f64> {
    let Props { minimum, maximum, step, precision, .. } = &component.props;
    if *precision == Some(0) {
        return Some(step.filter(|step| *step >= 1.0 && step.fract() == 0.0).unwrap_or(1.0));
    }
    let step = step.filter(|step| *step > 0.0)?;
    let is_computed = match component.kind.as_str() {
        "slider" => {
            let range = maximum.unwrap_or(100.0) - minimum.unwrap_or(0.0);
            let computed = 10_f64.powf((range.log10() - 2.0).floor());
            (step / computed - 1.0).abs() < 1e-9
        }
        _ => (step - 1.0).abs() < f64::EPSILON,
    };
    (!is_computed).then_some(step)
}

/// Options of a dropdown or radio: pairs of label and value since Gradio 4, values alone before.
fn choices(choices: &Value) -> Vec<ParameterChoice> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let choice = |choice: &Value| match choice.as_array().map(Vec::as_slice) {
        Some([label, value]) => ParameterChoice { label: text(label), value: value.clone() },
        _ => ParameterChoice { label: text(choice), value: choice.clone() },
    };
    choices.as_array().map(|choices| choices.iter().map(choice).collect()).unwrap_or_default()
}

fn output(config: &Config, id: u64) -> Output {
    let Some(component) = config.component(id) else { return Output::Other };
    let label = component.props.label.as_deref().unwrap_or_default().to_lowercase();
    match component.kind.as_str() {
        "image" | "imageslider" | "annotatedimage" | "imageeditor" | "paint" | "sketchpad" | "imagemask" => {
            Output::Image
        }
        "file" | "downloadbutton" => Output::File,
        "gallery" => Output::Gallery,
        "number" | "slider" | "textbox" if label.contains("seed") || label.contains("种子") => Output::Seed,
        "html" | "markdown" => Output::Markup,
        "json" | "textbox" => Output::Text,
        _ => Output::Other,
    }
}
