//! Conversions of images by their links: each made once, and a few a minute at most.
//!
//! A link needs no key, and a conversion takes up to seconds of computing. So what was made is kept ([`converted`]),
//! requests that ask for the same at the same time wait for one conversion, and a link whose image isn't kept (as it is
//! too large, or can't be read) is converted [`PER_MINUTE`] times a minute, over all instances. An instance fetches one
//! image of a Space at a time for it, so that a slow Space holds up its own images only, and converts one at a time.
//!
//! Without a database, or where it fails, each instance keeps a few megabytes and counts for itself.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::oneshot;

use super::converted::{self, ConversionState, Converted, MAX_KEPT};
use super::fetch::fetch;
use super::transcode::{Converter, is_converted};
use super::turn::{Turn, Turns};
use crate::error::Error;
use crate::generation::TargetFormat;
use crate::gradio::client::Client;
use crate::gradio::failure::Failure;
use crate::gradio::file::RemoteFile;
use crate::limits::rate::Rates;
use crate::platform::{Host, grow, timeout};
use crate::store::Store;

/// Conversions of a link in a minute.
const PER_MINUTE: u32 = 6;
/// Time that a conversion waits for its turn, and for another instance that makes the same: longer than a claim of one
/// that has died.
const PATIENCE: Duration = Duration::from_secs(50);
/// Time for the fetch of an image that is converted.
const FETCH: Duration = Duration::from_secs(20);
/// Pause between two looks for what another instance makes.
const LOOK: Duration = Duration::from_millis(200);

type Answer = Result<Converted, Error>;

/// Conversions of an instance.
pub struct Conversions {
    host: Host,
    store: Store,
    converter: Converter,
    rates: Rates,
    /// Turns at fetches, by the origin of the Space.
    fetches: RefCell<HashMap<String, Turns>>,
    /// Those who wait for what is being made, by key.
    waiting: RefCell<HashMap<String, Vec<oneshot::Sender<Answer>>>>,
    /// Images that are kept where there is no database, the oldest first.
    kept: RefCell<VecDeque<(String, Converted)>>,
}

/// A conversion that is asked for.
pub struct Conversion {
    /// Digest of the file's address and the wanted format.
    pub key: String,
    /// Client for the link's Space.
    pub client: Client,
    /// The file.
    pub file: RemoteFile,
    /// Expiry of the link, in seconds since the Unix epoch.
    pub expires: u64,
    /// Format that the link names.
    pub wanted: TargetFormat,
    /// Size of the largest image that is fetched, in bytes.
    pub limit: usize,
}

impl Conversions {
    /// None yet, of `converter`.
    pub fn new(store: &Store, converter: &Converter) -> Rc<Self> {
        Rc::new(Self {
            host: store.host().clone(),
            store: store.clone(),
            converter: converter.clone(),
            rates: Rates::new(store, PER_MINUTE),
            fetches: RefCell::default(),
            waiting: RefCell::default(),
            kept: RefCell::default(),
        })
    }

    /// The image of a conversion: one that is kept, or that others wait for already, or a new one.
    ///
    /// # Errors
    /// 429 where the link's image was converted too often, 503 where there is no turn for it; those of the fetch.
    pub async fn get(self: &Rc<Self>, conversion: Conversion) -> Answer {
        let (sender, receiver) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting.borrow_mut();
            let waiting = waiting.entry(conversion.key.clone()).or_default();
            waiting.push(sender);
            waiting.len() == 1
        };
        if is_first {
            // In a task of its own, so that it ends even if this request's client leaves.
            let this = Rc::clone(self);
            self.host.spawn(Box::pin(async move {
                let answer = this.find_or_make(&conversion).await;
                let waiting = this.waiting.borrow_mut().remove(&conversion.key).unwrap_or_default();
                for one in waiting {
                    // Its client may have left.
                    let _ = one.send(answer.clone());
                }
            }));
        }
        receiver.await.unwrap_or_else(|error| {
            Err(Error::internal("The image could not be converted.", format!("its conversion ended: {error}")))
        })
    }

    async fn find_or_make(&self, conversion: &Conversion) -> Answer {
        let key = &conversion.key;
        if let Some(found) = self.find_here(key) {
            return Ok(found);
        }
        let found = timeout(&self.host, PATIENCE, self.find_or_claim(key)).await;
        match found.map_err(|_| Error::conversions_busy())?? {
            Some(ConversionState::Image(image)) => return Ok(image),
            Some(ConversionState::Claimed) => {}
            Some(ConversionState::InTheMaking) => return Err(Error::conversions_busy()),
            None => {
                let image = self.make(conversion).await?;
                self.keep_here(key, &image);
                return Ok(image);
            }
        }
        let made = self.make(conversion).await;
        // Where the store fails, the claim runs out by itself.
        let _ = match &made {
            Ok(image) => converted::keep(&self.store, key, image, conversion.expires).await,
            Err(_) => converted::release(&self.store, key).await,
        };
        made
    }

    /// Finds the image in the database, or claims it; `None` without a database.
    ///
    /// # Errors
    /// 503 where there is no memory for it.
    async fn find_or_claim(&self, key: &str) -> Result<Option<ConversionState>, Error> {
        while self.store.is_up() {
            // Before the database sends it: its length is known only then.
            let mut memory = self.host.memory().none();
            let granted = grow(&self.host, &mut memory, MAX_KEPT).await;
            granted.map_err(|refused| Error::out_of_memory(&refused))?;
            match converted::find_or_claim(&self.store, key).await {
                Ok(ConversionState::Image(Converted::Image(format, bytes))) => {
                    memory.shrink_to(bytes.len());
                    return Ok(Some(ConversionState::Image(Converted::Image(format, memory.hold(bytes)))));
                }
                Ok(ConversionState::InTheMaking) => {
                    drop(memory);
                    self.host.sleep(LOOK).await;
                }
                Ok(found) => return Ok(Some(found)),
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    async fn make(&self, conversion: &Conversion) -> Answer {
        let Conversion { key, client, file, wanted, limit, .. } = conversion;
        if let Some(wait) = self.rates.standing(&format!("link/{key}"), true).await.and_then(|found| found.refused) {
            return Err(Error::too_many_conversions(wait));
        }
        let fetches = self.fetches.borrow_mut().entry(file.origin.to_string()).or_default().clone();
        let fetching = self.patiently(fetches.take()).await?;
        let (format, bytes) = match timeout(&self.host, FETCH, fetch(client, file, *limit)).await {
            Ok(fetched) => fetched.map_err(Error::of_linked_image)?,
            Err(_) => return Err(Error::of_linked_image(Failure::Stalled { after: FETCH })),
        };
        if !is_converted(format, *wanted) {
            return Ok(Converted::AsMade);
        }
        let turn = self.patiently(self.converter.turn()).await?;
        // Until here, so that no more of a Space's images wait in memory than one.
        drop(fetching);
        let (made, bytes) =
            self.converter.convert_in_turn(&turn, bytes, format, *wanted).await.map_err(Error::of_linked_image)?;
        Ok(if made == wanted.format { Converted::Image(made, bytes) } else { Converted::AsMade })
    }

    async fn patiently(&self, turn: impl Future<Output = Turn>) -> Result<Turn, Error> {
        timeout(&self.host, PATIENCE, turn).await.map_err(|_| Error::conversions_busy())
    }

    fn find_here(&self, key: &str) -> Option<Converted> {
        self.kept.borrow().iter().find(|(known, _)| known == key).map(|(_, image)| image.clone())
    }

    /// Keeps an image in the instance, in place of the oldest.
    fn keep_here(&self, key: &str, image: &Converted) {
        let size = |image: &Converted| match image {
            Converted::Image(_, bytes) => Bytes::len(bytes),
            Converted::AsMade => 0,
        };
        let mut kept = self.kept.borrow_mut();
        kept.push_back((key.to_owned(), image.clone()));
        while kept.iter().map(|(_, image)| size(image)).sum::<usize>() > MAX_KEPT {
            kept.pop_front();
        }
    }
}
