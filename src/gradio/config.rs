//! Configuration of a Space, as it is at `/config`.
//!
//! Source: Gradio's `routes.py` and `blocks.py` (`get_config`). `/config` is never prefixed; everything else is, from
//! Gradio 5 on, by what `api_prefix` says.

use std::collections::HashMap;
use std::rc::Rc;

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::client::Client;
use super::failure::{Failure, plain};
use super::space::{Origin, Space};

use crate::bounded_json::JsonBounds;

/// Longest path of a Space's calls, in bytes: a replica's, and the API's prefix. Links to its files have it in them.
pub const MAX_PATH: usize = 1024;

/// A Space's address, functions and components.
#[derive(Debug)]
pub struct Config {
    /// Base of its calls.
    pub base: Base,
    /// The version of its Gradio.
    pub version: String,
    /// The functions that run at the server.
    pub functions: Vec<Function>,
    /// By their ids.
    components: HashMap<u64, Component>,
}

/// Base of a Space's calls: its origin, the path of its root (a replica's, or a proxy's) and the API's prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Base {
    origin: Origin,
    path: Rc<str>,
}

/// A function of a Space that can be called.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Base of the call.
    pub base: Base,
    /// Number of the function. Positions differ between Spaces and between versions of one: never assume it.
    pub fn_index: u64,
}

/// A function, as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its number.
    pub index: u64,
    /// Its name in the API, without a slash; Gradio 4 has functions without.
    pub api_name: Option<String>,
    /// Marks a function that the app's documentation shows.
    pub documented: bool,
    /// Marks a function that its author keeps from programs: the app's page calls it by its number all the same.
    pub hidden: bool,
    /// The ids of the components that it reads.
    pub inputs: Vec<u64>,
    /// The ids of the components that it writes.
    pub outputs: Vec<u64>,
    /// Marks a function that yields several times.
    pub generator: bool,
}

/// A component of a Space's page.
#[derive(Debug, Deserialize)]
pub struct Component {
    id: u64,
    /// Gradio's name of the component: `slider`, `textbox`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Arguments that it was made with.
    #[serde(default)]
    pub props: Props,
    /// Marks a component that `/info` leaves out, as it does with `state`.
    #[serde(default)]
    pub skip_api: bool,
}

/// Arguments that a component was made with, as far as they matter here.
#[derive(Debug, Default, Deserialize)]
pub struct Props {
    /// For people.
    pub label: Option<String>,
    /// Value when the page opens.
    #[serde(default)]
    pub value: Value,
    /// The least of a slider or number.
    pub minimum: Option<f64>,
    /// The greatest.
    pub maximum: Option<f64>,
    /// From one value to the next.
    pub step: Option<f64>,
    /// Decimals of a number; 0 for whole numbers.
    pub precision: Option<i64>,
    /// Options of a dropdown or radio: pairs of label and value, or values alone.
    #[serde(default)]
    pub choices: Value,
    /// Marks a dropdown in which several may be chosen.
    pub multiselect: Option<bool>,
}

impl Base {
    /// A base at `origin`, with the path that [`Base::path`] gave.
    pub fn new(origin: Origin, path: &str) -> Self {
        Self { origin, path: path.into() }
    }

    /// The URL of `path_and_query` below it.
    pub fn url(&self, path_and_query: &str) -> Url {
        self.origin.url(&self.path_and_query(path_and_query))
    }

    /// `path_and_query` below it, as the origin knows it.
    pub fn path_and_query(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.path)
    }

    /// Its path, without a slash at the end.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Origin that answers.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl Config {
    /// Fetches it from `space`.
    ///
    /// # Errors
    /// Every [`Failure`] of a call; [`Failure::Unreadable`] where the answer isn't a Gradio configuration, as while a
    /// Space sleeps or is being built.
    pub async fn fetch(client: &Client, space: &Space) -> Result<Self, Failure> {
        let answer = client.get(space.origin().url("/config"), HeaderMap::new()).await?;
        let body = client.body("/config", answer).await?;
        Self::parse(space.origin(), &body)
    }

    /// Reads it, as answered by `origin`.
    ///
    /// # Errors
    /// [`Failure::NotReady`] where it isn't one; [`Failure::Unreadable`] where the queue speaks an older protocol than
    /// `sse_v1`.
    pub fn parse(origin: &Origin, body: &[u8]) -> Result<Self, Failure> {
        let wire: WireConfig = JsonBounds::DESCRIPTION.parse(body).map_err(|_| Failure::NotReady { stage: None })?;
        let version = plain(&wire.version.unwrap_or_default());
        if !matches!(wire.protocol.as_deref(), Some("sse_v1" | "sse_v2" | "sse_v2.1" | "sse_v3")) {
            return Err(Failure::Unreadable(format!(
                "Gradio {version} is too old: its queue must speak sse_v1 to sse_v3"
            )));
        }
        // Only the path of `root` counts: its host is what a proxy made of the request, and none of ours to follow.
        let root = wire.root.and_then(|root| Url::parse(&root).ok());
        let root = root.as_ref().map_or("", |root| root.path()).trim_end_matches('/');
        let prefix = wire.api_prefix.unwrap_or_default();
        let prefix = prefix.trim_matches('/');
        let separator = if prefix.is_empty() { "" } else { "/" };
        let path = format!("{root}{separator}{prefix}");
        if !is_path(&path) {
            return Err(Failure::Unreadable("the path of its calls is too long, or is none".to_owned()));
        }
        Ok(Self {
            base: Base::new(origin.clone(), &path),
            version,
            functions: wire.dependencies.into_iter().filter_map(WireDependency::function).collect(),
            components: wire.components.into_iter().rev().map(|component| (component.id, component)).collect(),
        })
    }

    /// The component of that id.
    pub fn component(&self, id: u64) -> Option<&Component> {
        self.components.get(&id)
    }
}

/// True for a path that a URL has as it is (RFC 3986 section 3.3), without dots that a URL parser would take away.
fn is_path(path: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@/".contains(&byte);
    let has_dots =
        path.split('/').any(|segment| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | ".."));
    path.len() <= MAX_PATH && path.bytes().all(is_allowed) && !has_dots
}

#[derive(Deserialize)]
struct WireConfig {
    version: Option<String>,
    protocol: Option<String>,
    root: Option<String>,
    api_prefix: Option<String>,
    dependencies: Vec<WireDependency>,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct WireDependency {
    id: Option<u64>,
    /// A name, `null` where the function has none, or `false` where only the page is to call it.
    #[serde(default)]
    api_name: Value,
    /// In place of `api_name: false`, from Gradio 6 on.
    api_visibility: Option<String>,
    show_api: Option<bool>,
    backend_fn: Option<bool>,
    #[serde(default)]
    inputs: Vec<u64>,
    #[serde(default)]
    outputs: Vec<u64>,
    #[serde(default)]
    types: WireTypes,
}

#[derive(Default, Deserialize, Serialize)]
struct WireTypes {
    #[serde(default)]
    generator: bool,
}

impl WireDependency {
    /// The function, where it runs at the server.
    fn function(self) -> Option<Function> {
        let (api_name, is_off) = match self.api_name {
            Value::String(name) => (Some(name.trim_start_matches('/').to_owned()), false),
            Value::Null => (None, false),
            _ => (None, true),
        };
        let visibility = self.api_visibility.as_deref();
        let hidden = is_off || visibility == Some("private");
        let documented = !hidden && self.show_api != Some(false) && visibility != Some("undocumented");
        let (inputs, outputs, generator) = (self.inputs, self.outputs, self.types.generator);
        let function = Function { index: self.id?, api_name, documented, hidden, inputs, outputs, generator };
        (self.backend_fn != Some(false)).then_some(function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(origin: &str, body: &str) -> Result<Config, Failure> {
        Config::parse(Space::parse(origin).unwrap().origin(), body.as_bytes())
    }

    fn join_url(origin: &str, body: &str) -> String {
        parse(origin, body).unwrap().base.url("/queue/join").to_string()
    }

    const DEPENDENCIES: &str = r#"[
        {"id":0,"api_name":false,"backend_fn":true},
        {"id":1,"api_name":"a","api_visibility":"private"},
        {"id":2,"api_name":"b","backend_fn":false},
        {"id":3,"api_name":null,"backend_fn":true,"show_api":false,
         "inputs":[1],"outputs":[2],"types":{"generator":true}},
        {"id":7,"api_name":"generate_image","backend_fn":true,"api_visibility":"public"}]"#;

    fn config(fields: &str) -> String {
        format!(r#"{{"protocol":"sse_v3",{fields}"dependencies":{DEPENDENCIES}}}"#)
    }

    #[test]
    fn finds_the_functions_that_can_be_called() {
        let functions = parse("a/b", &config("")).unwrap().functions;
        let seen: Vec<_> = functions
            .iter()
            .map(|function| (function.index, function.api_name.as_deref(), function.documented, function.hidden))
            .collect();
        let hidden = [(0, None, false, true), (1, Some("a"), false, true)];
        assert_eq!(seen, [hidden[0], hidden[1], (3, None, false, false), (7, Some("generate_image"), true, false)]);
        assert_eq!(
            (functions[2].inputs.as_slice(), functions[2].outputs.as_slice(), functions[2].generator),
            ([1].as_slice(), [2].as_slice(), true)
        );
    }

    #[test]
    fn calls_go_below_root_and_prefix_of_the_origin_that_was_asked() {
        let space = "http://127.0.0.1:7860";
        assert_eq!(join_url(space, &config("")), "http://127.0.0.1:7860/queue/join");
        assert_eq!(
            join_url(space, &config(r#""root":"http://127.0.0.1:7860","api_prefix":"/gradio_api","#)),
            "http://127.0.0.1:7860/gradio_api/queue/join"
        );
        assert_eq!(
            join_url("a/b", &config(r#""root":"https://a-b.hf.space/--replicas/x1/","api_prefix":"/gradio_api","#)),
            "https://a-b.hf.space/--replicas/x1/gradio_api/queue/join"
        );
        assert_eq!(
            join_url(space, &config(r#""root":"http://evil.example/x","api_prefix":"//evil.example","#)),
            "http://127.0.0.1:7860/x/evil.example/queue/join",
            "a Space can't send the calls elsewhere"
        );
    }

    #[test]
    fn what_is_no_configuration_is_told() {
        for body in ["<!DOCTYPE html>", "{}", "[]"] {
            assert_eq!(parse("a/b", body).unwrap_err(), Failure::NotReady { stage: None }, "{body}");
        }
        let long = config(&format!(r#""api_prefix":"/{}","#, "x".repeat(MAX_PATH)));
        let [query, dots, space] =
            ["/a?b=", "/a/../b", "/a b"].map(|path| config(&format!(r#""api_prefix":"{path}","#)));
        for body in [r#"{"dependencies":[]}"#, r#"{"protocol":"ws","dependencies":[]}"#, &long, &query, &dots, &space] {
            assert!(matches!(parse("a/b", body), Err(Failure::Unreadable(_))), "{body}");
        }
    }
}
