//! The images API's handlers.

use std::rc::Rc;

use http::Response;
use serde_json::{Map, Value};

use super::tasks::prefers_async;
use super::{App, Call};
use crate::error::Error;
use crate::http::{reply, sse};
use crate::openai::images::{self, Reply, ResponseContext};
use crate::openai::models;
use crate::openai::params::{Fields, ImageRequest, ResponseFormat};
use crate::platform::{Body, Content};

impl App {
    pub(super) async fn generate(self: &Rc<Self>, call: Call, body: Body) -> Result<Response<Content>, Error> {
        let body = self.read_json(&call.head.headers, body).await?;
        let fields = Fields::parse(&body)?;
        drop(body);
        let request = ImageRequest::read(&fields, &self.host)?;
        self.make(&call, request, fields.into_map()).await
    }

    pub(super) async fn edit(self: &Rc<Self>, call: Call, body: Body) -> Result<Response<Content>, Error> {
        let read = self.read_edit(&call.head.headers, body).await?;
        let fields = read.fields().clone();
        self.make(&call, read.finish(&self.host)?, fields).await
    }

    pub(super) async fn vary(self: &Rc<Self>, call: Call, body: Body) -> Result<Response<Content>, Error> {
        let read = self.read_edit(&call.head.headers, body).await?;
        let fields = read.fields().clone();
        self.make(&call, read.finish_variation(&self.host)?, fields).await
    }

    /// Makes the images that a request of these fields asks for, and answers them, or the task that makes them.
    async fn make(
        self: &Rc<Self>,
        call: &Call,
        request: ImageRequest,
        fields: Map<String, Value>,
    ) -> Result<Response<Content>, Error> {
        let model = models::find(&self.settings, call.deployment.as_deref().or(request.model.as_deref()))?;
        if request.is_task || prefers_async(&call.head.headers) {
            return self.submit(call, model, request, fields).await;
        }
        if request.webhook_url.is_some() {
            return Err(Error::invalid_value(
                "webhook_url",
                "A webhook tells the end of a task. Set 'async' to true to have one.",
            ));
        }
        let workshop = self.workshop(call, request.format == ResponseFormat::Url).await?;
        let asked = ResponseContext::of(&request, self.host.unix_time().as_secs());
        let updates = self.updates(call, &workshop, model, request).await?;
        match images::answer(workshop, asked, updates).await? {
            Reply::Whole(answer) => Ok(answer.into_response()),
            Reply::Streamed(events) => Ok(reply::events(sse::body(&self.host, events))),
        }
    }
}
