//! Paths of requests, and patterns of routes.
//!
//! Clients are set up with a base URL, and people write it in many ways: with and without `/v1`, with it twice, with a
//! slash too many, or in Azure's way, which puts the model into the path. All of them mean the same routes.

use percent_encoding::percent_decode_str;

/// Segments before the routes of the API that say nothing, in any number and order.
const PREFIXES: [&str; 3] = ["v1", "openai", "api"];

/// Path of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath<'a> {
    /// All of it, without slashes at its ends.
    whole: &'a str,
    /// The part behind the prefixes of the API, without slashes at its ends.
    rest: &'a str,
    /// Model that it names in Azure's way: `/openai/deployments/{model}/…`.
    pub deployment: Option<String>,
}

/// First segment of a path, however many slashes are before it; empty where there is none.
pub fn first_segment(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// True for a segment that says nothing but that the API is meant.
pub fn is_prefix(segment: &str) -> bool {
    PREFIXES.contains(&segment)
}

impl<'a> RequestPath<'a> {
    /// Parses a path, without its query.
    pub fn parse(path: &'a str) -> Self {
        let whole = path.trim_matches('/');
        let (mut rest, mut deployment) = (whole, None);
        loop {
            let (first, after) = rest.split_once('/').unwrap_or((rest, ""));
            let after = after.trim_start_matches('/');
            match first {
                _ if PREFIXES.contains(&first) => rest = after,
                "deployments" if deployment.is_none() => {
                    let (name, after) = after.split_once('/').unwrap_or((after, ""));
                    deployment = Some(percent_decode_str(name).decode_utf8_lossy().into_owned());
                    rest = after.trim_start_matches('/');
                }
                _ => break,
            }
        }
        Self { whole, rest, deployment }
    }

    /// Parameter of the path, empty where `pattern` has none, if the path matches `pattern`.
    ///
    /// A pattern below `/v1/` matches behind all prefixes of the API, another one the whole path. `{id}` stands for one
    /// segment, `img_{id}` for one that begins so, and `{id*}`, at the end, for all that follows.
    pub fn parameter(&self, pattern: &str) -> Option<&'a str> {
        let (mut path, pattern) = match pattern.strip_prefix("/v1/") {
            Some(pattern) => (self.rest, pattern),
            None => (self.whole, pattern.trim_start_matches('/')),
        };
        let mut parameter = "";
        for segment in pattern.split('/') {
            if segment.ends_with("*}") {
                return Some(path);
            }
            let (first, after) = path.split_once('/').unwrap_or((path, ""));
            match segment.split_once('{') {
                Some((prefix, _)) if !first.is_empty() && first.starts_with(prefix) => parameter = first,
                None if segment == first => {}
                _ => return None,
            }
            path = after.trim_start_matches('/');
        }
        path.is_empty().then_some(parameter)
    }
}
