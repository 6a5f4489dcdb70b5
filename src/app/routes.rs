//! The route table: a row for each route, matched in one place.

use futures::future::LocalBoxFuture;
use http::{Method, Response};

use super::access::Access;
use super::exchange::Exchange;
use super::health;
use super::metrics;
use crate::error::Error;
use crate::history;
use crate::http::path::{RequestPath, first_segment, is_prefix};
use crate::http::read::BodyLimit;
use crate::media::route::LinkedImages;
use crate::observe::record::ObservedRoute;
use crate::openai::{chat, images, models, responses};
use crate::platform::{Body, Content};
use crate::tasks;

/// Handler of a route.
type Handler = fn(Exchange, Body) -> LocalBoxFuture<'static, Result<Response<Content>, Error>>;

/// A row of the table.
pub(super) struct RouteRow {
    /// Name, the same for all ways to write the path.
    pub(super) name: &'static str,
    /// Pattern of its paths, as [`RequestPath::parameter`] reads it.
    pub(super) pattern: &'static str,
    /// Methods, as `Allow` lists them.
    pub(super) methods: &'static str,
    /// Callers that are let in.
    pub(super) access: Access,
    /// Bounds of the body, where one is read.
    pub(super) body_limit: BodyLimit,
    /// Images are made there: its requests count for the rate, and an `Idempotency-Key` holds.
    pub(super) makes_images: bool,
    pub(super) handler: Handler,
}

/// Route of a path.
pub(super) struct Route<'a> {
    pub(super) row: &'static RouteRow,
    /// Parameter of the path; empty where the pattern has none.
    pub(super) parameter: &'a str,
    /// Model that the path names.
    pub(super) deployment: Option<String>,
}

/// The first route whose pattern matches a path.
pub(super) fn find(path: &str) -> Option<Route<'_>> {
    let path = RequestPath::parse(path);
    let (row, parameter) = ROUTES.iter().find_map(|row| Some((row, path.parameter(row.pattern)?)))?;
    Some(Route { row, parameter, deployment: path.deployment })
}

/// True for a path that the API answers, be it with an error: one below its prefixes, or below a route without them.
/// `spin.toml` leads the same paths here.
pub fn is_of_api(path: &str) -> bool {
    let first = first_segment(path);
    let begins = |row: &RouteRow| first_segment(row.pattern.trim_start_matches("/v1")) == first;
    is_prefix(first) || ROUTES.iter().any(begins)
}

static ROUTES: [RouteRow; 18] = [
    RouteRow::read("health", "/healthz", |_, _| Box::pin(async { health::alive() })).open(Access::Anyone),
    RouteRow::read("ready", "/readyz", |exchange, _| Box::pin(async move { health::ready(&exchange.app).await }))
        .open(Access::Anyone),
    RouteRow::read("metrics", "/metrics", |exchange, _| {
        Box::pin(async move { metrics::metrics(&exchange.app, &exchange.call).await })
    })
    .open(Access::Anyone),
    RouteRow::images("generations", "/v1/images/generations", BodyLimit::IMAGES, |exchange, body| {
        Box::pin(async move { images::generate(&exchange, body).await })
    }),
    RouteRow::images("edits", "/v1/images/edits", BodyLimit::IMAGES, |exchange, body| {
        Box::pin(async move { images::edit(&exchange, body).await })
    }),
    RouteRow::images("variations", "/v1/images/variations", BodyLimit::IMAGES, |exchange, body| {
        Box::pin(async move { images::vary(&exchange, body).await })
    }),
    RouteRow::images("chat", "/v1/chat/completions", BodyLimit::IMAGES, |exchange, body| {
        Box::pin(async move { chat::complete(&exchange, body).await })
    }),
    RouteRow::images("responses", "/v1/responses", BodyLimit::IMAGES, |exchange, body| {
        Box::pin(async move { responses::respond(&exchange, body).await })
    }),
    RouteRow::read("models", "/v1/models", |exchange, _| Box::pin(async move { models::list(&exchange).await })),
    RouteRow::read("model", "/v1/models/{id*}", |exchange, _| {
        Box::pin(async move { models::details(&exchange).await })
    }),
    RouteRow::read("spaces", "/v1/spaces", |exchange, _| Box::pin(async move { health::spaces(&exchange.app).await })),
    RouteRow::read("file", "/v1/images/files/{name*}", |exchange, _| Box::pin(async move { file(&exchange).await }))
        .open(Access::Link),
    RouteRow::read("images", "/v1/images", |exchange, _| Box::pin(async move { made_images(&exchange).await })),
    RouteRow::read("image", "/v1/images/img_{id}", |exchange, _| {
        Box::pin(async move { history::handlers::forget(&exchange.app.history, &exchange.call).await })
    })
    .takes("DELETE"),
    RouteRow::read("tasks", "/v1/tasks", |exchange, _| {
        Box::pin(async move { tasks::handlers::list(&exchange.app.tasks, &exchange.call).await })
    }),
    RouteRow::read("task", "/v1/tasks/{id}", |exchange, _| Box::pin(async move { task(&exchange).await }))
        .takes("GET, HEAD, DELETE"),
    RouteRow::read("task events", "/v1/tasks/{id}/events", |exchange, _| {
        Box::pin(async move { tasks::handlers::events(&exchange.app.tasks, &exchange.call).await })
    }),
    RouteRow::read("tick", "/v1/internal/tick", |exchange, _| {
        Box::pin(async move { health::tick(&exchange.app).await })
    })
    .takes("GET, HEAD, POST"),
];

impl RouteRow {
    /// A route that is read, by callers with a key.
    const fn read(name: &'static str, pattern: &'static str, handler: Handler) -> Self {
        let (methods, access, body_limit, makes_images) = ("GET, HEAD", Access::Key, BodyLimit::FIELDS, false);
        Self { name, pattern, methods, access, body_limit, makes_images, handler }
    }

    /// A route that makes images, for callers with a key.
    const fn images(name: &'static str, pattern: &'static str, body_limit: BodyLimit, handler: Handler) -> Self {
        let (methods, access, makes_images) = ("POST", Access::Key, true);
        Self { name, pattern, methods, access, body_limit, makes_images, handler }
    }

    /// The route with other methods.
    const fn takes(self, methods: &'static str) -> Self {
        Self { methods, ..self }
    }

    /// The route as the log has it.
    pub(super) const fn observed(&self) -> ObservedRoute {
        ObservedRoute { pattern: self.pattern, is_quiet: !matches!(self.access, Access::Key) }
    }

    /// The route with other callers.
    const fn open(self, access: Access) -> Self {
        Self { access, ..self }
    }
}

async fn file(exchange: &Exchange) -> Result<Response<Content>, Error> {
    let (app, call) = (&exchange.app, &exchange.call);
    let images = LinkedImages {
        client: &app.client,
        keyring: &app.services.keyring,
        catalog: &app.settings.catalog,
        store: &app.services.store,
        conversions: &app.conversions,
        limit: app.settings.media.max_image_bytes,
    };
    images.serve(&call.parameter, &call.head.method, &call.head.headers).await
}

async fn made_images(exchange: &Exchange) -> Result<Response<Content>, Error> {
    let (app, call) = (&exchange.app, &exchange.call);
    let spaces = app.settings.reveal_spaces.then_some(&app.settings.catalog);
    let links = app.tasks.links(&call.base);
    history::handlers::list(&app.history, call, links, spaces, |id, record| app.tasks.entry_of(id, record)).await
}

async fn task(exchange: &Exchange) -> Result<Response<Content>, Error> {
    let (tasks, call) = (&exchange.app.tasks, &exchange.call);
    if call.head.method == Method::DELETE {
        tasks::handlers::delete(tasks, call).await
    } else {
        tasks::handlers::read(tasks, call).await
    }
}

#[cfg(test)]
mod openapi;

#[cfg(test)]
mod tests {
    use super::*;

    /// Name of a path's route with its parameter, and the model that it names.
    fn found(path: &str) -> ((&'static str, &str), Option<String>) {
        match find(path) {
            Some(Route { row, parameter, deployment }) => ((row.name, parameter), deployment),
            None => (("unknown", ""), RequestPath::parse(path).deployment),
        }
    }

    #[test]
    fn every_way_to_write_it_means_the_same() {
        for (path, route) in [
            ("/healthz", ("health", "")),
            ("/readyz/", ("ready", "")),
            ("/metrics", ("metrics", "")),
            ("/v1/spaces", ("spaces", "")),
            ("/v1/images/generations", ("generations", "")),
            ("/images/generations", ("generations", "")),
            ("/v1/v1/images/generations", ("generations", "")),
            ("/v1/images/generations/", ("generations", "")),
            ("//v1//images//generations//", ("generations", "")),
            ("/openai/v1/images/edits", ("edits", "")),
            ("/v1/images/variations", ("variations", "")),
            ("/chat/completions", ("chat", "")),
            ("/openai/v1/chat/completions", ("chat", "")),
            ("/openai/responses", ("responses", "")),
            ("/api/v1/images/generations", ("generations", "")),
            ("/api/v1//chat///completions", ("chat", "")),
            ("/api/models", ("models", "")),
            ("/openai/images/edits", ("edits", "")),
            ("//openai//v1//images//edits", ("edits", "")),
            ("/v1/models", ("models", "")),
            ("/models/", ("models", "")),
            ("/v1/models/a/b", ("model", "a/b")),
            ("/v1/models/a%2Fb/", ("model", "a%2Fb")),
            ("/v1/models/v1", ("model", "v1")),
            ("/v1/images/files/abc.png", ("file", "abc.png")),
            ("/v1/images/files/", ("file", "")),
            ("/v1/images", ("images", "")),
            ("/images/", ("images", "")),
            ("/v1/images/img_1_0", ("image", "img_1_0")),
            ("/v1/images/img_1_0/x", ("unknown", "")),
            ("/v1/images/nothing", ("unknown", "")),
            ("/v1/tasks", ("tasks", "")),
            ("/tasks/task_1", ("task", "task_1")),
            ("/v1/tasks/task_1/events/", ("task events", "task_1")),
            ("/v1/tasks/task_1/x", ("unknown", "")),
            ("/internal/tick", ("tick", "")),
            ("/v1", ("unknown", "")),
            ("/", ("unknown", "")),
            ("/v1/completions", ("unknown", "")),
            ("/v1/responses/x", ("unknown", "")),
        ] {
            assert_eq!(found(path), (route, None), "{path}");
        }
    }

    #[test]
    fn azure_names_the_model_in_the_path() {
        for (path, route, model) in [
            ("/openai/deployments/z/images/generations", ("generations", ""), "z"),
            ("/openai/deployments/a%2Fb/chat/completions", ("chat", ""), "a/b"),
            ("/v1/openai/deployments/z/images/edits", ("edits", ""), "z"),
            ("/openai/deployments/z", ("unknown", ""), "z"),
        ] {
            assert_eq!(found(path), (route, Some(model.to_owned())), "{path}");
        }
    }
}
