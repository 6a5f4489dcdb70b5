//! Diagnosis of a Space that doesn't answer as Gradio does, by Hugging Face's word on it.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use url::Url;

use super::client::Client;
use super::failure::Failure;
use super::space::Space;
use super::stage::Stage;

use crate::bounded_json::JsonBounds;

#[derive(Deserialize)]
struct WireSpace {
    runtime: Option<WireRuntime>,
}

#[derive(Deserialize)]
struct WireRuntime {
    stage: Option<String>,
}

/// Origin that knows the state of Hugging Face's Spaces.
const SOURCE: &str = "https://huggingface.co";

/// The same, as URLs have it.
pub fn source() -> Option<url::Origin> {
    Url::parse(SOURCE).ok().map(|url| url.origin())
}

/// Cause of a failure of `/config`, where Hugging Face knows it; else the failure itself.
pub async fn explain(client: &Client, space: &Space, failure: Failure) -> Failure {
    let unclear = match &failure {
        Failure::NotReady { .. } => true,
        Failure::Status { status, .. } => *status != StatusCode::TOO_MANY_REQUESTS,
        _ => false,
    };
    let Some(id) = space.hugging_face_id().filter(|_| unclear) else { return failure };
    let Ok(url) = Url::parse(&format!("{SOURCE}/api/spaces/{id}")) else { return failure };
    let Ok(answer) = client.get(url, HeaderMap::new()).await else { return failure };
    if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND) {
        return Failure::NotReady { stage: Some(Stage::Hidden) };
    }
    // Hugging Face sends old names on to new ones. Whether to follow is for the operator to say.
    if answer.status.is_redirection() {
        return Failure::NotReady { stage: Some(Stage::Renamed) };
    }
    let Ok(body) = client.body("huggingface.co", answer).await else { return failure };
    let stage = JsonBounds::EVENT.parse::<WireSpace>(&body).ok().and_then(|space| space.runtime?.stage);
    match stage.as_deref().and_then(Stage::of) {
        Some(stage) => Failure::NotReady { stage: Some(stage) },
        None => failure,
    }
}
