//! The handler.

use http::Response;

use super::answer;
use super::context::ResponseContext;
use super::events::{self, ResponseEvents};
use super::id::Suffix;
use super::memory::{ResponseRecord, recall};
use super::remember::remembering;
use super::request::{Action, ResponseRequest};
use crate::catalog::Model;
use crate::error::Error;
use crate::generation::{Purpose, ResponseFormat};
use crate::http::sse::Heartbeat;
use crate::http::{read, reply};
use crate::media::link;
use crate::openai::conversation::intent::{ImageIntent, Intent};
use crate::openai::conversation::resolve::image_request;
use crate::openai::conversation::wording::Language;
use crate::openai::encoder::encoded;
use crate::openai::image_request::Echo;
use crate::openai::models;
use crate::openai::server::{ApiServer, Services, Started};
use crate::openai::source::Source;
use crate::pipeline::{await_first_update, collect};
use crate::platform::{Body, Content};

/// `POST /v1/responses`.
///
/// # Errors
/// 400 that names the parameter, 404 of an unknown model, and what comes of images where none is made.
pub async fn respond(server: &impl ApiServer, body: Body) -> Result<Response<Content>, Error> {
    let (call, services) = (server.call(), server.services());
    let host = &services.host;
    let body = read::json(host, &call.head.headers, body, call.body_limit, "application/json").await?;
    let request = ResponseRequest::parse(&body)?;
    drop(body);
    let model = models::find(&services.catalog, call.deployment.as_deref().or(request.model.as_deref()))?;
    let model = model.as_ref();
    let before = recalled(services, call.caller.id(), &request).await?;
    let mut context = ResponseContext {
        suffix: Suffix::new(host, services.response_ttl),
        created: host.unix_time().as_secs(),
        model: model.id.clone(),
        prompt: String::new(),
        images_sent: 0,
        count: 1,
        has_tool: request.has_tool,
        is_edit: false,
        store: request.store,
        previous: request.previous,
        language: Language::English,
        echo: Echo { quality: "auto", background: "auto" },
        repeated: request.repeated,
        begun: host.now(),
    };
    let mut intent = match request.intent {
        Intent::Images(intent) => *intent,
        Intent::Text(text) if request.stream => {
            return Ok(reply::events(host, events::of_text(context, &text), Heartbeat::COMMENT));
        }
        Intent::Text(text) => return Ok(reply::json_body(answer::text(&context, &text))),
    };
    go_on(services, model, &mut intent, request.action, before).await;
    if let Some(mask) = request.mask {
        intent.request.set_mask(mask);
    }
    context.language = intent.language;
    let mut images = image_request(services, model, intent).await?;
    images.format = Some(if context.has_tool { ResponseFormat::Base64 } else { ResponseFormat::Url });
    context.prompt.clone_from(&images.generation.prompt);
    context.images_sent = images.generation.images.len() + images.generation.mask.iter().len();
    context.count = images.generation.count;
    context.is_edit = images.purpose == Purpose::Edit;
    context.echo = images.echo;
    images.stream = request.stream;
    let Started { updates, log } = server.start(model, images).await?;
    let remember = remembering(server, &context);
    if request.stream {
        let updates = await_first_update(host, updates).await?;
        let encoder = ResponseEvents::new(host.clone(), log, context, remember);
        return Ok(reply::events(host, encoded(encoder, updates), Heartbeat::COMMENT));
    }
    let collected = collect(host, &log, updates).await?;
    Ok(answer::collected(&context, collected, remember).await.into_response())
}

/// Record of the response that a request goes on from, with the token of the image that is meant.
async fn recalled(
    services: &Services,
    owner: &str,
    request: &ResponseRequest,
) -> Result<Option<(ResponseRecord, String)>, Error> {
    // An image that the input names is nearer than the response before it.
    for id in request.named.iter().rev().chain(&request.previous) {
        let record = recall(&services.store, owner, id).await;
        let record = record.map_err(|error| Error::store_failed(&error))?;
        let record = record.ok_or_else(|| Error::response_not_found(id))?;
        if let Some(token) = record.image(id).map(str::to_owned) {
            return Ok(Some((record, token)));
        }
    }
    Ok(None)
}

/// Takes the image or the prompt of the response before into the intent, as the tool's action says.
async fn go_on(
    services: &Services,
    model: &Model,
    intent: &mut ImageIntent,
    action: Action,
    before: Option<(ResponseRecord, String)>,
) {
    match action {
        Action::Generate => intent.earlier = None,
        Action::Auto | Action::Edit => {
            intent.is_sure |= action == Action::Edit;
            let attached = intent.request.sources().next().is_some();
            if let Some((record, image)) = before.filter(|_| !attached && intent.earlier.is_none()) {
                if intent.is_sure || services.dispatcher.can(&model.pool, Purpose::Edit).await {
                    let path = format!("{}{image}.png", link::PATH);
                    intent.request.add(Source::Url(path));
                } else {
                    intent.request.continue_prompt(&record.prompt);
                }
            }
        }
    }
}
