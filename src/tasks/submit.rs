//! Submission of tasks.

use std::rc::Rc;

use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value};

use super::files::{MASK, input};
use super::handlers::POLL_AFTER;
use super::record::{NewTask, TaskRecord};
use super::supervisor::TaskSupervisor;
use crate::catalog::Model;
use crate::error::Error;
use crate::http::call::Call;
use crate::http::reply::{self, insert};
use crate::openai::image_request::ImageRequest;
use crate::platform::{Content, StoreError};
use crate::store::id::TimeId;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// RFC 7240, section 4.1.
const RESPOND_ASYNC: HeaderValue = HeaderValue::from_static("respond-async");
/// Longest request, without its images, that becomes a task, in bytes as JSON.
const MAX_FIELDS: usize = 256 << 10;
/// Most bytes of images that become part of a task.
const MAX_IMAGES: usize = 32 << 20;

impl TaskSupervisor {
    /// Makes a task of a request, and answers with it.
    ///
    /// # Errors
    /// 413 where it is too large, 429 where its owner has too many, 503 where the database fails.
    pub async fn accept(
        self: &Rc<Self>,
        call: &Call,
        model: &Model,
        request: ImageRequest,
        fields: Map<String, Value>,
    ) -> Result<Response<Content>, Error> {
        if let Some(url) = &request.webhook_url {
            self.webhook_url(url)?;
        }
        let images = || request.generation.images.iter().chain(&request.generation.mask);
        if images().map(|image| image.bytes.len()).sum::<usize>() > MAX_IMAGES {
            return Err(Error::body_too_large(MAX_IMAGES));
        }
        // What nobody can be shown need not be made.
        let links = self.links(&call.base).await?;
        let id = TimeId::new(&self.host);
        let task = NewTask { model: model.id.clone(), fields, base: links.base.to_string() };
        let record = TaskRecord::new(task, &request, self.host.unix_time());
        if serde_json::to_vec(&record.fields).map_or(usize::MAX, |json| json.len()) > MAX_FIELDS {
            return Err(Error::body_too_large(MAX_FIELDS));
        }
        // Before the task: whoever takes it needs them.
        let (store, until) = (&self.store, self.until(&id));
        for (index, image) in (0..).zip(&request.generation.images) {
            store.add_file(&id, &input(index), &image.bytes, until).await.map_err(failed)?;
        }
        if let Some(mask) = &request.generation.mask {
            store.add_file(&id, MASK, &mask.bytes, until).await.map_err(failed)?;
        }
        drop(request);
        if let Err(error) = self.submit(&id, call.caller.id(), model, &record).await {
            if error.status == StatusCode::TOO_MANY_REQUESTS {
                store.spawn_delete_inputs(&id, &record);
            }
            return Err(error);
        }
        let task = self.view(&id, &record, &links);
        let mut response = reply::json_with_status(StatusCode::ACCEPTED, &task)?;
        let headers = response.headers_mut();
        insert(headers, LOCATION, &format!("/v1/tasks/{}", task.id()));
        headers.insert(RETRY_AFTER, POLL_AFTER);
        headers.insert(PREFERENCE_APPLIED, RESPOND_ASYNC);
        Ok(response)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn failed(error: StoreError) -> Error {
    Error::store_failed(&error)
}
