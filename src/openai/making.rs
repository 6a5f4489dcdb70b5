//! Making the images of a request, and bringing them into the form that the answer is to have.
//!
//! Every answer, waiting or streaming, of the images API, a chat or a response, is a way to write one stream of [`Update`]s. Images
//! are fetched here, or made links of, a few at a time, so that no more of them are in memory than are on their way.

use std::collections::{HashMap, HashSet};
use std::future::ready;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::{LocalBoxStream, iter};
use futures::{FutureExt as _, StreamExt as _};

use super::params::{ImageRequest, ResponseFormat};
use crate::catalog::Model;
use crate::dispatch::{Deliver, Dispatcher, Event, EventKind, Image, Made, Timing};
use crate::error::Error;
use crate::generation::{Format, Size, TargetFormat};
use crate::gradio::arguments::unused;
use crate::gradio::failure::Failure;
use crate::gradio::file::RemoteFile;
use crate::gradio::job::Progress;
use crate::gradio::result::Picture;
use crate::idempotency::outcome::Outcome;
use crate::limits::jobs::Account;
use crate::media::image;
use crate::media::link::Links;
use crate::media::transcode::transcode;
use crate::platform::{Host, timeout};

/// How many images are fetched at the same time.
const FETCHES_AT_ONCE: usize = 4;
/// For so long a streaming answer waits for a first sign of life before it begins: until then, an error can be an HTTP error.
const GRACE: Duration = Duration::from_secs(5);

/// What making and handing out images takes.
#[derive(Clone)]
pub struct Workshop {
    /// Makes them.
    pub dispatcher: Rc<Dispatcher>,
    /// The largest that is passed on, in bytes.
    pub max_image_bytes: usize,
    /// Makes links to them.
    pub links: Links,
    /// Whether clients are told which Space made them.
    pub reveal_spaces: bool,
    /// Who asks.
    pub caller: Rc<str>,
    /// Counts them.
    pub jobs: Account,
    /// Is told what becomes of them.
    pub outcome: Outcome,
    /// Is told of each image that could not be made, for the log.
    pub log: Rc<dyn Fn(&Error)>,
}

/// How an image came to be.
#[derive(Clone, Debug)]
pub struct Course {
    /// What took how long.
    pub timing: Timing,
    /// The name of the Space that made it, if clients may know it.
    pub space: Option<Rc<str>>,
}

impl Course {
    /// As the header `Server-Timing` has it (W3C Server Timing), in milliseconds.
    pub fn server_timing(&self) -> String {
        let Timing { wait, queue, generate, fetch } = self.timing;
        // A name that a quoted text can't hold is left out.
        let space = self
            .space
            .as_deref()
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte)));
        let space = space.map(|name| format!(";desc=\"{name}\"")).unwrap_or_default();
        let milliseconds = |time: Duration| time.as_micros() / 1000;
        format!(
            "wait;dur={}, queue;dur={}, generate;dur={}{space}, fetch;dur={}",
            milliseconds(wait),
            milliseconds(queue),
            milliseconds(generate),
            milliseconds(fetch)
        )
    }
}

/// What becomes of a request's images. Each ends with `Made` or `Failed`.
#[derive(Debug)]
pub enum Update {
    /// They are being made. These fields of the request change nothing, as they name no parameter of the Space.
    Begun(Vec<String>),
    /// The image of that index waits here for a Space with room; so many others are before it.
    Waiting(u32, usize),
    /// The image of that index has been given to a Space, whose name clients may know.
    Placed(u32, Option<Rc<str>>),
    /// How far the image of that index is.
    Progress(u32, Progress),
    /// An image in the making: its index, and how many came before this one.
    Partial(u32, u32, Item),
    /// An image.
    Made(Item),
    /// The image of that index won't be made.
    Failed(u32, Error),
}

/// Updates, as they happen. Dropping them cancels what is still being made.
pub type Updates = LocalBoxStream<'static, Update>;

/// An image as an answer has it.
#[derive(Debug)]
pub struct Item {
    /// Which of the request's, counted from 0.
    pub index: u32,
    /// What it was made from.
    pub seed: u32,
    /// How large it is, as far as that is known.
    pub size: Option<Size>,
    /// Its format, as far as that is known.
    pub format: Option<Format>,
    /// The image, or the way to it.
    pub payload: Payload,
    /// Where it lies, for whoever refers to it later.
    pub file: Option<RemoteFile>,
    /// The name of the Space that made it, if clients may know it.
    pub space: Option<Rc<str>>,
    /// What took how long.
    pub timing: Timing,
}

/// An image, or the way to it.
#[derive(Debug)]
pub enum Payload {
    /// Itself.
    Bytes(Bytes),
    /// A link to it.
    Url(String),
    /// Itself, where a link was asked for and there is no file that one could lead to.
    DataUrl(Format, Bytes),
}

impl Item {
    /// How it came to be.
    pub fn course(&self) -> Course {
        Course { timing: self.timing, space: self.space.clone() }
    }
}

impl Payload {
    /// As a URL: a link, or where there is none, a data URL.
    pub fn into_url(self, format: Option<Format>) -> String {
        let (format, bytes) = match self {
            Self::Url(url) => return url,
            Self::DataUrl(format, bytes) => (format, bytes),
            Self::Bytes(bytes) => (format.unwrap_or(Format::Png), bytes),
        };
        format!("data:image/{};base64,{}", format.name(), STANDARD.encode(bytes))
    }
}

impl Workshop {
    /// The host of this instance.
    pub fn host(&self) -> &Host {
        self.dispatcher.client().host()
    }

    /// Makes the images that `request` asks for with `model`.
    ///
    /// # Errors
    /// 429 where the caller would have too many in the making.
    pub async fn make(&self, model: &Model, request: ImageRequest) -> Result<Updates, Error> {
        let mut permit = self.jobs.take(request.generation.count).await?;
        let outcome = self.outcome.clone();
        let updates = self.begin(model, request);
        let told = updates.inspect(move |update| match update {
            Update::Made(_) => {
                outcome.made();
                permit.give_back_one();
            }
            Update::Failed(_, error) => {
                outcome.failed(error);
                permit.give_back_one();
            }
            _ => {}
        });
        Ok(told.boxed_local())
    }

    fn begin(&self, model: &Model, request: ImageRequest) -> Updates {
        let mut request = request;
        model.defaults.fill(&mut request.generation);
        let (format, wanted) = (request.format, request.wanted);
        let mut partials = Partials::new(if request.stream { request.streaming.partial_images } else { 0 });
        let mut extras = Some(request.generation.extras.clone());
        let deliver: Deliver<Item> = {
            let workshop = self.clone();
            Rc::new(move |index, image| {
                let workshop = workshop.clone();
                Box::pin(async move { workshop.item(format, wanted, index, image).await })
            })
        };
        let events =
            self.dispatcher.run(&model.pool, request.purpose, request.generation, Rc::clone(&self.caller), deliver);
        let workshop = self.clone();
        let ready_to_go = events.flat_map(move |Event { index, kind }| {
            let chosen = partials.choose(index, &kind);
            // What changes nothing at the first Space is told; at another it may.
            let begun = match &kind {
                EventKind::Placed(placement) => extras.take().map(|extras| {
                    Update::Begun(unused(&placement.signature, &extras).into_iter().map(str::to_owned).collect())
                }),
                _ => None,
            };
            let workshop = workshop.clone();
            let update = async move {
                Some(match kind {
                    EventKind::Waiting { before } => Update::Waiting(index, before),
                    EventKind::Placed(placement) => Update::Placed(index, workshop.revealed(placement.space.name())),
                    EventKind::Progress(progress) => Update::Progress(index, progress),
                    EventKind::Failed(refusal) => Update::Failed(index, refusal.into()),
                    EventKind::Made(Made { item, space, timing }) => {
                        Update::Made(Item { space: workshop.revealed(space.name()), timing, ..item })
                    }
                    // A preview that is gone before it was fetched is no loss.
                    EventKind::Partial(image) => {
                        Update::Partial(index, chosen?, workshop.item(format, None, index, *image).await.ok()?)
                    }
                })
            };
            iter([begun.map(|begun| ready(Some(begun)).left_future()), Some(update.right_future())]).filter_map(ready)
        });
        let mut order = Order::default();
        ready_to_go
            .buffer_unordered(FETCHES_AT_ONCE)
            .filter_map(move |update| ready(update.filter(|update| order.allows(update))))
            .boxed_local()
    }

    /// A Space's name, if clients may know it.
    fn revealed(&self, name: &str) -> Option<Rc<str>> {
        self.reveal_spaces.then(|| Rc::from(name))
    }

    /// Fetches an image, or makes a link of it, as the request asks.
    async fn item(
        &self,
        format: ResponseFormat,
        wanted: Option<TargetFormat>,
        index: u32,
        image: Image,
    ) -> Result<Item, Failure> {
        let seed = image.seed.get();
        let limit = self.max_image_bytes;
        let file = match &image.picture {
            Picture::File(file) => Some(file.clone()),
            Picture::Inline(_) => None,
        };
        let as_wanted = |(format, bytes)| match wanted {
            Some(wanted) => transcode(bytes, format, wanted),
            None => Ok((format, bytes)),
        };
        let (format, payload) = match (format, image.picture) {
            (ResponseFormat::Url, Picture::File(file)) => {
                let wanted = conversion(&file, wanted);
                let own = Format::of_name(&file.path);
                (wanted.map(|wanted| wanted.format).or(own), Payload::Url(self.links.to(&file, wanted)))
            }
            (ResponseFormat::Url, Picture::Inline(bytes)) => {
                let (format, bytes) = as_wanted(image::inline(bytes, limit)?)?;
                (Some(format), Payload::DataUrl(format, bytes))
            }
            (ResponseFormat::Base64, Picture::Inline(bytes)) => {
                let (format, bytes) = as_wanted(image::inline(bytes, limit)?)?;
                (Some(format), Payload::Bytes(bytes))
            }
            (ResponseFormat::Base64, Picture::File(file)) => {
                let client = self.dispatcher.client().for_space(&image.space);
                let (format, bytes) = as_wanted(image::fetch(&client, &file, limit).await?)?;
                (Some(format), Payload::Bytes(bytes))
            }
        };
        let size = match &payload {
            Payload::Bytes(bytes) | Payload::DataUrl(_, bytes) => image::size(bytes).or(image.size),
            Payload::Url(_) => image.size,
        };
        Ok(Item { index, seed, size, format, payload, file, space: None, timing: Timing::default() })
    }
}

/// The format that a link to `file` converts it to on the way, where one is wanted.
pub fn conversion(file: &RemoteFile, wanted: Option<TargetFormat>) -> Option<TargetFormat> {
    let own = Format::of_name(&file.path);
    // What has the format by its name, or one that isn't read, needs no conversion on the way.
    let is_read = matches!(own, None | Some(Format::Png | Format::Webp));
    wanted.filter(|wanted| is_read && own != Some(wanted.format))
}

/// Waits for a first sign of life, for some seconds at most, and returns all updates.
///
/// # Errors
/// Where all images have failed by then: the reason for the first.
pub async fn begun(host: &Host, mut updates: Updates) -> Result<Updates, Error> {
    let mut seen = Vec::new();
    let mut first_error = None;
    let look = async {
        while let Some(update) = updates.next().await {
            match &update {
                Update::Failed(_, error) => first_error = first_error.take().or_else(|| Some(error.clone())),
                Update::Begun(_)
                | Update::Waiting(..)
                | Update::Placed(..)
                | Update::Progress(_, Progress::Joined(_)) => {}
                Update::Progress(..) | Update::Partial(..) | Update::Made(_) => {
                    seen.push(update);
                    return true;
                }
            }
            seen.push(update);
        }
        false
    };
    match timeout(host, GRACE, look).await {
        Ok(false) => Err(first_error.unwrap_or_else(|| Failure::NoImage.into())),
        Ok(true) | Err(_) => Ok(iter(seen).chain(updates).boxed_local()),
    }
}

/// Which of the images in the making are shown.
///
/// Where a Space tells how far it is, they are spread evenly over its work; else the first ones are.
struct Partials {
    /// How many of each image.
    most: u32,
    images: HashMap<u32, Shown>,
}

#[derive(Default)]
struct Shown {
    count: u32,
    last: Option<Picture>,
    /// How much of the work is done, from 0 to 1.
    done: Option<f64>,
}

impl Partials {
    fn new(most: u32) -> Self {
        Self { most, images: HashMap::new() }
    }

    /// If it is an image in the making that is to be shown: how many of its image came before.
    fn choose<T>(&mut self, index: u32, kind: &EventKind<T>) -> Option<u32> {
        if self.most == 0 {
            return None;
        }
        let shown = self.images.entry(index).or_default();
        match kind {
            EventKind::Progress(Progress::Step(step)) => {
                shown.done = step.done();
                None
            }
            EventKind::Partial(image) if shown.count < self.most && shown.last.as_ref() != Some(&image.picture) => {
                let due = f64::from(shown.count + 1) / f64::from(self.most + 1);
                if shown.done.is_some_and(|done| done < due) {
                    return None;
                }
                shown.last = Some(image.picture.clone());
                shown.count += 1;
                Some(shown.count - 1)
            }
            _ => None,
        }
    }
}

/// Fetches overtake each other. What would come too late is left out.
#[derive(Default)]
struct Order {
    ended: HashSet<u32>,
    partials: HashMap<u32, u32>,
}

impl Order {
    fn allows(&mut self, update: &Update) -> bool {
        match update {
            Update::Begun(_) => true,
            Update::Waiting(index, _) | Update::Placed(index, _) | Update::Progress(index, _) => {
                !self.ended.contains(index)
            }
            Update::Partial(index, number, _) => {
                let newest = self.partials.insert(*index, *number).is_none_or(|last| last < *number);
                newest && !self.ended.contains(index)
            }
            Update::Made(Item { index, .. }) | Update::Failed(index, _) => self.ended.insert(*index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Seed;
    use crate::generation::StepProgress;
    use crate::gradio::space::Space;

    fn partial(number: u8) -> EventKind<()> {
        let space = Space::parse("http://127.0.0.1:7860").unwrap();
        let picture = Picture::Inline(Bytes::copy_from_slice(&[number]));
        EventKind::Partial(Box::new(Image { space, picture, seed: Seed::of_bits([0; 4]), size: None }))
    }

    fn step(index: u64) -> EventKind<()> {
        EventKind::Progress(Progress::Step(StepProgress { index: Some(index), length: Some(8), fraction: None }))
    }

    #[test]
    fn images_in_the_making_are_spread_over_the_work_where_it_is_told() {
        let mut partials = Partials::new(3);
        let mut chosen = Vec::new();
        for number in 1..=8 {
            partials.choose(0, &step(number.into()));
            if let Some(count) = partials.choose(0, &partial(number)) {
                chosen.push((number, count));
            }
        }
        assert_eq!(chosen, [(2, 0), (4, 1), (6, 2)]);
        let mut untold = Partials::new(2);
        let chosen: Vec<_> = [1, 1, 2, 3].into_iter().map(|number| untold.choose(7, &partial(number))).collect();
        assert_eq!(chosen, [Some(0), None, Some(1), None], "the same one twice is one");
        assert_eq!(Partials::new(0).choose(0, &partial(1)), None);
    }

    #[test]
    fn nothing_follows_an_images_end() {
        let item = |index| Item {
            index,
            seed: 1,
            size: None,
            format: None,
            payload: Payload::Url(String::new()),
            file: None,
            space: None,
            timing: Timing::default(),
        };
        let mut order = Order::default();
        assert!(order.allows(&Update::Partial(0, 1, item(0))));
        assert!(!order.allows(&Update::Partial(0, 0, item(0))), "an older one");
        assert!(order.allows(&Update::Made(item(0))));
        assert!(!order.allows(&Update::Partial(0, 2, item(0))));
        assert!(!order.allows(&Update::Progress(0, Progress::Started(None))));
        assert!(order.allows(&Update::Progress(1, Progress::Started(None))));
    }
}
