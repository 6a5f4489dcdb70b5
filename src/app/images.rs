//! The images API's handlers.

use std::rc::Rc;

use http::Response;

use super::{App, Call, reply};
use crate::error::Error;
use crate::openai::images::{self, Reply};
use crate::openai::models;
use crate::openai::params::{ImageRequest, ResponseFormat};
use crate::openai::sse;
use crate::platform::{Body, Content};

impl App {
    pub(super) async fn generate(self: &Rc<Self>, call: Call, body: Body) -> Result<Response<Content>, Error> {
        let body = self.read_json(&call.head.headers, body).await?;
        let request = ImageRequest::parse(&body, &self.outside)?;
        drop(body);
        self.make(&call, request).await
    }

    pub(super) async fn edit(self: &Rc<Self>, call: Call, body: Body) -> Result<Response<Content>, Error> {
        let request = self.read_edit(&call.head.headers, body).await?.finish(&self.outside)?;
        self.make(&call, request).await
    }

    pub(super) async fn vary(self: &Rc<Self>, call: Call, body: Body) -> Result<Response<Content>, Error> {
        let request = self.read_edit(&call.head.headers, body).await?.finish_variation(&self.outside)?;
        self.make(&call, request).await
    }

    /// Makes the images that a request asks for, and answers them.
    async fn make(self: &Rc<Self>, call: &Call, request: ImageRequest) -> Result<Response<Content>, Error> {
        let model = models::find(&self.settings, call.deployment.as_deref().or(request.model.as_deref()))?;
        let workshop = self.workshop(call, request.format == ResponseFormat::Url).await?;
        match images::answer(workshop, model, request).await? {
            Reply::Whole(answer) => Ok(reply::answer(answer)),
            Reply::Streamed(events) => Ok(reply::events(sse::body(&self.outside, events))),
        }
    }
}
