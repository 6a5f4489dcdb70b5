//! The handlers of tasks.

use std::rc::Rc;

use futures::StreamExt as _;
use futures::stream::unfold;
use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::list::{ListObject, ListQuery};
use super::reply::{self, insert};
use super::{App, Call};
use crate::catalog::Model;
use crate::error::Error;
use crate::format::Format;
use crate::openai::body::JsonBody;
use crate::openai::making::Payload;
use crate::openai::params::ImageRequest;
use crate::openai::sse;
use crate::platform::{Content, StoreError};
use crate::store::id::TimeId;
use crate::tasks::cancel::Cancelled;
use crate::tasks::files::{MASK, input, output};
use crate::tasks::image::{ImageLocation, TaskStatus};
use crate::tasks::record::{NewTask, TaskRecord};
use crate::tasks::store::Snapshot;
use crate::tasks::view::{TaskObject, task_id};
use crate::tasks::watch::Found;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// RFC 7240, section 4.1.
const RESPOND_ASYNC: &str = "respond-async";
/// Time after which an unfinished task should be asked for again, in seconds.
const POLL_AFTER: HeaderValue = HeaderValue::from_static("2");
/// Longest request, without its images, that becomes a task, in bytes as JSON.
const MAX_FIELDS: usize = 256 << 10;
/// Most bytes of images that become part of a task.
const MAX_IMAGES: usize = 32 << 20;
/// Tasks that are read at once: a record may have 256 KB.
const ROWS: usize = 25;

impl App {
    /// Makes a task of a request.
    pub(super) async fn submit(
        self: &Rc<Self>,
        call: &Call,
        model: &Model,
        request: ImageRequest,
        fields: Map<String, Value>,
    ) -> Result<Response<Content>, Error> {
        if let Some(url) = &request.webhook_url {
            self.tasks.webhook_url(url)?;
        }
        let images = || request.generation.images.iter().chain(&request.generation.mask);
        if images().map(|image| image.bytes.len()).sum::<usize>() > MAX_IMAGES {
            return Err(Error::body_too_large(MAX_IMAGES));
        }
        // What nobody can be shown need not be made.
        let links = self.tasks.links(&self.public_url(&call.head)).await?;
        let id = TimeId::new(&self.outside);
        let task = NewTask { model: model.id.clone(), fields, base: links.base.clone() };
        let record = TaskRecord::new(task, &request, self.outside.unix_time());
        if serde_json::to_vec(&record.fields).map_or(usize::MAX, |json| json.len()) > MAX_FIELDS {
            return Err(Error::body_too_large(MAX_FIELDS));
        }
        // Before the task: whoever takes it needs them.
        let (store, until) = (&self.tasks.store, self.tasks.until(&id));
        for (index, image) in (0..).zip(&request.generation.images) {
            store.add_file(&id, &input(index), &image.bytes, until).await.map_err(failed)?;
        }
        if let Some(mask) = &request.generation.mask {
            store.add_file(&id, MASK, &mask.bytes, until).await.map_err(failed)?;
        }
        drop(request);
        if let Err(error) = self.tasks.submit(&id, call.caller.id(), model, &record).await {
            if error.status == StatusCode::TOO_MANY_REQUESTS {
                store.spawn_delete_inputs(&id, &record);
            }
            return Err(error);
        }
        let task = self.tasks.view(&id, &record, &links);
        let mut response = reply::json_with(StatusCode::ACCEPTED, &task)?;
        let headers = response.headers_mut();
        insert(headers, LOCATION, &format!("/v1/tasks/{}", task.id()));
        headers.insert(RETRY_AFTER, POLL_AFTER);
        headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static(RESPOND_ASYNC));
        Ok(response)
    }

    /// `GET /v1/tasks/{id}`.
    pub(super) async fn read_task(self: &Rc<Self>, call: &Call, id: &str) -> Result<Response<Content>, Error> {
        let (time_id, snapshot) = self.task(call, id).await?;
        let links = self.tasks.links(&self.public_url(&call.head)).await?;
        let mut task = self.tasks.view(&time_id, &snapshot.record, &links);
        self.embed(&time_id, &snapshot.record, &mut task).await.map_err(failed)?;
        let mut response = reply::json(&task)?;
        if !snapshot.record.status.is_end() {
            response.headers_mut().insert(RETRY_AFTER, POLL_AFTER);
        }
        Ok(response)
    }

    /// `GET /v1/tasks`.
    pub(super) async fn list_tasks(self: &Rc<Self>, call: &Call) -> Result<Response<Content>, Error> {
        let query = ListQuery::of(call)?;
        let status = match query.status.as_deref() {
            None => None,
            Some(name) => Some(TaskStatus::parse(name).ok_or_else(|| {
                Error::invalid_value(
                    "status",
                    "Invalid value for 'status'. Expected 'queued', 'running', 'succeeded', 'failed' or 'cancelled'.",
                )
            })?),
        };
        let after = query
            .after
            .as_deref()
            .map(|id| time_id(id).ok_or_else(|| Error::invalid_value("after", "There is no such task.")));
        let mut after = after.transpose()?;
        let links = self.tasks.links(&self.public_url(&call.head)).await?;
        let mut tasks = Vec::new();
        while tasks.len() <= query.limit {
            let most = ROWS.min(query.limit + 1 - tasks.len());
            let status = status.map(TaskStatus::name);
            let rows = self.tasks.store.list(call.caller.id(), after.as_ref(), status, most).await.map_err(failed)?;
            let read = rows.iter().filter_map(|(id, record)| Some((id, record.as_ref()?)));
            tasks.extend(read.map(|(id, record)| self.tasks.view(id, record, &links)));
            if rows.len() < most {
                break;
            }
            after = rows.into_iter().next_back().map(|(id, _)| id);
        }
        reply::json(&ListObject::new(tasks, query.limit, |task| task.id().to_owned()))
    }

    /// `DELETE /v1/tasks/{id}`: cancels a task, or forgets one that has ended.
    pub(super) async fn delete_task(self: &Rc<Self>, call: &Call, id: &str) -> Result<Response<Content>, Error> {
        let not_found = || Error::task_not_found(id);
        let time_id = time_id(id).ok_or_else(not_found)?;
        match self.tasks.cancel_or_forget(&time_id, call.caller.id()).await.map_err(failed)? {
            Cancelled::NotFound => Err(not_found()),
            Cancelled::Forgotten => {
                reply::json(&json!({"id": task_id(&time_id), "object": "image.task", "deleted": true}))
            }
            Cancelled::Ended(record) => {
                let links = self.tasks.links(&self.public_url(&call.head)).await?;
                reply::json(&self.tasks.view(&time_id, &record, &links))
            }
        }
    }

    /// `GET /v1/tasks/{id}/events`: how the task is, and then each change, as server-sent events. They go on after the
    /// one that the client has seen last: its number is in `Last-Event-ID`, as browsers send it, or in the query's
    /// `after`.
    pub(super) async fn task_events(self: &Rc<Self>, call: &Call, id: &str) -> Result<Response<Content>, Error> {
        let (id, snapshot) = self.task(call, id).await?;
        let header = call.head.headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let seen = header.or(ListQuery::text(call, "after")).and_then(|number| number.trim().parse::<i64>().ok());
        // A number that this task has never had is of another one.
        let seen = seen.filter(|seen| *seen <= snapshot.revision);
        let links = self.tasks.links(&self.public_url(&call.head)).await?;
        let (app, topic) = (Rc::clone(self), self.tasks.follow(&id, snapshot));
        let events = unfold(Some(seen), move |state| {
            let (app, id, links, topic) = (Rc::clone(&app), id.clone(), links.clone(), Rc::clone(&topic));
            async move {
                let snapshot = topic.newer(state?).await?;
                let mut task = app.tasks.view(&id, &snapshot.record, &links);
                let _ = app.embed(&id, &snapshot.record, &mut task).await;
                let next = (!snapshot.record.status.is_end()).then_some(Some(snapshot.revision));
                Some((event(&task, &snapshot), next))
            }
        });
        Ok(reply::events(sse::body(&self.outside, events.boxed_local())))
    }

    /// `/internal/tick`: for a timer, that tasks of dead instances go on although nobody calls.
    pub(super) async fn tick(self: &Rc<Self>) -> Result<Response<Content>, Error> {
        #[derive(Serialize)]
        struct Ticked {
            #[serde(flatten)]
            found: Found,
            /// Rows of the database that had expired.
            deleted: u64,
        }
        let found = self.tasks.look().await.map_err(failed)?;
        let deleted = self.sweeper.sweep_in_turn().await.map_err(failed)?;
        reply::json(&Ticked { found, deleted })
    }

    /// A task of the caller's.
    async fn task(&self, call: &Call, id: &str) -> Result<(TimeId, Snapshot), Error> {
        let not_found = || Error::task_not_found(id);
        let time_id = time_id(id).ok_or_else(not_found)?;
        let read = self.tasks.store.read(&time_id, call.caller.id()).await.map_err(failed)?;
        let (snapshot, _) = read.ok_or_else(not_found)?;
        Ok((time_id, snapshot))
    }

    /// Puts in the images that came without a file.
    async fn embed(&self, id: &TimeId, record: &TaskRecord, task: &mut TaskObject) -> Result<(), StoreError> {
        for (index, image) in record.images.iter().enumerate() {
            let (Some(ImageLocation::Stored(_)), Ok(number)) = (&image.place, u32::try_from(index)) else { continue };
            if let Some(bytes) = self.tasks.store.file(id, &output(number)).await? {
                let format = Format::of_magic(&bytes);
                task.embed(index, Payload::Bytes(bytes).into_url(format));
            }
        }
        Ok(())
    }
}

/// Whether a request asks, by its headers, for a task in place of an answer.
pub(super) fn prefers_async(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(','));
    preferences.any(|preference| {
        let name = preference.split([';', '=']).next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case(RESPOND_ASYNC)
    })
}

/// The id of a task, as clients have it.
fn time_id(id: &str) -> Option<TimeId> {
    TimeId::parse(id.strip_prefix("task_")?)
}

fn event(task: &TaskObject, snapshot: &Snapshot) -> JsonBody {
    #[derive(Serialize)]
    struct Event<'a> {
        r#type: &'static str,
        sequence: i64,
        task: &'a TaskObject,
    }
    let name = if snapshot.record.status.is_end() { "task.completed" } else { "task.updated" };
    let mut event = JsonBody::default();
    event.push_text(&format!("id: {}\n", snapshot.revision));
    sse::begin(&mut event, Some(name));
    let data = Event { r#type: name, sequence: snapshot.revision, task };
    event.push_text(&serde_json::to_string(&data).unwrap_or_default());
    sse::end(&mut event);
    event
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn failed(error: StoreError) -> Error {
    Error::store_failed(&error)
}
