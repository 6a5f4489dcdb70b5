//! What is known of Spaces, in memory and in the key-value store.
//!
//! Both descriptions of a Space together are about 150 KB, and an instance lives for some seconds. So what they come to, about 3 KB,
//! is kept in the store: young knowledge is used as it is, older is used and refreshed beside the request, old is
//! learnt anew. A call that shows that a Space has changed makes its knowledge forgotten. The store is a convenience: where it fails, the
//! Space is asked.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::gradio::client::Client;
use crate::gradio::discovery::Profile;
use crate::gradio::failure::Failure;
use crate::gradio::space::Space;

/// Knowledge is used as it is for this long.
const YOUNG: Duration = Duration::from_secs(600);
/// Knowledge is used at all for this long.
const USABLE: Duration = Duration::from_secs(86_400);
/// What is kept has this form. Another form needs another number.
const VERSION: u32 = 1;

/// What is known of Spaces.
#[derive(Default)]
pub struct Knowledge {
    profiles: RefCell<HashMap<Space, Rc<Profile>>>,
}

/// What is kept in the store.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    profile: Profile,
}

impl Knowledge {
    /// What is known of `space`; it is asked where too little is.
    ///
    /// # Errors
    /// Those of [`Profile::learn`].
    pub async fn of(self: &Rc<Self>, client: &Client, space: &Space) -> Result<Rc<Profile>, Failure> {
        let known = match self.remembered(space) {
            Some(profile) => Some(profile),
            None => self.kept(client, space).await,
        };
        let Some(profile) = known else { return self.learn(client, space).await };
        let age = client.outside().unix_time().saturating_sub(Duration::from_secs(profile.learnt));
        if age >= USABLE {
            return self.learn(client, space).await;
        }
        if age >= YOUNG {
            let (this, client, space) = (Rc::clone(self), client.clone(), space.clone());
            let outside = Rc::clone(client.outside());
            outside.spawn(Box::pin(async move {
                // What is known goes on serving where this fails.
                let _ = this.learn(&client, &space).await;
            }));
        }
        Ok(profile)
    }

    /// What is known without asking anybody.
    pub async fn known(&self, client: &Client, space: &Space) -> Option<Rc<Profile>> {
        match self.remembered(space) {
            Some(profile) => Some(profile),
            None => self.kept(client, space).await,
        }
    }

    /// Asks `space`, whatever is known, and keeps what it says.
    ///
    /// # Errors
    /// Those of [`Profile::learn`].
    pub async fn learn(&self, client: &Client, space: &Space) -> Result<Rc<Profile>, Failure> {
        let profile = Rc::new(Profile::learn(&client.for_space(space), space).await?);
        self.profiles.borrow_mut().insert(space.clone(), Rc::clone(&profile));
        let kept = Kept { version: VERSION, profile: Profile::clone(&profile) };
        if let Ok(json) = serde_json::to_vec(&kept) {
            // Not kept, it is learnt again.
            let _ = client.outside().set(key(space), json).await;
        }
        Ok(profile)
    }

    /// What this instance remembers.
    pub(super) fn remembered(&self, space: &Space) -> Option<Rc<Profile>> {
        self.profiles.borrow().get(space).map(Rc::clone)
    }

    async fn kept(&self, client: &Client, space: &Space) -> Option<Rc<Profile>> {
        let json = client.outside().get(key(space)).await.ok()??;
        let kept: Kept = serde_json::from_slice(&json).ok().filter(|kept: &Kept| kept.version == VERSION)?;
        let profile = Rc::new(kept.profile);
        self.profiles.borrow_mut().insert(space.clone(), Rc::clone(&profile));
        Some(profile)
    }
}

/// Where knowledge of a Space lies in the store.
fn key(space: &Space) -> String {
    let digest = Sha256::new()
        .chain_update(space.origin().to_string())
        .chain_update([0])
        .chain_update(space.endpoint().unwrap_or_default())
        .finalize();
    let hex: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("space-profile/{hex}")
}
