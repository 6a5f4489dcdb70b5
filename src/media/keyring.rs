//! The secret that image links are signed with.
//!
//! It is the variable `link_secret`, or else one that the database has from its first migration, the same for all
//! instances.

use super::link::{InvalidLink, Link, Signer};
use crate::error::Error;
use crate::gradio::space::Origin;
use crate::platform::StoreError;
use crate::store::Store;

/// Keys that sign links and verify them.
pub struct Keyring {
    store: Store,
    /// The configured secret's, where there is one.
    configured: Option<Signer>,
}

impl Keyring {
    /// With a configured secret's signer, where there is one.
    pub fn new(store: &Store, configured: Option<Signer>) -> Self {
        Self { store: store.clone(), configured }
    }

    /// Signer of links.
    ///
    /// # Errors
    /// Where no secret is configured: 500 without a database, and 503 where it fails.
    pub async fn signer(&self) -> Result<Signer, Error> {
        if let Some(signer) = &self.configured {
            return Ok(signer.clone());
        }
        let meta = self.store.meta().await.map_err(|error| unsigned(&error))?;
        Signer::new(&meta.link_secret)
            .ok_or_else(|| unsigned(&StoreError::Failed("the link secret is unusable".to_owned())))
    }

    /// Link that `token` is, among the Spaces at `origins`.
    ///
    /// # Errors
    /// 403 or 410; 500 or 503 as [`Keyring::signer`].
    pub async fn verify(&self, token: &str, origins: &[&Origin]) -> Result<Link, Error> {
        let now = self.store.host().unix_time().as_secs();
        let found = self.signer().await?.verify(token, now, origins.iter().copied());
        found.map_err(|invalid| match invalid {
            InvalidLink::Expired => Error::expired_link(),
            InvalidLink::Forged | InvalidLink::UnknownSpace => Error::forged_link(),
        })
    }
}

/// Links can't be signed for that reason. A database that fails may be back in a moment.
fn unsigned(error: &StoreError) -> Error {
    let explain = |reason: &str| {
        format!("Image links can't be signed: {reason}. Set the variable link_secret, or ask for b64_json.")
    };
    match error {
        StoreError::Off => {
            Error::internal(explain("there is neither a link_secret nor a database to keep one in"), error.to_string())
        }
        _ => Error { message: explain("the database fails"), ..Error::store_failed(error) },
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;
    use crate::gradio::file::RemoteFile;
    use crate::gradio::space::Space;
    use crate::media::file::ImageFile;
    use crate::platform::Platform as _;
    use crate::platform::sim::World;
    use crate::store::tests::store;

    #[test]
    fn links_of_instances_that_begin_together_are_all_good() {
        for seed in 0..100 {
            let world = World::new(seed);
            world.slow_store(Duration::from_millis(200));
            let rings: Vec<Rc<Keyring>> = (0..4).map(|_| Rc::new(Keyring::new(&store(&world), None))).collect();
            let origin = Space::parse("a/b").unwrap().origin().clone();
            let path = "/gradio_api/file=/tmp/x.webp".to_owned();
            let file = ImageFile::Space(RemoteFile { origin: origin.clone(), path });
            let signing = rings.iter().map(|ring| {
                let (ring, file, expires) = (Rc::clone(ring), file.clone(), world.unix_time().as_secs() + 10_000);
                async move { ring.signer().await.unwrap().sign(&file, None, expires) }
            });
            let signing: Vec<_> = signing.collect();
            let tokens = world.run(async move { futures::future::join_all(signing).await });
            let newcomer = Rc::new(Keyring::new(&store(&world), None));
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
    fn a_database_that_fails_is_waited_for_and_none_is_the_operators_affair() {
        let world = World::new(1);
        let failing = Rc::new(Keyring::new(&store(&world), None));
        world.hang_database(true);
        let refused = world.run(async move { failing.signer().await.err().unwrap() });
        assert_eq!((refused.status.as_u16(), refused.code), (503, Some("store_unavailable")));
        assert!(refused.message.starts_with("Image links can't be signed: the database fails."), "{refused:?}");
        let log: crate::platform::log::Log = Rc::new(|_| {});
        let without = Rc::new(Keyring::new(&Store::new(&world.host(), None, &log), None));
        let refused = world.run(async move { without.signer().await.err().unwrap() });
        assert_eq!((refused.status.as_u16(), refused.code), (500, Some("internal_error")));
    }

    #[test]
    fn a_link_costs_no_statement_of_its_own_and_no_pause() {
        let world = World::new(1);
        let (store, begun) = (store(&world), world.now());
        let ring = Rc::new(Keyring::new(&store, None));
        let forged = |ring: &Rc<Keyring>| {
            let ring = Rc::clone(ring);
            world.run(async move { ring.verify("AAAA", &[]).await.unwrap_err().status.as_u16() })
        };
        world.run(async move { store.meta().await.unwrap() });
        let before = world.database().statements();
        assert_eq!((forged(&ring), forged(&ring)), (403, 403));
        assert_eq!((world.database().statements(), world.now()), (before, begun));
    }
}
