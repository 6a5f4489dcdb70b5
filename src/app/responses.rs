//! The responses' handler.

use std::rc::Rc;

use http::Response;

use super::{App, Call};
use crate::error::Error;
use crate::generation::Purpose;
use crate::http::auth::Caller;
use crate::http::{reply, sse};
use crate::media::route;
use crate::openai::conversation::Wanted;
use crate::openai::conversation::wording::Language;
use crate::openai::edits::Source;
use crate::openai::making::{Workshop, begun};
use crate::openai::models;
use crate::openai::params::{Echo, ResponseFormat};
use crate::openai::responses::answer::{self, Asked, Remember};
use crate::openai::responses::memory::{Record, Suffix, recall, remember};
use crate::openai::responses::request::{Action, ResponseRequest};
use crate::platform::{Body, Content};

impl App {
    pub(super) async fn respond(self: &Rc<Self>, call: Call, body: Body) -> Result<Response<Content>, Error> {
        let body = self.read_json_with_images(&call.head.headers, body).await?;
        let request = ResponseRequest::parse(&body)?;
        drop(body);
        let model = models::find(&self.settings, call.deployment.as_deref().or(request.model.as_deref()))?;
        let before = self.recalled(&call.caller, &request).await?;
        let mut asked = Asked {
            suffix: Suffix::new(&self.host, self.settings.response_ttl),
            created: self.host.unix_time().as_secs(),
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
            begun: self.host.now(),
        };
        let mut picture = match request.wanted {
            Wanted::Images(picture) => *picture,
            Wanted::Text(text) if request.stream => {
                return Ok(reply::events(sse::body(&self.host, answer::streamed_text(asked, &text))));
            }
            Wanted::Text(text) => return Ok(reply::json_body(answer::text(&asked, &text))),
        };
        match request.action {
            Action::Generate => picture.earlier = None,
            Action::Auto | Action::Edit => {
                picture.is_sure |= request.action == Action::Edit;
                let attached = picture.request.sources().next().is_some();
                if let Some((record, image)) = before.filter(|_| !attached && picture.earlier.is_none()) {
                    if picture.is_sure || self.dispatcher.can(&model.pool, Purpose::Edit).await {
                        let path = format!("{}{image}.png", route::PATH);
                        picture.request.add(Source::Url(path));
                    } else {
                        picture.request.continue_prompt(&record.prompt);
                    }
                }
            }
        }
        if let Some(mask) = request.mask {
            picture.request.set_mask(mask);
        }
        asked.language = picture.language;
        let mut image = self.picture(model, picture).await?;
        image.format = if asked.has_tool { ResponseFormat::Base64 } else { ResponseFormat::Url };
        asked.prompt.clone_from(&image.generation.prompt);
        asked.images_sent = image.generation.images.len() + image.generation.mask.iter().len();
        asked.count = image.generation.count;
        asked.is_edit = image.purpose == Purpose::Edit;
        asked.echo = image.echo;
        image.stream = request.stream;
        let workshop = self.workshop(&call, !asked.has_tool).await?;
        let updates = self.updates(&call, &workshop, model, image).await?;
        let remember = self.remembering(&call, &asked, &workshop);
        if request.stream {
            let updates = begun(&self.host, updates).await?;
            let events = answer::streamed(workshop, asked, updates, remember);
            return Ok(reply::events(sse::body(&self.host, events)));
        }
        Ok(answer::waited(&workshop, &asked, updates, remember).await?.into_response())
    }

    /// What is remembered of the response that a request goes on from, with the token of the image that is meant.
    async fn recalled(&self, caller: &Caller, request: &ResponseRequest) -> Result<Option<(Record, String)>, Error> {
        // An image that the input names is nearer than the response before it.
        for id in request.named.iter().rev().chain(&request.previous) {
            let record = recall(&self.store, caller.id(), id).await;
            let record = record.map_err(|error| Error::store_failed(&error))?;
            let record = record.ok_or_else(|| Error::response_not_found(id))?;
            if let Some(token) = record.image(id).map(str::to_owned) {
                return Ok(Some((record, token)));
            }
        }
        Ok(None)
    }

    /// What remembers the images of a response.
    fn remembering(self: &Rc<Self>, call: &Call, asked: &Asked, workshop: &Workshop) -> Remember {
        let (this, id, suffix) = (Rc::clone(self), call.id.clone(), asked.suffix.clone());
        let (owner, prompt, store) = (call.caller.id().to_owned(), asked.prompt.clone(), asked.store);
        let signer = workshop.links.signer.clone();
        Box::new(move |files| {
            Box::pin(async move {
                if !store {
                    return;
                }
                let signer = match signer {
                    Some(signer) => Ok(signer),
                    None => this.signer().await,
                };
                let trouble = match signer {
                    Ok(signer) => {
                        let ttl = this.settings.response_ttl;
                        let expires = this.host.unix_time().saturating_add(ttl).as_secs();
                        let token = |(index, file)| (index, signer.sign(&file, None, expires));
                        let record = Record { prompt, images: files.into_iter().map(token).collect() };
                        let kept = remember(&this.store, &owner, &suffix, &record, ttl).await;
                        kept.err().map(|error| error.to_string())
                    }
                    Err(error) => error.detail,
                };
                if let Some(trouble) = trouble {
                    this.log_trouble(&id, "A response could not be kept; nothing can go on from it.", &trouble);
                }
            })
        })
    }
}
