//! The chat's handler.

use std::rc::Rc;

use http::Response;

use super::{App, Call};
use crate::catalog::Model;
use crate::error::Error;
use crate::generation::Purpose;
use crate::http::{reply, sse};
use crate::openai::chat::answer::{self, Asked};
use crate::openai::chat::request::ChatRequest;
use crate::openai::conversation::{Picture, Wanted, wording::Language};
use crate::openai::models;
use crate::openai::params::{Fields, ImageRequest, ResponseFormat};
use crate::platform::{Body, Content, random_hex};

impl App {
    pub(super) async fn chat(self: &Rc<Self>, call: Call, body: Body) -> Result<Response<Content>, Error> {
        let body = self.read_json_with_images(&call.head.headers, body).await?;
        let chat = ChatRequest::parse(&body)?;
        drop(body);
        let model = models::find(&self.settings, call.deployment.as_deref().or(chat.model.as_deref()))?;
        let mut asked = Asked {
            id: format!("chatcmpl-{}", random_hex::<12>(&self.host)),
            created: self.host.unix_time().as_secs(),
            model: model.id.clone(),
            prompt: String::new(),
            images_sent: 0,
            count: 1,
            language: Language::English,
            wants_images: chat.wants_images,
            progress: chat.progress.unwrap_or(self.settings.chat_progress),
            include_usage: chat.include_usage,
            begun: self.host.now(),
        };
        let picture = match chat.wanted {
            Wanted::Images(picture) => *picture,
            Wanted::Text(text) if chat.stream => {
                return Ok(reply::events(sse::body(&self.host, answer::streamed_text(&asked, &text))));
            }
            Wanted::Text(text) => return Ok(reply::json_body(answer::text(&asked, &text))),
        };
        asked.language = picture.language;
        let mut request = self.picture(model, picture).await?;
        request.format = if asked.wants_images { ResponseFormat::Base64 } else { ResponseFormat::Url };
        asked.prompt.clone_from(&request.generation.prompt);
        asked.images_sent = request.generation.images.len();
        asked.count = request.generation.count;
        let workshop = self.workshop(&call, !asked.wants_images).await?;
        let updates = self.updates(&call, &workshop, model, request).await?;
        if chat.stream {
            let events = answer::streamed(workshop, asked, updates);
            return Ok(reply::events(sse::body(&self.host, events)));
        }
        Ok(answer::waited(&workshop, &asked, updates).await?.into_response())
    }

    /// The request for images that a conversation comes to.
    pub(super) async fn picture(&self, model: &Model, picture: Picture) -> Result<ImageRequest, Error> {
        let Picture { mut request, earlier, is_sure, language: _ } = picture;
        if let Some(earlier) = earlier
            && (is_sure || self.dispatcher.can(&model.pool, Purpose::Edit).await)
        {
            request.add(earlier);
        }
        for source in request.sources() {
            self.resolve(source).await?;
        }
        if request.sources().next().is_none() {
            ImageRequest::read(&Fields::new(request.fields().clone()), &self.host)
        } else {
            request.finish(&self.host)
        }
    }
}
