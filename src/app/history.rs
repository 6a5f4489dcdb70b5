//! The handlers of the images that were made.

use std::rc::Rc;

use http::Response;
use serde_json::json;
use url::form_urlencoded;

use super::{App, Call, reply};
use crate::error::Error;
use crate::history::list::Query;
use crate::platform::{Content, StoreError};
use crate::store::id::TimeId;
use crate::tasks::view::{ListObject, RememberedObject, image_id};

/// Things that a page of a list has.
const PAGE: usize = 20;
/// Things that it may have.
const MAX_PAGE: usize = 100;

impl App {
    /// `GET /v1/images`.
    pub(super) async fn list_images(self: &Rc<Self>, call: &Call) -> Result<Response<Content>, Error> {
        let query = ListQuery::of(call)?;
        let after = query
            .after
            .as_deref()
            .map(|id| image_of_id(id).ok_or_else(|| Error::invalid_value("after", "There is no such image.")));
        let links = self.tasks.links(&self.public_url(&call.head)).await?;
        let asked = Query { after: after.transpose()?, search: query.search.unwrap_or_default(), limit: query.limit };
        let of_task = |id: &TimeId, record: &str| self.tasks.entry(id, &serde_json::from_str(record).ok()?);
        let entries = self.history.list(call.caller.id(), &asked, of_task).await.map_err(failed)?;
        let images = entries.iter().flat_map(|(id, entry)| self.tasks.remembered(id, entry, &links));
        let images: Vec<RememberedObject> = images.take(query.limit.saturating_add(1)).collect();
        reply::json(&ListObject::new(images, query.limit, |image| image.id.clone()))
    }

    /// `DELETE /v1/images/{id}`: the image is listed no longer. Links to it work until they expire.
    pub(super) async fn forget_image(self: &Rc<Self>, call: &Call, id: &str) -> Result<Response<Content>, Error> {
        let (time_id, index) = image_of_id(id).ok_or_else(|| Error::image_not_found(id))?;
        if !self.history.hide(call.caller.id(), &time_id, index).await.map_err(failed)? {
            return Err(Error::image_not_found(id));
        }
        reply::json(&json!({"id": image_id(&time_id, index), "object": "image", "deleted": true}))
    }
}

/// What a list is asked for.
pub(super) struct ListQuery {
    pub(super) limit: usize,
    pub(super) after: Option<String>,
    pub(super) status: Option<String>,
    search: Option<String>,
}

impl ListQuery {
    pub(super) fn of(call: &Call) -> Result<Self, Error> {
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

    pub(super) fn text(call: &Call, name: &str) -> Option<String> {
        let query = call.head.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
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
