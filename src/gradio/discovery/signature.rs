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
use crate::gradio::config::{Config, Function};

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
    /// The least value.
    pub minimum: Option<f64>,
    /// The greatest.
    pub maximum: Option<f64>,
    /// From one value to the next, counted from the least.
    pub step: Option<f64>,
    /// Options, where it is chosen from a list.
    pub choices: Vec<ParameterChoice>,
}

/// An output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// An image.
    Image,
    /// Several images.
    Gallery,
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
        }
        let outputs = function.outputs.iter().map(|id| output(config, *id)).collect();
        Self { inputs, outputs, generator: function.generator }
    }

    /// The parameter of that role.
    pub fn input(&self, role: Role) -> Option<&Input> {
        self.inputs.iter().find(|input| input.role == Some(role))
    }

    /// True where an output is an image or a gallery.
    pub fn gives_images(&self) -> bool {
        self.outputs.iter().any(|output| matches!(output, Output::Image | Output::Gallery))
    }
}

fn input(component: Option<&crate::gradio::config::Component>, parameter: Option<&InfoParameter>) -> Input {
    let props = component.map(|component| &component.props);
    let multiselect = props.and_then(|props| props.multiselect).unwrap_or(false);
    let kind = component.map_or(Kind::Other, |component| Kind::of_component(&component.kind, multiselect));
    let default = match parameter {
        Some(parameter) if parameter.parameter_has_default => parameter.parameter_default.clone(),
        _ if kind == Kind::State => Value::Null,
        _ => props.map_or(Value::Null, |props| props.value.clone()),
    };
    let whole = props.is_some_and(|props| props.precision == Some(0));
    Input {
        name: parameter.and_then(|parameter| parameter.parameter_name.clone()).unwrap_or_default(),
        label: props.and_then(|props| props.label.clone()).unwrap_or_default(),
        kind,
        role: None,
        default,
        minimum: props.and_then(|props| props.minimum),
        maximum: props.and_then(|props| props.maximum),
        step: props.and_then(|props| props.step.filter(|step| *step > 0.0)).or(whole.then_some(1.0)),
        choices: props.map_or_else(Vec::new, |props| choices(&props.choices)),
    }
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
        "image" => Output::Image,
        "gallery" => Output::Gallery,
        "number" | "slider" | "textbox" if label.contains("seed") || label.contains("种子") => Output::Seed,
        "html" | "markdown" => Output::Markup,
        "json" | "textbox" => Output::Text,
        _ => Output::Other,
    }
}
