//! The handlers.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, Response};
use serde_json::{Map, Value};

use super::answer;
use super::context::ImagesContext;
use super::edit_request::EditRequest;
use super::events::ImageEvents;
use super::form::read_form;
use super::urlencoded::{is_urlencoded, read_urlencoded};
use crate::error::Error;
use crate::generation::{Purpose, ResponseFormat};
use crate::http::attachments::Attachments;
use crate::http::sse::Heartbeat;
use crate::http::{read, reply};
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
    let read = read_edit(server, body).await?;
    let fields = read.fields().clone();
    let host = &server.services().host;
    // Other providers edit here, too: an image that is sent is never passed over.
    if read.has_images() {
        return answer(server, read.finish(host)?, fields, "image").await;
    }
    answer(server, ImageRequest::read(&Fields::new(fields.clone()), host)?, fields, "model").await
}

/// `POST /v1/images/edits`.
///
/// # Errors
/// As [`generate`].
pub async fn edit(server: &impl ApiServer, body: Body) -> Result<Response<Content>, Error> {
    let read = read_edit(server, body).await?;
    let fields = read.fields().clone();
    answer(server, read.finish(&server.services().host)?, fields, "model").await
}

/// `POST /v1/images/variations`.
///
/// # Errors
/// As [`generate`].
pub async fn vary(server: &impl ApiServer, body: Body) -> Result<Response<Content>, Error> {
    let read = read_edit(server, body).await?;
    let fields = read.fields().clone();
    answer(server, read.finish_variation(&server.services().host)?, fields, "model").await
}

/// Reads fields and images: a form, with or without images, or the same as JSON, with the images behind this server's
/// own links.
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
        Err(_) if is_urlencoded(content_type) => {
            let form = read_urlencoded(&services.host, headers, body, limit).await?;
            EditRequest::from_map(form, &Attachments::default())?
        }
        Err(_) => {
            let expected = "application/json or multipart/form-data";
            EditRequest::read_json(&read::json(&services.host, headers, body, limit, expected).await?)?
        }
    };
    for source in request.sources() {
        services.resolve(source).await?;
    }
    Ok(request)
}

/// Makes the images of a request of these fields, and answers with them, or with the task that makes them. `param` is
/// at fault where the model edits no images.
async fn answer(
    server: &impl ApiServer,
    mut request: ImageRequest,
    fields: Map<String, Value>,
    param: &'static str,
) -> Result<Response<Content>, Error> {
    let (call, services) = (server.call(), server.services());
    let named = call.deployment.as_deref().or(request.model.as_deref());
    let model = models::find(&services.catalog, named)?;
    let model = model.as_ref();
    if param == "image" && !services.dispatcher.can(&model.pool, Purpose::Edit).await {
        return Err(Error::edits_nothing(&model.id));
    }
    let usual = model.defaults.response_format.or_else(|| named.map(ResponseFormat::of_model));
    request.format = request.format.or(usual);
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
        return Ok(reply::events(host, encoded(encoder, updates), Heartbeat::COMMENT));
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
