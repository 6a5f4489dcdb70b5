//! What a Space says of itself at `/config`.
//!
//! Source: Gradio's `routes.py` and `blocks.py` (`get_config`). `/config` is never prefixed; everything else is, from
//! Gradio 5 on, and `api_prefix` tells with what.

use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::client::Client;
use super::failure::Failure;
use super::space::{Origin, Space};

/// A Space's address and endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    base: Base,
    endpoints: Vec<(String, u64)>,
}

/// Where a Space's calls go: its origin, the path of its root (a replica's, or a proxy's) and the API's prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Base {
    origin: Origin,
    path: String,
}

/// A function of a Space that can be called.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Where.
    pub base: Base,
    /// By which number. Positions differ between Spaces and between versions of one: never assume it.
    pub fn_index: u64,
}

impl Base {
    /// The URL of `path_and_query` below it.
    pub fn url(&self, path_and_query: &str) -> Url {
        self.origin.url(&self.path_and_query(path_and_query))
    }

    /// `path_and_query` below it, as the origin knows it.
    pub fn path_and_query(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.path)
    }

    /// Who answers.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl Config {
    /// Asks `space` for it.
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
    /// [`Failure::Unreadable`] where it isn't one, or where the queue speaks an older protocol than `sse_v1`.
    pub fn parse(origin: &Origin, body: &[u8]) -> Result<Self, Failure> {
        let wire: Wire = serde_json::from_slice(body).map_err(|_| {
            Failure::Unreadable(
                "/config is no Gradio configuration; it may be asleep, building, or not a Gradio app".into(),
            )
        })?;
        if !matches!(wire.protocol.as_deref(), Some("sse_v1" | "sse_v2" | "sse_v2.1" | "sse_v3")) {
            let version = super::failure::plain(&wire.version.unwrap_or_default());
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
        let endpoints = wire.dependencies.into_iter().filter_map(WireDependency::endpoint).collect();
        Ok(Self { base: Base { origin: origin.clone(), path: format!("{root}{separator}{prefix}") }, endpoints })
    }

    /// The endpoint of that `api_name`, without its slash.
    pub fn endpoint(&self, api_name: &str) -> Option<Endpoint> {
        let (_, fn_index) = self.endpoints.iter().find(|(name, _)| name == api_name)?;
        Some(Endpoint { base: self.base.clone(), fn_index: *fn_index })
    }
}

#[derive(Deserialize)]
struct Wire {
    version: Option<String>,
    protocol: Option<String>,
    root: Option<String>,
    api_prefix: Option<String>,
    dependencies: Vec<WireDependency>,
}

#[derive(Deserialize)]
struct WireDependency {
    id: Option<u64>,
    /// A name, or `false` where the function has none.
    #[serde(default)]
    api_name: Value,
    /// Since Gradio 6 in place of `api_name: false`.
    api_visibility: Option<String>,
    backend_fn: Option<bool>,
}

impl WireDependency {
    /// Its name and number, where it can be called from outside.
    fn endpoint(self) -> Option<(String, u64)> {
        let Value::String(name) = self.api_name else { return None };
        let hidden = self.backend_fn == Some(false) || self.api_visibility.as_deref() == Some("private");
        (!hidden).then_some((name, self.id?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(origin: &str, body: &str) -> Result<Config, Failure> {
        Config::parse(Space::parse(origin).unwrap().origin(), body.as_bytes())
    }

    fn join_url(origin: &str, body: &str) -> String {
        parse(origin, body).unwrap().endpoint("generate_image").unwrap().base.url("/queue/join").to_string()
    }

    const DEPENDENCIES: &str = r#"[
        {"id":0,"api_name":false,"backend_fn":true},
        {"id":1,"api_name":"generate_image","api_visibility":"private"},
        {"id":2,"api_name":"generate_image","backend_fn":false},
        {"id":7,"api_name":"generate_image","backend_fn":true,"api_visibility":"public"}]"#;

    fn config(fields: &str) -> String {
        format!(r#"{{"protocol":"sse_v3",{fields}"dependencies":{DEPENDENCIES}}}"#)
    }

    #[test]
    fn finds_the_endpoint_that_can_be_called() {
        let config = parse("a/b", &config("")).unwrap();
        assert_eq!(config.endpoint("generate_image").unwrap().fn_index, 7);
        assert_eq!(config.endpoint("nothing"), None);
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
        for body in ["<!DOCTYPE html>", "{}", "[]", r#"{"dependencies":[]}"#, r#"{"protocol":"ws","dependencies":[]}"#]
        {
            assert!(matches!(parse("a/b", body), Err(Failure::Unreadable(_))), "{body}");
        }
    }
}
