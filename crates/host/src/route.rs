//! Routes: the components that answer paths.
//!
//! As in Spin: an exact route matches its path, `/x/...` matches `/x` and everything below it, and of several that
//! match the one with most segments wins, an exact one before a wildcard.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};

use crate::manifest::Manifest;
use crate::runtime::App;

/// The application's routes.
pub(crate) struct Router {
    routes: Vec<Route>,
}

/// A route and who answers it.
pub(crate) struct Route {
    pub(crate) pattern: Pattern,
    pub(crate) component: String,
    pub(crate) app: Arc<App>,
}

/// A route's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// Text in the manifest.
    pub(crate) text: String,
    /// Without the wildcard, without a slash at the end.
    prefix: String,
    wildcard: bool,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self> {
        ensure!(text.starts_with('/'), "the route `{text}` must begin with a slash");
        if text.split('/').any(|segment| segment.starts_with(':')) {
            bail!("the route `{text}` has a named segment, which this host doesn't know");
        }
        let (prefix, wildcard) = match text.strip_suffix("/...") {
            Some(prefix) => (prefix, true),
            None => (text.strip_suffix('/').unwrap_or(text), false),
        };
        ensure!(!prefix.contains("..."), "the route `{text}` may have `...` at its end only");
        Ok(Self { text: text.to_owned(), prefix: prefix.to_owned(), wildcard })
    }

    /// Rest of `path` below this route, if it matches. Several slashes at its beginning are one.
    pub(crate) fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        let slashes = path.len() - path.trim_start_matches('/').len();
        let path = path.get(slashes.saturating_sub(1)..)?;
        let rest = path.strip_prefix(self.prefix.as_str())?;
        match rest {
            "" | "/" => Some(rest),
            _ if self.wildcard && rest.starts_with('/') => Some(rest),
            _ => None,
        }
    }

    /// Rank among routes: the greater wins.
    fn precedence(&self) -> (usize, bool) {
        (self.prefix.matches('/').count(), !self.wildcard)
    }

    /// The route without its wildcard, as Spin's headers give it.
    pub(crate) fn without_wildcard(&self) -> &str {
        &self.prefix
    }
}

impl Router {
    /// The routes of `manifest`, answered by `apps`, which are named as the manifest's components.
    pub(crate) fn new(manifest: &Manifest, apps: Vec<(String, App)>) -> Result<Self> {
        let apps: Vec<_> = apps.into_iter().map(|(id, app)| (id, Arc::new(app))).collect();
        let mut routes: Vec<Route> = Vec::new();
        for trigger in &manifest.triggers {
            let pattern = Pattern::parse(&trigger.route)?;
            let same =
                |route: &&Route| route.pattern.prefix == pattern.prefix && route.pattern.wildcard == pattern.wildcard;
            if let Some(other) = routes.iter().find(same) {
                bail!("the routes {} and {} are the same", other.pattern.text, pattern.text);
            }
            let Some((component, app)) = apps.iter().find(|(id, _)| *id == trigger.component) else {
                bail!("route {} names the component `{}`, which there is not", trigger.route, trigger.component);
            };
            routes.push(Route { pattern, component: component.clone(), app: Arc::clone(app) });
        }
        routes.sort_by_key(|route| std::cmp::Reverse(route.pattern.precedence()));
        Ok(Self { routes })
    }

    /// Route that answers `path`.
    pub(crate) fn find(&self, path: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.pattern.rest(path).is_some())
    }

    /// A line for each route.
    pub(crate) fn describe(&self) -> impl Iterator<Item = String> {
        self.routes.iter().map(|route| format!("{:<12} {}", route.pattern.text, route.component))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn winner<'a>(routes: &[&'a str], path: &str) -> Option<&'a str> {
        let mut routes: Vec<_> = routes.iter().map(|route| (Pattern::parse(route).unwrap(), *route)).collect();
        routes.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.precedence()));
        routes.iter().find(|(pattern, _)| pattern.rest(path).is_some()).map(|(_, route)| *route)
    }

    #[test]
    fn the_most_specific_route_wins() {
        let routes = ["/...", "/v1/...", "/healthz", "/v1/images/..."];
        for (path, expected) in [
            ("/", "/..."),
            ("/x", "/..."),
            ("/v1", "/v1/..."),
            ("/v1/", "/v1/..."),
            ("/v1/models", "/v1/..."),
            ("//v1//models", "/v1/..."),
            ("//", "/..."),
            ("/v10", "/..."),
            ("/healthz", "/healthz"),
            ("/healthz/", "/healthz"),
            ("/healthz/x", "/..."),
            ("/v1/images/x/y", "/v1/images/..."),
        ] {
            assert_eq!(winner(&routes, path), Some(expected), "{path}");
        }
        assert_eq!(winner(&["/a", "/a/..."], "/a"), Some("/a"));
        assert_eq!(winner(&["/a"], "/b"), None);
    }

    #[test]
    fn what_is_no_route_is_refused() {
        for text in ["x", "/a/.../b", "/users/:id"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
