//! The handlers.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, Response};
use serde_json::{Map, Value};

use super::answer;
use super::context::ImagesContext;
use super::edit_request::EditRequest;
use super::events::ImageEvents;
use super::form::read_form;
use crate::error::Error;
use crate::http::{read, reply, sse};
use crate::openai::encoder::encoded;
use crate::openai::fields::Fields;
use crate::openai::image_request::ImageRequest;
use crate::openai::models;
use crate::openai::server::{ApiServer, Started};
use crate::pipeline::{await_first_update, collect};
use crate::platform::{Body, Content, timeout};

const PREFER: HeaderName = HeaderName::from_static("prefer");
/// RFC 7240, section 4.1.
const RESPOND_ASYNC: &str = "respond-async";

/// `POST /v1/images/generations`.
///
/// # Errors
/// 400 that names the parameter, 404 of an unknown model, and what comes of images where none is made.
pub async fn generate(server: &impl ApiServer, body: Body) -> Result<Response<Content>, Error> {
    let (host, call) = (&server.services().host, server.call());
    let body = read::json(host, &call.head.headers, body, call.body_limit, "application/json").await?;
    let fields = Fields::parse(&body.text)?;
    drop(body);
    let request = ImageRequest::read(&fields, host)?;
    answer(server, request, fields.into_map()).await
}

/// `POST /v1/images/edits`.
///
/// # Errors
/// As [`generate`].
pub async fn edit(server: &impl ApiServer, body: Body) -> Result<Response<Content>, Error> {
    let read = read_edit(server, body).await?;
    let fields = read.fields().clone();
    answer(server, read.finish(&server.services().host)?, fields).await
}

/// `POST /v1/images/variations`.
///
/// # Errors
/// As [`generate`].
pub async fn vary(server: &impl ApiServer, body: Body) -> Result<Response<Content>, Error> {
    let read = read_edit(server, body).await?;
    let fields = read.fields().clone();
    answer(server, read.finish_variation(&server.services().host)?, fields).await
}

/// Reads a form with images, or the same as JSON, with the images behind this server's own links.
async fn read_edit(server: &impl ApiServer, body: Body) -> Result<EditRequest, Error> {
    let (services, call) = (server.services(), server.call());
    let (headers, limit) = (&call.head.headers, call.body_limit);
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut request = match multer::parse_boundary(content_type) {
        Ok(boundary) => {
            read::refuse_large(headers, limit)?;
            let form = read_form(&services.host, body, boundary, limit.bytes, services.max_image_bytes);
            timeout(&services.host, limit.time, form).await.map_err(|_| Error::body_stalled())??
        }
        Err(_) => {
            let expected = "multipart/form-data or application/json";
            EditRequest::read_json(&read::json(&services.host, headers, body, limit, expected).await?)?
        }
    };
    for source in request.sources() {
        services.resolve(source).await?;
    }
    Ok(request)
}

/// Makes the images of a request of these fields, and answers with them, or with the task that makes them.
async fn answer(
    server: &impl ApiServer,
    request: ImageRequest,
    fields: Map<String, Value>,
) -> Result<Response<Content>, Error> {
    let (call, services) = (server.call(), server.services());
    let model = models::find(&services.catalog, call.deployment.as_deref().or(request.model.as_deref()))?;
    let model = model.as_ref();
    if request.is_task || prefers_async(&call.head.headers) {
        return server.submit(model, request, fields).await;
    }
    if request.webhook_url.is_some() {
        return Err(Error::invalid_value(
            "webhook_url",
            "A webhook tells the end of a task. Set 'async' to true to have one.",
        ));
    }
    let host = &services.host;
    let context = ImagesContext::of(&request, host.unix_time().as_secs());
    let is_streamed = request.stream;
    let Started { updates, log } = server.start(model, request).await?;
    if is_streamed {
        let updates = await_first_update(host, updates).await?;
        let encoder = ImageEvents::new(host.clone(), log, context);
        return Ok(reply::events(sse::body(host, encoded(encoder, updates))));
    }
    Ok(answer::collected(context, collect(host, &log, updates).await?).into_response())
}

/// True where a request asks, by its headers, for a task in place of an answer.
fn prefers_async(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(','));
    preferences.any(|preference| {
        let name = preference.split([';', '=']).next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case(RESPOND_ASYNC)
    })
}
