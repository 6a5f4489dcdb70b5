//! Health of the instance and its Spaces, and the timer's tick.

use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::state::App;
use crate::error::Error;
use crate::http::reply::{json, json_with_status};
use crate::platform::Content;
use crate::tasks::watch::Found;

/// `GET /healthz`.
pub(super) fn alive() -> Result<Response<Content>, Error> {
    json(&json!({"status": "ok"}))
}

/// `GET /readyz`: 503 where every Space is known to be of no use.
pub(super) async fn ready(app: &App) -> Result<Response<Content>, Error> {
    let spaces = app.services.dispatcher.usable(&app.settings.catalog).await;
    let (status, word) =
        if spaces.any() { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "unavailable") };
    json_with_status(status, &json!({"status": word, "spaces": spaces}))
}

/// `GET /v1/spaces`.
pub(super) async fn spaces(app: &App) -> Result<Response<Content>, Error> {
    let data = app.services.dispatcher.status(&app.settings.catalog, app.settings.reveal_spaces).await;
    json(&json!({"object": "list", "data": data}))
}

/// `/internal/tick`: a timer's call, by which tasks of dead instances go on without other traffic.
pub(super) async fn tick(app: &App) -> Result<Response<Content>, Error> {
    #[derive(Serialize)]
    struct Ticked {
        #[serde(flatten)]
        found: Found,
        /// Rows of the database that had expired.
        deleted: u64,
    }
    let found = app.tasks.look().await.map_err(|error| Error::store_failed(&error))?;
    let deleted = app.sweeper.sweep_in_turn().await.map_err(|error| Error::store_failed(&error))?;
    json(&Ticked { found, deleted })
}
