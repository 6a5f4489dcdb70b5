//! The handlers of the images that were made.

use std::rc::Rc;

use http::Response;
use serde_json::json;

use super::{App, Call};
use crate::error::Error;
use crate::history::list::Query;
use crate::history::view::{RememberedObject, image_id};
use crate::http::list::{ListObject, ListQuery};
use crate::http::reply;
use crate::platform::{Content, StoreError};
use crate::store::id::TimeId;

impl App {
    /// `GET /v1/images`.
    pub(super) async fn list_images(self: &Rc<Self>, call: &Call) -> Result<Response<Content>, Error> {
        let query = ListQuery::parse(call.query())?;
        let after = query
            .after
            .as_deref()
            .map(|id| image_of_id(id).ok_or_else(|| Error::invalid_value("after", "There is no such image.")));
        let links = self.tasks.links(&self.public_url(&call.head)).await?;
        let asked = Query { after: after.transpose()?, search: query.search.unwrap_or_default(), limit: query.limit };
        let of_task = |id: &TimeId, record: &str| self.tasks.entry(id, &serde_json::from_str(record).ok()?);
        let entries = self.history.list(call.caller.id(), &asked, of_task).await.map_err(failed)?;
        let spaces = self.settings.reveal_spaces.then_some(&self.settings.catalog);
        let images = entries.iter().flat_map(|(id, entry)| RememberedObject::of_entry(id, entry, &links, spaces));
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

/// The request and the index that an image's id names.
fn image_of_id(id: &str) -> Option<(TimeId, u32)> {
    let (digits, index) = id.strip_prefix("img_")?.rsplit_once('_')?;
    Some((TimeId::parse(digits)?, index.parse().ok()?))
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn failed(error: StoreError) -> Error {
    Error::store_failed(&error)
}
