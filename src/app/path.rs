//! Which route a path means.
//!
//! Clients are set up with a base URL, and people write it in many ways: with and without `/v1`, with it twice, with a slash too
//! many, or in Azure's way, which puts the model into the path. All of them mean the same routes.

use percent_encoding::percent_decode_str;

/// A route of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Health,
    Ready,
    Spaces,
    Models,
    /// A model by its id, still percent-encoded.
    Model(&'a str),
    Generations,
    Edits,
    Variations,
    /// An image by the name in its link.
    File(&'a str),
    Chat,
    Responses,
    Tasks,
    /// A task by its id.
    Task(&'a str),
    TaskEvents(&'a str),
    /// The images that were made.
    Images,
    /// One of them by its id.
    Image(&'a str),
    /// What a timer calls.
    Tick,
    Unknown,
}

impl Route<'_> {
    /// Whether images are made there.
    pub(super) fn makes_images(self) -> bool {
        matches!(self, Self::Generations | Self::Edits | Self::Variations | Self::Chat | Self::Responses)
    }

    /// Its name, the same for all ways to write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Ready => "ready",
            Self::Spaces => "spaces",
            Self::Models => "models",
            Self::Model(_) => "model",
            Self::Generations => "generations",
            Self::Edits => "edits",
            Self::Variations => "variations",
            Self::File(_) => "file",
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Tasks => "tasks",
            Self::Task(_) => "task",
            Self::TaskEvents(_) => "task events",
            Self::Images => "images",
            Self::Image(_) => "image",
            Self::Tick => "tick",
            Self::Unknown => "unknown",
        }
    }
}

/// What a path means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    pub(super) route: Route<'a>,
    /// The model that the path names in Azure's way: `/openai/deployments/{model}/…`.
    pub(super) deployment: Option<String>,
}

impl<'a> Target<'a> {
    /// Reads a path, without its query.
    pub(super) fn of(path: &'a str) -> Self {
        let mut deployment = None;
        let mut rest = path.trim_start_matches('/');
        match rest.trim_end_matches('/') {
            "healthz" => return Self { route: Route::Health, deployment },
            "readyz" => return Self { route: Route::Ready, deployment },
            _ => {}
        }
        loop {
            let (first, after) = rest.split_once('/').unwrap_or((rest, ""));
            let after = after.trim_start_matches('/');
            match first {
                "v1" | "openai" => rest = after,
                "deployments" if deployment.is_none() => {
                    let (name, after) = after.split_once('/').unwrap_or((after, ""));
                    deployment = Some(percent_decode_str(name).decode_utf8_lossy().into_owned());
                    rest = after.trim_start_matches('/');
                }
                _ => break,
            }
        }
        Self { route: route(rest.trim_end_matches('/')), deployment }
    }
}

fn route(rest: &str) -> Route<'_> {
    let (first, after) = rest.split_once('/').unwrap_or((rest, ""));
    let after = after.trim_start_matches('/');
    match (first, after) {
        ("spaces", "") => Route::Spaces,
        ("models", "") => Route::Models,
        ("models", id) => Route::Model(id),
        ("images", "generations") => Route::Generations,
        ("images", "edits") => Route::Edits,
        ("images", "variations") => Route::Variations,
        ("images", "files") => Route::File(""),
        ("images", after) => match after.split_once('/') {
            Some(("files", name)) => Route::File(name),
            None if after.is_empty() => Route::Images,
            None if after.starts_with("img_") => Route::Image(after),
            _ => Route::Unknown,
        },
        ("tasks", "") => Route::Tasks,
        ("tasks", after) => match after.split_once('/') {
            None => Route::Task(after),
            Some((id, rest)) if rest.trim_start_matches('/') == "events" => Route::TaskEvents(id),
            Some(_) => Route::Unknown,
        },
        ("internal", "tick") => Route::Tick,
        ("chat", "completions") => Route::Chat,
        ("responses", "") => Route::Responses,
        _ => Route::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_it_means_the_same() {
        for (path, route) in [
            ("/healthz", Route::Health),
            ("/readyz/", Route::Ready),
            ("/v1/spaces", Route::Spaces),
            ("/v1/images/generations", Route::Generations),
            ("/images/generations", Route::Generations),
            ("/v1/v1/images/generations", Route::Generations),
            ("/v1/images/generations/", Route::Generations),
            ("//v1//images//generations//", Route::Generations),
            ("/openai/v1/images/edits", Route::Edits),
            ("/v1/images/variations", Route::Variations),
            ("/chat/completions", Route::Chat),
            ("/openai/v1/chat/completions", Route::Chat),
            ("/openai/responses", Route::Responses),
            ("/v1/models", Route::Models),
            ("/models/", Route::Models),
            ("/v1/models/a/b", Route::Model("a/b")),
            ("/v1/models/a%2Fb/", Route::Model("a%2Fb")),
            ("/v1/models/v1", Route::Model("v1")),
            ("/v1/images/files/abc.png", Route::File("abc.png")),
            ("/v1/images/files/", Route::File("")),
            ("/v1/images", Route::Images),
            ("/images/", Route::Images),
            ("/v1/images/img_1_0", Route::Image("img_1_0")),
            ("/v1/images/img_1_0/x", Route::Unknown),
            ("/v1/images/nothing", Route::Unknown),
            ("/v1/tasks", Route::Tasks),
            ("/tasks/task_1", Route::Task("task_1")),
            ("/v1/tasks/task_1/events/", Route::TaskEvents("task_1")),
            ("/v1/tasks/task_1/x", Route::Unknown),
            ("/internal/tick", Route::Tick),
            ("/v1", Route::Unknown),
            ("/", Route::Unknown),
            ("/v1/completions", Route::Unknown),
            ("/v1/responses/x", Route::Unknown),
        ] {
            assert_eq!(Target::of(path), Target { route, deployment: None }, "{path}");
        }
    }

    #[test]
    fn azure_names_the_model_in_the_path() {
        for (path, route, model) in [
            ("/openai/deployments/z/images/generations", Route::Generations, "z"),
            ("/openai/deployments/a%2Fb/chat/completions", Route::Chat, "a/b"),
            ("/v1/openai/deployments/z/images/edits", Route::Edits, "z"),
            ("/openai/deployments/z", Route::Unknown, "z"),
        ] {
            assert_eq!(Target::of(path), Target { route, deployment: Some(model.to_owned()) }, "{path}");
        }
    }
}
