//! Finding out what a Space can do, from the Space itself.
//!
//! [`choose`] finds the function that makes images from text, [`signature`] what it takes and gives, [`role`] what its
//! parameters mean, [`size`] how it wants a size. [`Profile`] is all of that for one Space, in a form that can be kept.

pub mod choose;
pub mod role;
pub mod signature;
pub mod size;

use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use self::signature::{Info, Signature};
use super::client::Client;
use super::config::{Base, Config, Endpoint};
use super::failure::Failure;
use super::space::Space;

/// What is known of a Space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The path of its root and API prefix.
    path: String,
    fn_index: u64,
    /// The name of the function that makes images, where it has one.
    pub api_name: Option<String>,
    /// What that takes and gives.
    pub signature: Signature,
    /// The version of its Gradio.
    pub version: String,
    /// When this was learnt, in seconds since the Unix epoch.
    pub learnt: u64,
}

impl Profile {
    /// Asks `space`.
    ///
    /// # Errors
    /// Every [`Failure`] of a call; [`Failure::NotReady`] where it doesn't run; [`Failure::Unreadable`] where it has no such
    /// function.
    pub async fn learn(client: &Client, space: &Space) -> Result<Self, Failure> {
        let config = match Config::fetch(client, space).await {
            Ok(config) => config,
            Err(failure) => return Err(super::stage::explain(client, space, failure).await),
        };
        let answer = client.get(config.base.url("/info"), HeaderMap::new()).await?;
        // Without it, labels have to do: an app can hide its API's description.
        let info = if answer.status == StatusCode::OK {
            let body = client.body("/info", answer).await?;
            serde_json::from_slice(&body).unwrap_or_default()
        } else {
            Info::default()
        };
        Self::of(&config, &info, space.endpoint(), client.outside().unix_time().as_secs())
    }

    /// Reads it from both descriptions.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] where there is no function of that name, or none that makes images from text.
    pub fn of(config: &Config, info: &Info, api_name: Option<&str>, learnt: u64) -> Result<Self, Failure> {
        let (function, signature) = choose::choose(config, info, api_name).ok_or_else(|| {
            Failure::Unreadable(match api_name {
                Some(name) => format!("it has no endpoint /{name}"),
                None => "it has no endpoint that makes images from text".to_owned(),
            })
        })?;
        Ok(Self {
            path: config.base.path().to_owned(),
            fn_index: function.index,
            api_name: function.api_name.clone(),
            signature,
            version: config.version.clone(),
            learnt,
        })
    }

    /// How to call it at `space`, whose origin isn't kept: what is kept can't lead elsewhere.
    pub fn endpoint(&self, space: &Space) -> Endpoint {
        Endpoint { base: Base::new(space.origin().clone(), self.path.clone()), fn_index: self.fn_index }
    }
}
