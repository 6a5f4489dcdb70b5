//! Finding out what a Space can do, from the Space itself.
//!
//! [`choose`] finds the function that makes images from text, [`signature`] what it takes and gives, [`role`] what its
//! parameters mean, [`size`] how it wants a size. [`Profile`] is all of that for one Space, in a form that can be kept.

mod assign;
pub mod choice;
pub mod choose;
pub mod role;
pub mod signature;
pub mod size;
mod words;

use std::rc::Rc;

use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use self::choose::choose;
use self::signature::{Info, Signature};
use super::client::Client;
use super::config::{Base, Config, Endpoint};
use super::failure::Failure;
use super::space::Space;
use crate::bounded_json::JsonBounds;
use crate::generation::Purpose;

/// Knowledge of a Space: at least one thing that it can do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The path of its root and API prefix.
    path: String,
    /// Skill that makes images from text.
    pub generate: Option<Skill>,
    /// Skill that makes images from images.
    pub edit: Option<Skill>,
    /// The version of its Gradio.
    pub version: String,
    /// Time at which this was learnt, in seconds since the Unix epoch.
    pub learnt: u64,
}

/// Something that a Space can do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skill {
    fn_index: u64,
    /// The name of the function, where it has one.
    pub api_name: Option<String>,
    /// Parameters and outputs.
    pub signature: Rc<Signature>,
    /// Number of images that its last job has made, where that is known and no parameter sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<u32>,
}

impl Profile {
    /// Learns it from `space`.
    ///
    /// # Errors
    /// Every [`Failure`] of a call; [`Failure::NotReady`] where it doesn't run; [`Failure::Unreadable`] where it has no
    /// such function.
    pub async fn learn(client: &Client, space: &Space) -> Result<Self, Failure> {
        let config = match Config::fetch(client, space).await {
            Ok(config) => config,
            Err(failure) => return Err(super::diagnosis::explain(client, space, failure).await),
        };
        let answer = client.get(config.base.url("/info"), HeaderMap::new()).await?;
        // Without it, labels have to do: an app can hide its API's description.
        let info = if answer.status == StatusCode::OK {
            let body = client.body("/info", answer).await?;
            JsonBounds::DESCRIPTION.parse(&body).unwrap_or_default()
        } else {
            Info::default()
        };
        Self::of(&config, &info, space.endpoint(), client.host().unix_time().as_secs())
    }

    /// Reads it from both descriptions.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] where there is no function of that name, or none that makes images.
    pub fn of(config: &Config, info: &Info, api_name: Option<&str>, learnt: u64) -> Result<Self, Failure> {
        let skill = |purpose| {
            let (function, signature) = choose(config, info, api_name, purpose)?;
            Some(Skill {
                fn_index: function.index,
                api_name: function.api_name.clone(),
                signature: signature.into(),
                batch: None,
            })
        };
        let (generate, edit) = (skill(Purpose::Generate), skill(Purpose::Edit));
        if generate.is_none() && edit.is_none() {
            return Err(Failure::Unreadable(match api_name {
                Some(name) => format!("it has no endpoint /{name} that makes images"),
                None => "it has no endpoint that makes images".to_owned(),
            }));
        }
        Ok(Self { path: config.base.path().to_owned(), generate, edit, version: config.version.clone(), learnt })
    }

    /// Skill that serves `purpose`.
    ///
    /// # Errors
    /// [`Failure::Unsupported`] where it doesn't.
    pub fn skill(&self, purpose: Purpose) -> Result<&Skill, Failure> {
        match purpose {
            Purpose::Generate => self.generate.as_ref().ok_or(Failure::Unsupported(
                "This model only edits images. Send one to /v1/images/edits, or choose another model.",
            )),
            Purpose::Edit => self.edit.as_ref().ok_or(Failure::Unsupported(
                "This model cannot edit images: its Space takes none. Choose another model.",
            )),
        }
    }

    /// Sets the number of images that a job for `purpose` has made.
    pub fn set_batch(&mut self, purpose: Purpose, images: u32) {
        let skill = match purpose {
            Purpose::Generate => &mut self.generate,
            Purpose::Edit => &mut self.edit,
        };
        if let Some(skill) = skill {
            skill.batch = Some(images);
        }
    }

    /// Takes over the numbers of images that jobs have made from what was known `before`, for unchanged functions.
    pub fn keep_batches(&mut self, before: &Self) {
        for (skill, before) in [(&mut self.generate, &before.generate), (&mut self.edit, &before.edit)] {
            if let (Some(skill), Some(before)) = (skill, before)
                && skill.signature == before.signature
            {
                skill.batch = before.batch;
            }
        }
    }

    /// Base of its calls at `space`, whose origin isn't kept: what is kept can't lead elsewhere.
    pub fn base(&self, space: &Space) -> Base {
        Base::new(space.origin().clone(), &self.path)
    }

    /// Endpoint of `skill` of it at `space`.
    pub fn endpoint(&self, space: &Space, skill: &Skill) -> Endpoint {
        Endpoint { base: self.base(space), fn_index: skill.fn_index }
    }
}
