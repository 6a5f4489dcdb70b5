//! The images that were made for a key: what was asked for, and where they lie.
//!
//! One record for each request that images were made for, whether its client waited or not, under `image/OWNER/DIGITS`. It holds no image: an
//! image can be had as long as its Space keeps the file, a day or so at Hugging Face.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::unfold;
use serde::{Deserialize, Serialize};

use super::name::Name;
use super::record::{ImageState, Kept, Kind, Place};
use crate::catalog::Model;
use crate::generation::Generation;
use crate::openai::making::{Item, Update, Updates, conversion};
use crate::openai::params::ImageRequest;
use crate::platform::{Outside, StoreError};
use crate::warn_once::Log;

/// Below which the records lie.
pub const PREFIX: &str = "image/";
/// The form of a record. Another form needs another number.
const VERSION: u32 = 1;
/// How many requests of a key are remembered.
const KEPT: usize = 500;
/// How long.
const TTL: Duration = Duration::from_secs(30 * 86_400);

/// A request, and the images that were made for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    version: u32,
    /// What was asked for.
    pub kind: Kind,
    /// The model's id.
    pub model: String,
    /// The prompt.
    pub prompt: String,
    /// What the images were not to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
    /// Denoising steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// The guidance scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance: Option<f64>,
    /// The sampler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler: Option<String>,
    /// The task's id, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The images.
    pub images: Vec<Shot>,
}

/// An image that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shot {
    /// Which of the request's, counted from 0.
    pub index: u32,
    /// What it was made from.
    pub seed: u32,
    /// `WIDTHxHEIGHT`, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Its format, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Where it lies.
    #[serde(flatten)]
    pub file: Kept,
}

impl Entry {
    /// A request, without images yet.
    pub fn new(model: &Model, kind: Kind, generation: &Generation) -> Self {
        let mut filled = generation.clone();
        model.defaults.fill(&mut filled);
        Self {
            version: VERSION,
            kind,
            model: model.id.clone(),
            prompt: filled.prompt,
            negative_prompt: filled.negative_prompt,
            steps: filled.steps,
            guidance: filled.guidance,
            sampler: filled.sampler,
            task: None,
            images: Vec::new(),
        }
    }

    /// Reads a record; one of another form is as good as none.
    pub fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().filter(|entry: &Self| entry.version == VERSION)
    }
}

impl Shot {
    /// An image of a task; none where it isn't made, or lies at no Space.
    pub fn of_task(index: u32, image: &ImageState) -> Option<Self> {
        let Some(Place::File(file)) = &image.place else { return None };
        let (size, format, file) = (image.size.clone(), image.format.clone(), file.clone());
        Some(Self { index, seed: image.seed?, size, format, file })
    }

    fn of_item(item: &Item, request: &ImageRequest) -> Option<Self> {
        let file = item.file.as_ref()?;
        Some(Self {
            index: item.index,
            seed: item.seed,
            size: item.size.map(|size| size.to_string()),
            format: item.format.map(|format| format.name().to_owned()),
            file: Kept::new(file, conversion(file, request.wanted)),
        })
    }
}

/// Remembers what is made for one caller.
pub struct Ledger {
    outside: Outside,
    /// Whose it is; none where each entry says so itself.
    owner: String,
    log: Log,
}

impl Ledger {
    /// A ledger of `owner`'s.
    pub fn new(outside: Outside, owner: &str, log: Log) -> Self {
        Self { outside, owner: owner.to_owned(), log }
    }

    /// The same of another owner's.
    pub fn of(&self, owner: &str) -> Self {
        Self { outside: Rc::clone(&self.outside), owner: owner.to_owned(), log: Rc::clone(&self.log) }
    }

    /// Remembers an entry under that name, if it has images.
    pub async fn write(&self, name: &Name, entry: Entry) -> Result<(), StoreError> {
        if entry.images.is_empty() {
            return Ok(());
        }
        let json = serde_json::to_vec(&entry).map_err(|error| StoreError::Failed(error.to_string()))?;
        self.outside.set(name.key(PREFIX), json).await
    }

    /// The same updates; the images in them are remembered when they end, beside the answer.
    pub fn follow(self: &Rc<Self>, model: &Model, request: &ImageRequest, updates: Updates) -> Updates {
        let entry = Entry::new(model, Kind::of(request), &request.generation);
        // A request's images may be megabytes, and aren't remembered.
        let mut request = request.clone();
        (request.generation.images, request.generation.mask) = (Vec::new(), None);
        let page = Page { ledger: Rc::clone(self), entry: RefCell::new(Some(entry)) };
        unfold((updates, page, request), async |(mut updates, page, request)| {
            let update = updates.next().await?;
            if let Update::Made(item) = &update
                && let Some(entry) = &mut *page.entry.borrow_mut()
            {
                entry.images.extend(Shot::of_item(item, &request));
            }
            Some((update, (updates, page, request)))
        })
        .boxed_local()
    }
}

/// An entry in the making. It is written when nothing more comes, which is also when nobody listens any more.
struct Page {
    ledger: Rc<Ledger>,
    entry: RefCell<Option<Entry>>,
}

impl Drop for Page {
    fn drop(&mut self) {
        let Some(mut entry) = self.entry.take().filter(|entry| !entry.images.is_empty()) else { return };
        entry.images.sort_unstable_by_key(|shot| shot.index);
        let ledger = Rc::clone(&self.ledger);
        self.ledger.outside.spawn(Box::pin(async move {
            let name = Name::new(&ledger.outside, &ledger.owner);
            if let Err(error) = ledger.write(&name, entry).await {
                (ledger.log)("Images could not be remembered.", &error.to_string());
            }
        }));
    }
}

/// The keys among `keys` of records that are too old or too many.
pub(super) fn unwanted(keys: &[String], now: Duration) -> Vec<String> {
    let mut by_owner: BTreeMap<String, Vec<Name>> = BTreeMap::new();
    for name in keys.iter().filter_map(|key| Name::of_key(PREFIX, key)) {
        by_owner.entry(name.owner().to_owned()).or_default().push(name);
    }
    let mut unwanted = Vec::new();
    for mut names in by_owner.into_values() {
        names.sort_unstable_by(|one, other| other.cmp(one));
        let too_old = |name: &Name| name.created().saturating_add(TTL) < now;
        let is_unwanted = |(position, name): &(usize, Name)| *position >= KEPT || too_old(name);
        unwanted.extend(names.into_iter().enumerate().filter(is_unwanted).map(|(_, name)| name.key(PREFIX)));
    }
    unwanted
}
