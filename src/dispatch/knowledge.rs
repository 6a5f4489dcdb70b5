//! Cache of the capabilities of Spaces, in memory and in the database.
//!
//! Both descriptions of a Space together have about 150 KB, and an instance lives for some seconds. So the profile that
//! results, about 3 KB, is kept in the database. It is used as is for 10 minutes, used and refreshed in the background
//! up to a day, and discarded after that. A call that shows that a Space has changed triggers a refresh. Where the
//! database fails, the Space is asked.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::generation::Purpose;
use crate::gradio::client::Client;
use crate::gradio::discovery::Profile;
use crate::gradio::failure::Failure;
use crate::gradio::space::Space;
use crate::hex::hex;
use crate::store::Store;
use crate::store::row::Columns;
use crate::store::statements::waiter;

/// Age below which a profile is fresh.
const YOUNG: Duration = Duration::from_secs(600);
/// Age from which a profile is discarded.
const USABLE: Duration = Duration::from_secs(86_400);
/// Pause between two background refreshes of what is listed of a Space.
const GLANCE: Duration = Duration::from_secs(60);
/// Bump on incompatible schema changes.
const VERSION: u32 = 2;

/// Cache of the capabilities of Spaces.
pub struct Knowledge {
    store: Store,
    profiles: RefCell<HashMap<Space, Rc<Profile>>>,
    /// Spaces whose profiles the next read of the database is to return, by key.
    wanted: RefCell<HashMap<String, Space>>,
    /// Times at which Spaces were asked because somebody wanted to know what they have.
    glances: RefCell<HashMap<Space, Duration>>,
}

/// A profile as stored in the database.
#[derive(Serialize, Deserialize)]
struct StoredProfile {
    version: u32,
    profile: Profile,
}

impl Knowledge {
    /// An empty cache over `store`.
    pub fn new(store: &Store) -> Rc<Self> {
        let (profiles, wanted, glances) = (RefCell::default(), RefCell::default(), RefCell::default());
        Rc::new(Self { store: store.clone(), profiles, wanted, glances })
    }

    /// Adds `space` to the next read of the database, unless its profile is in memory.
    pub(super) fn want(&self, space: &Space) {
        if self.remembered(space).is_none() {
            self.wanted.borrow_mut().insert(key(space), space.clone());
        }
    }

    /// Keys of the profiles that the next read of the database is to return.
    pub(super) fn wanted(&self) -> Vec<String> {
        self.wanted.borrow().keys().cloned().collect()
    }

    /// Takes a profile that the database has returned.
    pub(super) fn offer(&self, key: &str, json: &str) {
        let Some(space) = self.wanted.borrow().get(key).cloned() else { return };
        if let Some(profile) = read(json) {
            self.profiles.borrow_mut().insert(space, Rc::new(profile));
        }
    }

    /// Ends a read of the database: nothing is wanted any more.
    pub(super) fn offered(&self) {
        self.wanted.borrow_mut().clear();
    }

    /// Profile of `space`; asks the Space where there is none or it is too old.
    ///
    /// # Errors
    /// Those of [`Profile::learn`].
    pub async fn of(self: &Rc<Self>, client: &Client, space: &Space) -> Result<Rc<Profile>, Failure> {
        let known = match self.remembered(space) {
            Some(profile) => Some(profile),
            None => self.kept(space).await,
        };
        let Some(profile) = known else { return self.learn(client, space).await };
        let age = client.host().unix_time().saturating_sub(Duration::from_secs(profile.learnt));
        if age >= USABLE {
            return self.learn(client, space).await;
        }
        if age >= YOUNG {
            let (this, client, space) = (Rc::clone(self), client.clone(), space.clone());
            let host = Rc::clone(client.host());
            host.spawn(Box::pin(async move {
                // The known profile stays in use where this fails.
                let _ = this.learn(&client, &space).await;
            }));
        }
        Ok(profile)
    }

    /// Profile of `space` from memory or the database.
    pub async fn known(&self, space: &Space) -> Option<Rc<Profile>> {
        match self.remembered(space) {
            Some(profile) => Some(profile),
            None => self.kept(space).await,
        }
    }

    /// Profile of `space` from memory or the database. Where there is none, or it is old, the Space is asked in the
    /// background, at most once in [`GLANCE`].
    pub(super) async fn glance(self: &Rc<Self>, client: &Client, space: &Space) -> Option<Rc<Profile>> {
        let (known, now) = (self.known(space).await, client.host().unix_time());
        let is_young = |profile: &Rc<Profile>| now.saturating_sub(Duration::from_secs(profile.learnt)) < YOUNG;
        if !known.as_ref().is_some_and(is_young) {
            let mut glances = self.glances.borrow_mut();
            if glances.get(space).is_none_or(|last| now.saturating_sub(*last) >= GLANCE) {
                glances.insert(space.clone(), now);
                let (this, client, space) = (Rc::clone(self), client.clone(), space.clone());
                let host = Rc::clone(client.host());
                host.spawn(Box::pin(async move {
                    // What is known stays in use where this fails.
                    let _ = this.learn(&client, &space).await;
                }));
            }
        }
        known
    }

    /// Asks `space` for its profile and stores it.
    ///
    /// # Errors
    /// Those of [`Profile::learn`].
    pub async fn learn(&self, client: &Client, space: &Space) -> Result<Rc<Profile>, Failure> {
        let mut profile = Profile::learn(&client.for_space(space), space).await?;
        if let Some(known) = self.remembered(space) {
            profile.keep_batches(&known);
        }
        Ok(self.keep(space, profile))
    }

    /// Keeps a profile, in memory and in the database.
    fn keep(&self, space: &Space, profile: Profile) -> Rc<Profile> {
        let profile = Rc::new(profile);
        self.profiles.borrow_mut().insert(space.clone(), Rc::clone(&profile));
        let kept = StoredProfile { version: VERSION, profile: Profile::clone(&profile) };
        if let Ok(json) = serde_json::to_string(&kept).map_err(drop)
            && self.store.is_on()
        {
            let learnt = i64::try_from(profile.learnt).unwrap_or(i64::MAX);
            let parameters = vec![("id", key(space).into()), ("learnt", learnt.into()), ("profile", json.into())];
            // A profile that isn't stored is learnt again.
            self.store.spawn(&waiter::SET_PROFILE, parameters);
        }
        profile
    }

    /// Number of images that the last job at `space` has made, where its function takes no number and that is known.
    pub(super) fn batch(&self, space: &Space, purpose: Purpose) -> Option<u32> {
        self.remembered(space)?.skill(purpose).ok()?.batch
    }

    /// Takes the number of images that a job at `space` has made, whose function takes no number.
    pub(super) fn set_batch(&self, space: &Space, purpose: Purpose, images: u32) {
        let Some(known) = self.remembered(space).filter(|_| self.batch(space, purpose) != Some(images)) else { return };
        let mut profile = Profile::clone(&known);
        profile.set_batch(purpose, images);
        self.keep(space, profile);
    }

    /// Profile of `space` from memory.
    pub(super) fn remembered(&self, space: &Space) -> Option<Rc<Profile>> {
        self.profiles.borrow().get(space).map(Rc::clone)
    }

    async fn kept(&self, space: &Space) -> Option<Rc<Profile>> {
        let row = self.store.first(&waiter::PROFILE, vec![("id", key(space).into())]).await.ok()??;
        let mut columns = Columns::of(row);
        let (_, json) = (columns.integer().ok()?, columns.text().ok()?);
        let profile = Rc::new(read(&json)?);
        self.profiles.borrow_mut().insert(space.clone(), Rc::clone(&profile));
        Some(profile)
    }
}

fn read(json: &str) -> Option<Profile> {
    let kept: StoredProfile = serde_json::from_str(json).ok()?;
    (kept.version == VERSION).then_some(kept.profile)
}

/// Key of a Space's profile in the database.
fn key(space: &Space) -> String {
    let digest = Sha256::new()
        .chain_update(space.origin().to_string())
        .chain_update([0])
        .chain_update(space.endpoint().unwrap_or_default())
        .finalize();
    hex(digest.iter().take(12))
}
