//! Stages of a Space of Hugging Face that doesn't answer as Gradio does: asleep, being built, paused, private, gone.
//!
//! Source: `GET https://huggingface.co/api/spaces/{id}`, field `runtime.stage`, whose values are those of `SpaceStage`
//! in the package `huggingface_hub`.

use serde::{Deserialize, Serialize};

/// Stage of a Space that doesn't run.
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
    pub(super) fn of(word: &str) -> Option<Self> {
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
