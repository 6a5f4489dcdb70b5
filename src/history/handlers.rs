//! The handlers of the images that were made.

use std::rc::Rc;

use http::Response;
use serde_json::json;

use super::History;
use super::entry::HistoryEntry;
use super::list::Query;
use super::view::{RememberedObject, image_id};
use crate::catalog::Catalog;
use crate::error::Error;
use crate::http::call::Call;
use crate::http::list::{ListObject, ListQuery};
use crate::http::reply;
use crate::media::link::Links;
use crate::platform::{Content, StoreError};
use crate::store::id::TimeId;

/// `GET /v1/images`, with `links` to the images, and the names of their Spaces where `spaces` may be shown. `of_task`
/// reads the record of a task.
///
/// # Errors
/// 400 that names the parameter; 500 or 503 where links can't be signed, or the database fails.
pub async fn list(
    history: &Rc<History>,
    call: &Call,
    links: impl Future<Output = Result<Links, Error>>,
    spaces: Option<&Catalog>,
    of_task: impl Fn(&TimeId, &str) -> Option<HistoryEntry>,
) -> Result<Response<Content>, Error> {
    let query = ListQuery::parse(call.query())?;
    let after = query
        .after
        .as_deref()
        .map(|id| image_of_id(id).ok_or_else(|| Error::invalid_value("after", "There is no such image.")));
    let links = links.await?;
    let asked = Query { after: after.transpose()?, search: query.search.unwrap_or_default(), limit: query.limit };
    let entries = history.list(call.caller.id(), &asked, of_task).await.map_err(failed)?;
    let images = entries.iter().flat_map(|(id, entry)| RememberedObject::of_entry(id, entry, &links, spaces));
    let images: Vec<RememberedObject> = images.take(query.limit.saturating_add(1)).collect();
    reply::json(&ListObject::new(images, query.limit, |image| image.id.clone()))
}

/// `DELETE /v1/images/{id}`: the image is listed no longer. Links to it work until they expire.
///
/// # Errors
/// 404 where there is none; 503 where the database fails.
pub async fn forget(history: &Rc<History>, call: &Call) -> Result<Response<Content>, Error> {
    let id = call.parameter.as_str();
    let (time_id, index) = image_of_id(id).ok_or_else(|| Error::image_not_found(id))?;
    if !history.hide(call.caller.id(), &time_id, index).await.map_err(failed)? {
        return Err(Error::image_not_found(id));
    }
    reply::json(&json!({"id": image_id(&time_id, index), "object": "image", "deleted": true}))
}

/// The request and the index that an image's id names.
fn image_of_id(id: &str) -> Option<(TimeId, u32)> {
    let (digits, index) = id.strip_prefix("img_")?.rsplit_once('_')?;
    Some((TimeId::parse(digits)?, index.parse().ok()?))
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn failed(error: StoreError) -> Error {
    Error::store_failed(&error)
}
