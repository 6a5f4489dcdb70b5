//! How the Spaces are, and whether there is one to make images with.

use http::{Response, StatusCode};
use serde_json::json;

use super::App;
use crate::error::Error;
use crate::http::reply::{json, json_with_status};
use crate::platform::Content;

impl App {
    /// `GET /v1/spaces`.
    pub(super) async fn spaces(&self) -> Result<Response<Content>, Error> {
        let data = self.dispatcher.status(&self.settings.catalog, self.settings.reveal_spaces).await;
        json(&json!({"object": "list", "data": data}))
    }

    /// `GET /readyz`: 503 where every Space is known to be of no use.
    pub(super) async fn ready(&self) -> Result<Response<Content>, Error> {
        let spaces = self.dispatcher.usable(&self.settings.catalog).await;
        let (status, word) =
            if spaces.any() { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "unavailable") };
        json_with_status(status, &json!({"status": word, "spaces": spaces}))
    }
}
