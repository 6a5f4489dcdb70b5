//! The secrets that image links are signed with.
//!
//! Without the variable `link_secret` the component makes a secret and keeps it in the key-value store. A store has no way to write only where
//! nothing is, so instances that begin together may each make one, and the last to write wins. None of the links that the others have given out
//! may be lost by that: what is kept is a list. Whoever has made a secret looks again, a second and some seconds later, whether it is still there, and adds it if not; a link that
//! can't be verified has the list read once more. The first secret of the list signs, all of them verify.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::link::{InvalidLink, Link, Signer};
use crate::error::Error;
use crate::gradio::space::Origin;
use crate::platform::{Outside, StoreError};

/// Where the secrets lie in the key-value store.
const STORE_KEY: &str = "link-secret";
/// The length of a secret, in bytes.
const LENGTH: usize = 32;
/// How many there may be: more instances than that don't begin in the same second.
const MOST: usize = 64;
/// When it is looked whether a new secret is still there, after the last look.
const LOOKS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(8)];
/// The list isn't read again for a link that can't be verified before so much time has gone by.
const REREAD: Duration = Duration::from_secs(5);

/// What signs links and verifies them.
pub struct Keyring {
    outside: Outside,
    /// The configured secret's, where there is one.
    configured: Option<Signer>,
    /// Those of the store, the one that signs first; none before somebody has asked.
    stored: RefCell<Vec<Signer>>,
    read_at: Cell<Duration>,
}

impl Keyring {
    /// With a configured secret's signer, where there is one.
    pub fn new(outside: Outside, configured: Option<Signer>) -> Self {
        Self { outside, configured, stored: RefCell::default(), read_at: Cell::default() }
    }

    /// What signs links.
    ///
    /// # Errors
    /// 500 where no secret is configured and the store fails.
    pub async fn signer(&self) -> Result<Signer, Error> {
        let known = self.configured.clone().or_else(|| self.stored.borrow().first().cloned());
        match known {
            Some(signer) => Ok(signer),
            None => self.read_or_make().await.map_err(|error| {
                Error::internal(
                    "Image links can't be signed: the key-value store fails. Set the variable link_secret, or ask for b64_json.",
                    error.to_string(),
                )
            }),
        }
    }

    /// What `token` leads to, at `now`, among the Spaces at `origins`.
    ///
    /// # Errors
    /// 403 or 410; 500 as [`Keyring::signer`].
    pub async fn verify(&self, token: &str, origins: &[&Origin]) -> Result<Link, Error> {
        self.signer().await?;
        let now = self.outside.unix_time();
        let found = match self.look(token, now, origins) {
            Err(InvalidLink::Forged) if self.may_read_again(now) => {
                // Where the store fails, what is known has to do.
                let _ = self.read().await;
                self.look(token, now, origins)
            }
            found => found,
        };
        found.map_err(|invalid| match invalid {
            InvalidLink::Expired => Error::expired_link(),
            InvalidLink::Forged | InvalidLink::UnknownSpace => Error::forged_link(),
        })
    }

    fn look(&self, token: &str, now: Duration, origins: &[&Origin]) -> Result<Link, InvalidLink> {
        let stored = self.stored.borrow();
        let mut found = Err(InvalidLink::Forged);
        for signer in self.configured.iter().chain(&*stored) {
            found = signer.verify(token, now.as_secs(), origins.iter().copied());
            if found != Err(InvalidLink::Forged) {
                break;
            }
        }
        found
    }

    fn may_read_again(&self, now: Duration) -> bool {
        self.configured.is_none() && now.saturating_sub(self.read_at.get()) >= REREAD
    }

    /// Reads the list.
    async fn read(&self) -> Result<Vec<u8>, StoreError> {
        self.read_at.set(self.outside.unix_time());
        let list = self.outside.get(STORE_KEY.to_owned()).await?.unwrap_or_default();
        let signers: Vec<Signer> = list.chunks_exact(LENGTH).take(MOST).filter_map(Signer::new).collect();
        if !signers.is_empty() {
            *self.stored.borrow_mut() = signers;
        }
        Ok(list)
    }

    async fn read_or_make(&self) -> Result<Signer, StoreError> {
        self.read().await?;
        let first = self.stored.borrow().first().cloned();
        if let Some(signer) = first {
            return Ok(signer);
        }
        let mut secret = [0; LENGTH];
        self.outside.fill_random(&mut secret);
        let signer = Signer::new(&secret).ok_or_else(|| StoreError::Failed("a secret is unusable".to_owned()))?;
        self.outside.set(STORE_KEY.to_owned(), secret.to_vec()).await?;
        self.stored.borrow_mut().push(signer.clone());
        let outside = Rc::clone(&self.outside);
        self.outside.spawn(Box::pin(async move { keep(&outside, &secret).await }));
        Ok(signer)
    }
}

/// Sees to it that a new secret stays in the list.
async fn keep(outside: &Outside, secret: &[u8]) {
    for pause in LOOKS {
        outside.sleep(pause).await;
        // One that can't be looked at now can be next time.
        let Ok(there) = outside.get(STORE_KEY.to_owned()).await else { continue };
        let there = there.unwrap_or_default();
        if there.chunks_exact(LENGTH).any(|known| known == secret) {
            continue;
        }
        let list = [there.as_slice(), secret].concat();
        let _ = if there.is_empty() {
            outside.set(STORE_KEY.to_owned(), list).await.map(|()| true)
        } else {
            outside.swap(STORE_KEY.to_owned(), there, list).await
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradio::file::RemoteFile;
    use crate::gradio::space::Space;
    use crate::platform::Platform as _;
    use crate::platform::sim::World;

    #[test]
    fn links_of_instances_that_begin_together_are_all_good() {
        for seed in 0..200 {
            let world = World::new(seed);
            world.slow_store(Duration::from_millis(200));
            let rings: Vec<Rc<Keyring>> = (0..4).map(|_| Rc::new(Keyring::new(world.outside(), None))).collect();
            let origin = Space::parse("a/b").unwrap().origin().clone();
            let file = RemoteFile { origin: origin.clone(), path: "/gradio_api/file=/tmp/x.webp".to_owned() };
            let signing = rings.iter().map(|ring| {
                let (ring, file, expires) = (Rc::clone(ring), file.clone(), world.unix_time().as_secs() + 10_000);
                async move { ring.signer().await.unwrap().sign(&file, None, expires) }
            });
            let signing: Vec<_> = signing.collect();
            let tokens = world.run(async move { futures::future::join_all(signing).await });
            world.pass(Duration::from_secs(20));
            let newcomer = Rc::new(Keyring::new(world.outside(), None));
            for ring in rings.iter().chain([&newcomer]) {
                for token in &tokens {
                    let (ring, token, origin) = (Rc::clone(ring), token.clone(), origin.clone());
                    let found = world.run(async move { ring.verify(&token, &[&origin]).await });
                    assert_eq!(found.unwrap().file, file, "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn a_link_that_is_not_ours_costs_the_store_one_look_in_five_seconds() {
        let world = World::new(1);
        let ring = Rc::new(Keyring::new(world.outside(), None));
        let forged = |ring: &Rc<Keyring>| {
            let ring = Rc::clone(ring);
            world.run(async move { ring.verify("AAAA", &[]).await.unwrap_err().status.as_u16() })
        };
        assert_eq!(forged(&ring), 403);
        let read_at = ring.read_at.get();
        world.pass(Duration::from_secs(4));
        assert_eq!((forged(&ring), ring.read_at.get()), (403, read_at));
        world.pass(Duration::from_secs(1));
        assert_eq!(forged(&ring), 403);
        assert!(ring.read_at.get() > read_at);
    }
}
