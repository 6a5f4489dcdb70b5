//! Why a Space of Hugging Face doesn't answer as Gradio does: asleep, being built, paused, private, gone.
//!
//! Source: `GET https://huggingface.co/api/spaces/{id}`, field `runtime.stage`, whose values are those of `SpaceStage` in the
//! package `huggingface_hub`.

use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

use super::client::Client;
use super::failure::Failure;
use super::space::Space;

/// What a Space is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// It sleeps, and has been woken by the call.
    Sleeping,
    /// It is being built or started.
    Starting,
    /// Its owner has paused it.
    Paused,
    /// It can't be built or run.
    Broken,
    /// It is private, or there is no such Space.
    Hidden,
    /// It has another name now.
    Renamed,
}

impl Stage {
    /// Reads Hugging Face's word for it; `None` for a Space that runs.
    fn of(word: &str) -> Option<Self> {
        match word {
            "SLEEPING" | "STOPPED" => Some(Self::Sleeping),
            "BUILDING" | "APP_STARTING" => Some(Self::Starting),
            "PAUSED" => Some(Self::Paused),
            "NO_APP_FILE" | "CONFIG_ERROR" | "BUILD_ERROR" | "RUNTIME_ERROR" | "DELETING" => Some(Self::Broken),
            _ => None,
        }
    }

    /// In words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Sleeping => "it sleeps and is being woken",
            Self::Starting => "it is being built or started",
            Self::Paused => "its owner has paused it",
            Self::Broken => "it cannot be built or run",
            Self::Hidden => "it is private, or there is no such Space",
            Self::Renamed => "it has been renamed or moved",
        }
    }
}

#[derive(Deserialize)]
struct WireSpace {
    runtime: Option<WireRuntime>,
}

#[derive(Deserialize)]
struct WireRuntime {
    stage: Option<String>,
}

/// What lies behind a failure of `/config`, where Hugging Face can tell; else the failure itself.
pub async fn explain(client: &Client, space: &Space, failure: Failure) -> Failure {
    let unclear = match &failure {
        Failure::NotReady { .. } => true,
        Failure::Status { status, .. } => *status != StatusCode::TOO_MANY_REQUESTS,
        _ => false,
    };
    let Some(id) = space.hugging_face_id().filter(|_| unclear) else { return failure };
    let Ok(url) = Url::parse(&format!("https://huggingface.co/api/spaces/{id}")) else { return failure };
    let Ok(answer) = client.get(url, HeaderMap::new()).await else { return failure };
    if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND) {
        return Failure::NotReady { stage: Some(Stage::Hidden) };
    }
    // Hugging Face sends old names on to new ones. Whether to follow is for the operator to say.
    if answer.status.is_redirection() {
        return Failure::NotReady { stage: Some(Stage::Renamed) };
    }
    let Ok(body) = client.body("huggingface.co", answer).await else { return failure };
    let stage = serde_json::from_slice::<WireSpace>(&body).ok().and_then(|space| space.runtime?.stage);
    match stage.as_deref().and_then(Stage::of) {
        Some(stage) => Failure::NotReady { stage: Some(stage) },
        None => failure,
    }
}
