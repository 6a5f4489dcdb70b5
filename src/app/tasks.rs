//! The handlers of tasks, and of the images that were made.

use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::unfold;
use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::reply::{self, insert};
use super::{App, Call};
use crate::catalog::Model;
use crate::error::Error;
use crate::format::Format;
use crate::media::link::Links;
use crate::openai::body::JsonBody;
use crate::openai::making::Payload;
use crate::openai::params::ImageRequest;
use crate::openai::sse;
use crate::platform::{Content, StoreError};
use crate::tasks::history::{self, Entry};
use crate::tasks::lease::Token;
use crate::tasks::name::Name;
use crate::tasks::record::{Order, Place, Record, Status};
use crate::tasks::store::{MASK, OPEN, RECORDS, input, output};
use crate::tasks::view::{Page, RememberedObject, TaskObject, image_id};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// RFC 7240, section 4.1.
const RESPOND_ASYNC: &str = "respond-async";
/// When an unfinished task should be asked for again, in seconds.
const POLL_AFTER: HeaderValue = HeaderValue::from_static("2");
/// How often the events' reader looks at the record.
const LOOK: Duration = Duration::from_millis(500);
/// The longest request, without its images, that becomes a task, in bytes as JSON.
const MAX_FIELDS: usize = 256 << 10;
/// The most bytes of images that become part of a task.
const MAX_IMAGES: usize = 32 << 20;
/// How many things a page of a list has.
const PAGE: usize = 20;
/// How many it may have.
const MAX_PAGE: usize = 100;

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
        let (name, token) = (Name::new(&self.outside, call.caller.id()), Token::new(&self.outside));
        let order = Order { model: model.id.clone(), fields, base: links.base.clone() };
        let record = Record::new(order, &request, self.outside.unix_time(), token.lease(&self.outside));
        if serde_json::to_vec(&record.fields).map_or(usize::MAX, |json| json.len()) > MAX_FIELDS {
            return Err(Error::body_too_large(MAX_FIELDS));
        }
        let shelf = &self.tasks.shelf;
        let unfinished = shelf.keys().await.map_err(failed)?;
        let mine = |key: &&String| Name::of_key(OPEN, key).is_some_and(|name| name.is_of(call.caller.id()));
        if unfinished.iter().filter(mine).count() >= self.tasks.terms.most {
            return Err(Error::too_many_tasks(self.tasks.terms.most));
        }
        for (index, image) in (0..).zip(&request.generation.images) {
            shelf.put_image(&name, &input(index), &image.bytes).await.map_err(failed)?;
        }
        if let Some(mask) = &request.generation.mask {
            shelf.put_image(&name, MASK, &mask.bytes).await.map_err(failed)?;
        }
        let held = shelf.put(&name, record).await.map_err(failed)?;
        let task = self.tasks.view(&name, &held.record, &links);
        self.tasks.start(name, held, token);
        let mut response = reply::json_with(StatusCode::ACCEPTED, &task)?;
        let headers = response.headers_mut();
        insert(headers, LOCATION, &format!("/v1/tasks/{}", task.id()));
        headers.insert(RETRY_AFTER, POLL_AFTER);
        headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static(RESPOND_ASYNC));
        Ok(response)
    }

    /// `GET /v1/tasks/{id}`.
    pub(super) async fn read_task(self: &Rc<Self>, call: &Call, id: &str) -> Result<Response<Content>, Error> {
        let name = self.task_name(call, id)?;
        let (task, record) = self.task(call, &name).await?.ok_or_else(|| Error::task_not_found(id))?;
        let mut response = reply::json(&task)?;
        if !record.status.is_end() {
            response.headers_mut().insert(RETRY_AFTER, POLL_AFTER);
        }
        Ok(response)
    }

    /// `GET /v1/tasks`.
    pub(super) async fn list_tasks(self: &Rc<Self>, call: &Call) -> Result<Response<Content>, Error> {
        let query = Query::of(call)?;
        let status = match query.status.as_deref() {
            None | Some("") => None,
            Some(name) => Some(Status::parse(name).ok_or_else(|| {
                Error::invalid_value(
                    "status",
                    "Invalid value for 'status'. Expected 'queued', 'running', 'succeeded', 'failed' or 'cancelled'.",
                )
            })?),
        };
        let after = query.after.as_deref().map(|id| {
            Name::of_id(call.caller.id(), "task_", id)
                .ok_or_else(|| Error::invalid_value("after", "There is no such task."))
        });
        let after = after.transpose()?;
        let keys = self.tasks.shelf.keys().await.map_err(failed)?;
        let names = newest_first(&keys, RECORDS, call.caller.id(), after.as_ref());
        let names = names.into_iter().filter(|name| !self.tasks.has_expired(name)).collect();
        let links = self.tasks.links(&self.public_url(&call.head)).await?;
        let mut tasks = Vec::new();
        let mut records = std::pin::pin!(self.tasks.shelf.read_all(names));
        while let Some(read) = records.next().await {
            let (name, held) = read.map_err(failed)?;
            if self.tasks.is_left_behind(&name, &held.record) {
                self.tasks.take_over(&name).await.map_err(failed)?;
            }
            if status.is_none_or(|status| held.record.status == status) {
                tasks.push(self.tasks.view(&name, &held.record, &links));
            }
            if tasks.len() > query.limit {
                break;
            }
        }
        reply::json(&Page::new(tasks, query.limit, |task| task.id().to_owned()))
    }

    /// `DELETE /v1/tasks/{id}`: cancels a task, or forgets one that has ended.
    pub(super) async fn delete_task(self: &Rc<Self>, call: &Call, id: &str) -> Result<Response<Content>, Error> {
        let name = self.task_name(call, id)?;
        let (now, token) = (self.outside.unix_time(), Token::new(&self.outside));
        let (mut receipts, mut cancelled) = (Vec::new(), false);
        let change = |record: &mut Record| {
            if record.status.is_end() {
                return false;
            }
            // A runner that lives cancels its jobs itself, when it learns of this.
            receipts = if record.is_free(now) { record.restart() } else { Vec::new() };
            record.lease = Some(token.lease(&self.outside));
            record.end(Status::Cancelled, now);
            record.revision += 1;
            cancelled = true;
            true
        };
        let held = self.tasks.shelf.change(&name, change).await.map_err(failed)?;
        let held = held.ok_or_else(|| Error::task_not_found(id))?;
        if !cancelled {
            let keys = self.tasks.shelf.keys().await.map_err(failed)?;
            self.tasks.shelf.forget(&name, &keys).await.map_err(failed)?;
            return reply::json(&json!({"id": name.task_id(), "object": "image.task", "deleted": true}));
        }
        let links = self.tasks.links(&self.public_url(&call.head)).await?;
        let task = self.tasks.view(&name, &held.record, &links);
        self.tasks.wind_up(name, held, token, receipts);
        reply::json(&task)
    }

    /// `GET /v1/tasks/{id}/events`: how the task is, and then each change, as server-sent events. They go on after the one that the client has seen
    /// last: its number is in `Last-Event-ID`, as browsers send it, or in the query's `after`.
    pub(super) async fn task_events(self: &Rc<Self>, call: &Call, id: &str) -> Result<Response<Content>, Error> {
        let name = self.task_name(call, id)?;
        let (_, record) = self.task(call, &name).await?.ok_or_else(|| Error::task_not_found(id))?;
        let header = call.head.headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let seen = header.or(Query::text(call, "after")).and_then(|number| number.trim().parse::<u64>().ok());
        // A number that this task has never had is of another one.
        let seen = seen.filter(|seen| *seen <= record.revision);
        let (app, links) = (Rc::clone(self), self.tasks.links(&self.public_url(&call.head)).await?);
        let events = unfold(Some((seen, true)), move |state| {
            let (app, name, links) = (Rc::clone(&app), name.clone(), links.clone());
            async move {
                let (seen, mut is_first) = state?;
                loop {
                    if !is_first {
                        app.outside.sleep(LOOK).await;
                    }
                    is_first = false;
                    // A store that fails now may do its work in a moment.
                    let Ok(read) = app.tasks.shelf.read(&name).await else { continue };
                    let record = read.map(|held| held.record).filter(|_| !app.tasks.has_expired(&name))?;
                    if app.tasks.is_left_behind(&name, &record) {
                        let _ = app.tasks.take_over(&name).await;
                    }
                    let is_new = seen.is_none_or(|seen| seen < record.revision);
                    if is_new || record.status.is_end() {
                        let mut task = app.tasks.view(&name, &record, &links);
                        let _ = app.embed(&name, &record, &mut task).await;
                        let next = (!record.status.is_end()).then_some((Some(record.revision), false));
                        return Some((event(&task, &record), next));
                    }
                }
            }
        });
        Ok(reply::events(sse::body(&self.outside, events.boxed_local())))
    }

    /// `/internal/tick`: for a timer, that tasks of dead instances go on although nobody calls.
    pub(super) async fn tick(self: &Rc<Self>) -> Result<Response<Content>, Error> {
        reply::json(&self.tasks.look().await.map_err(failed)?)
    }

    /// `GET /v1/images`.
    pub(super) async fn list_images(self: &Rc<Self>, call: &Call) -> Result<Response<Content>, Error> {
        let query = Query::of(call)?;
        let wanted = query.search.unwrap_or_default().to_lowercase();
        let after = query
            .after
            .as_deref()
            .map(|id| image_name(call, id).ok_or_else(|| Error::invalid_value("after", "There is no such image.")));
        let after = after.transpose()?;
        let keys = self.outside.keys().await.map_err(failed)?;
        // The request of the last image seen may have more.
        let mut names = newest_first(&keys, history::PREFIX, call.caller.id(), after.as_ref().map(|(name, _)| name));
        if let Some((name, _)) = &after {
            names.insert(0, name.clone());
        }
        let links = self.tasks.links(&self.public_url(&call.head)).await?;
        let read = |name: Name| async move {
            let json = self.outside.get(name.key(history::PREFIX)).await?;
            Ok::<_, StoreError>(json.and_then(|json| Some((name, Entry::read(&json)?))))
        };
        let mut entries = std::pin::pin!(futures::stream::iter(names).map(read).buffered(8));
        let mut images: Vec<RememberedObject> = Vec::new();
        while let Some(entry) = entries.next().await {
            let Some((name, mut entry)) = entry.map_err(failed)? else { continue };
            if let Some((_, index)) = after.as_ref().filter(|(last, _)| *last == name) {
                entry.images.retain(|shot| shot.index < *index);
            }
            if wanted.is_empty() || entry.prompt.to_lowercase().contains(&wanted) {
                images.extend(self.tasks.remembered(&name, &entry, &links));
            }
            if images.len() > query.limit {
                break;
            }
        }
        reply::json(&Page::new(images, query.limit, |image| image.id.clone()))
    }

    /// `DELETE /v1/images/{id}`: the image is listed no longer. Links to it work until they expire.
    pub(super) async fn forget_image(self: &Rc<Self>, call: &Call, id: &str) -> Result<Response<Content>, Error> {
        let not_found = || Error::image_not_found(id);
        let (name, index) = image_name(call, id).ok_or_else(not_found)?;
        let key = name.key(history::PREFIX);
        let json = self.outside.get(key.clone()).await.map_err(failed)?;
        let mut entry = json.and_then(|json| Entry::read(&json)).ok_or_else(not_found)?;
        let before = entry.images.len();
        entry.images.retain(|shot| shot.index != index);
        if entry.images.len() == before {
            return Err(not_found());
        }
        let done = match serde_json::to_vec(&entry) {
            Ok(json) if !entry.images.is_empty() => self.outside.set(key, json).await,
            _ => self.outside.delete(key).await,
        };
        done.map_err(failed)?;
        reply::json(&json!({"id": image_id(&name, index), "object": "image", "deleted": true}))
    }

    fn task_name(&self, call: &Call, id: &str) -> Result<Name, Error> {
        let name = Name::of_id(call.caller.id(), "task_", id).filter(|name| !self.tasks.has_expired(name));
        name.ok_or_else(|| Error::task_not_found(id))
    }

    /// A task of the caller's, with all that there is of it; one that nobody works at goes on.
    async fn task(self: &Rc<Self>, call: &Call, name: &Name) -> Result<Option<(TaskObject, Record)>, Error> {
        let Some(held) = self.tasks.shelf.read(name).await.map_err(failed)? else { return Ok(None) };
        if self.tasks.is_left_behind(name, &held.record) {
            self.tasks.take_over(name).await.map_err(failed)?;
        }
        let links: Links = self.tasks.links(&self.public_url(&call.head)).await?;
        let mut task = self.tasks.view(name, &held.record, &links);
        self.embed(name, &held.record, &mut task).await.map_err(failed)?;
        Ok(Some((task, held.record)))
    }

    /// Puts in the images that came without a file.
    async fn embed(&self, name: &Name, record: &Record, task: &mut TaskObject) -> Result<(), StoreError> {
        for (index, image) in record.images.iter().enumerate() {
            let (Some(Place::Stored(_)), Ok(number)) = (&image.place, u32::try_from(index)) else { continue };
            if let Some(bytes) = self.tasks.shelf.image(name, &output(number)).await? {
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

/// What a list is asked for.
struct Query {
    limit: usize,
    after: Option<String>,
    status: Option<String>,
    search: Option<String>,
}

impl Query {
    fn of(call: &Call) -> Result<Self, Error> {
        let limit = match Self::text(call, "limit").as_deref() {
            None | Some("") => PAGE,
            Some(text) => text.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit)).ok_or_else(|| {
                let message = format!("Invalid value for 'limit'. Expected a whole number from 1 to {MAX_PAGE}.");
                Error::invalid_value("limit", message)
            })?,
        };
        let text = |name| Self::text(call, name).filter(|text| !text.is_empty());
        Ok(Self { limit, after: text("after"), status: text("status"), search: text("q") })
    }

    fn text(call: &Call, name: &str) -> Option<String> {
        let query = call.head.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// The names of the caller's things below `prefix`, the last one first, from behind `after` on.
fn newest_first(keys: &[String], prefix: &str, owner: &str, after: Option<&Name>) -> Vec<Name> {
    let names = keys.iter().filter_map(|key| Name::of_key(prefix, key)).filter(|name| name.is_of(owner));
    let mut names: Vec<Name> = names.filter(|name| after.is_none_or(|after| name < after)).collect();
    names.sort_unstable_by(|one, other| other.cmp(one));
    names
}

/// The request and the index that an image's id names.
fn image_name(call: &Call, id: &str) -> Option<(Name, u32)> {
    let (id, index) = id.rsplit_once('_')?;
    Some((Name::of_id(call.caller.id(), "img_", id)?, index.parse().ok()?))
}

fn event(task: &TaskObject, record: &Record) -> JsonBody {
    #[derive(Serialize)]
    struct Event<'a> {
        r#type: &'static str,
        sequence: u64,
        task: &'a TaskObject,
    }
    let name = if record.status.is_end() { "task.completed" } else { "task.updated" };
    let mut event = JsonBody::default();
    event.push_text(&format!("id: {}\n", record.revision));
    sse::begin(&mut event, Some(name));
    let data = Event { r#type: name, sequence: record.revision, task };
    event.push_text(&serde_json::to_string(&data).unwrap_or_default());
    sse::end(&mut event);
    event
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn failed(error: StoreError) -> Error {
    Error::store_failed(&error)
}
