//! The handler.

use http::Response;

use super::answer;
use super::context::ChatContext;
use super::events::{self, ChatEvents};
use super::request::ChatRequest;
use crate::error::Error;
use crate::generation::ResponseFormat;
use crate::http::{read, reply};
use crate::openai::conversation::intent::Intent;
use crate::openai::conversation::resolve::image_request;
use crate::openai::conversation::wording::Language;
use crate::openai::encoder::encoded;
use crate::openai::models;
use crate::openai::server::{ApiServer, Started};
use crate::pipeline::collect;
use crate::platform::{Body, Content, random_hex};

/// `POST /v1/chat/completions`.
///
/// # Errors
/// 400 that names the parameter, 404 of an unknown model, and what comes of images where none is made.
pub async fn complete(server: &impl ApiServer, body: Body) -> Result<Response<Content>, Error> {
    let (call, services) = (server.call(), server.services());
    let host = &services.host;
    let body = read::json(host, &call.head.headers, body, call.body_limit, "application/json").await?;
    let chat = ChatRequest::parse(&body)?;
    drop(body);
    let model = models::find(&services.catalog, call.deployment.as_deref().or(chat.model.as_deref()))?;
    let model = model.as_ref();
    let mut context = ChatContext {
        id: format!("chatcmpl-{}", random_hex::<12>(host)),
        created: host.unix_time().as_secs(),
        model: model.id.clone(),
        prompt: String::new(),
        images_sent: 0,
        count: 1,
        language: Language::English,
        wants_images: chat.wants_images,
        progress: chat.progress.unwrap_or(services.chat_progress),
        include_usage: chat.include_usage,
        begun: host.now(),
    };
    let intent = match chat.intent {
        Intent::Images(intent) => *intent,
        Intent::Text(text) if chat.stream => {
            let heartbeat = events::heartbeat(&context);
            return Ok(reply::events(host, events::of_text(&context, &text), heartbeat));
        }
        Intent::Text(text) => return Ok(reply::json_body(answer::text(&context, &text))),
    };
    context.language = intent.language;
    let mut request = image_request(services, model, intent).await?;
    let is_base64 = context.wants_images && !chat.wants_links;
    request.format = Some(if is_base64 { ResponseFormat::Base64 } else { ResponseFormat::Url });
    request.stream = chat.stream;
    context.prompt.clone_from(&request.generation.prompt);
    context.images_sent = request.generation.images.len();
    context.count = request.generation.count;
    let Started { updates, log } = server.start(model, request).await?;
    if chat.stream {
        let heartbeat = events::heartbeat(&context);
        let encoder = ChatEvents::new(host.clone(), log, context);
        return Ok(reply::events(host, encoded(encoder, updates), heartbeat));
    }
    Ok(answer::collected(&context, collect(host, &log, updates).await?).into_response())
}
