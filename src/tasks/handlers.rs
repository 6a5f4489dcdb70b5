//! The handlers of tasks.

use std::rc::Rc;

use futures::StreamExt as _;
use futures::stream::unfold;
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, Response};
use serde::Serialize;
use serde_json::json;

use super::cancel::Cancelled;
use super::image::TaskStatus;
use super::store::Snapshot;
use super::supervisor::TaskSupervisor;
use super::view::{TaskObject, task_id};
use crate::error::Error;
use crate::http::call::Call;
use crate::http::json::JsonBody;
use crate::http::list::{ListObject, ListQuery, query_value};
use crate::http::reply;
use crate::http::sse::{self, Heartbeat};
use crate::platform::{Content, StoreError};
use crate::store::id::TimeId;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Time after which an unfinished task should be asked for again, in seconds.
pub(super) const POLL_AFTER: HeaderValue = HeaderValue::from_static("2");
/// Tasks that are read at once: a record may have 256 KB.
const ROWS: usize = 25;

/// `GET /v1/tasks/{id}`.
///
/// # Errors
/// 404 where there is none; 500 or 503 where links can't be signed, or the database fails.
pub async fn read(tasks: &TaskSupervisor, call: &Call) -> Result<Response<Content>, Error> {
    let (time_id, snapshot) = owned(tasks, call).await?;
    let links = tasks.links(&call.base).await?;
    let task = tasks.view(&time_id, &snapshot.record, &links);
    let mut response = reply::json(&task)?;
    if !snapshot.record.status.is_end() {
        response.headers_mut().insert(RETRY_AFTER, POLL_AFTER);
    }
    Ok(response)
}

/// `GET /v1/tasks`.
///
/// # Errors
/// 400 that names the parameter; 500 or 503 as [`read`].
pub async fn list(supervisor: &TaskSupervisor, call: &Call) -> Result<Response<Content>, Error> {
    let query = ListQuery::parse(call.query())?;
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
    let links = supervisor.links(&call.base).await?;
    let mut tasks = Vec::new();
    while tasks.len() <= query.limit {
        let most = ROWS.min(query.limit + 1 - tasks.len());
        let status = status.map(TaskStatus::name);
        let rows = supervisor.store.list(call.caller.id(), after.as_ref(), status, most).await.map_err(failed)?;
        let read = rows.iter().filter_map(|(id, record)| Some((id, record.as_ref()?)));
        tasks.extend(read.map(|(id, record)| supervisor.view(id, record, &links)));
        if rows.len() < most {
            break;
        }
        after = rows.into_iter().next_back().map(|(id, _)| id);
    }
    reply::json(&ListObject::new(tasks, query.limit, |task| task.id().to_owned()))
}

/// `DELETE /v1/tasks/{id}`: cancels a task, or forgets one that has ended.
///
/// # Errors
/// As [`read`].
pub async fn delete(tasks: &Rc<TaskSupervisor>, call: &Call) -> Result<Response<Content>, Error> {
    let not_found = || Error::task_not_found(&call.parameter);
    let time_id = time_id(&call.parameter).ok_or_else(not_found)?;
    match tasks.cancel_or_forget(&time_id, call.caller.id()).await.map_err(failed)? {
        Cancelled::NotFound => Err(not_found()),
        Cancelled::Forgotten => reply::json(&json!({"id": task_id(&time_id), "object": "image.task", "deleted": true})),
        Cancelled::Ended(record) => {
            let links = tasks.links(&call.base).await?;
            reply::json(&tasks.view(&time_id, &record, &links))
        }
    }
}

/// `GET /v1/tasks/{id}/events`: the task, and then each change, as server-sent events. They go on after the one that
/// the client has seen last: its number is in `Last-Event-ID`, as browsers send it, or in the query's
/// `after`.
///
/// # Errors
/// As [`read`].
pub async fn events(tasks: &Rc<TaskSupervisor>, call: &Call) -> Result<Response<Content>, Error> {
    let (id, snapshot) = owned(tasks, call).await?;
    let header = call.head.headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let seen = header.or(query_value(call.query(), "after")).and_then(|number| number.trim().parse::<i64>().ok());
    // A number that this task has never had is of another one.
    let seen = seen.filter(|seen| *seen <= snapshot.revision);
    let links = tasks.links(&call.base).await?;
    let topic = tasks.follow(&id, snapshot);
    let host = tasks.host.clone();
    let tasks = Rc::clone(tasks);
    let events = unfold(Some(seen), move |state| {
        let (tasks, id, links, topic) = (Rc::clone(&tasks), id.clone(), links.clone(), Rc::clone(&topic));
        async move {
            let snapshot = topic.newer(state?).await?;
            let task = tasks.view(&id, &snapshot.record, &links);
            let next = (!snapshot.record.status.is_end()).then_some(Some(snapshot.revision));
            Some((event(&task, &snapshot), next))
        }
    });
    Ok(reply::events(&host, events.boxed_local(), Heartbeat::COMMENT))
}

/// A task of the caller's.
async fn owned(tasks: &TaskSupervisor, call: &Call) -> Result<(TimeId, Snapshot), Error> {
    let not_found = || Error::task_not_found(&call.parameter);
    let time_id = time_id(&call.parameter).ok_or_else(not_found)?;
    let read = tasks.store.read(&time_id, call.caller.id()).await.map_err(failed)?;
    let (snapshot, _) = read.ok_or_else(not_found)?;
    Ok((time_id, snapshot))
}

/// The id of a task, as clients have it.
fn time_id(id: &str) -> Option<TimeId> {
    TimeId::parse(id.strip_prefix("task_")?)
}

fn event(task: &TaskObject, snapshot: &Snapshot) -> JsonBody {
    #[derive(Serialize)]
    struct TaskEvent<'a> {
        r#type: &'static str,
        sequence: i64,
        task: &'a TaskObject,
    }
    let name = if snapshot.record.status.is_end() { "task.completed" } else { "task.updated" };
    sse::event_with_id(snapshot.revision, name, &TaskEvent { r#type: name, sequence: snapshot.revision, task })
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn failed(error: StoreError) -> Error {
    Error::store_failed(&error)
}
