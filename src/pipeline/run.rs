//! The run of a request: dispatch, delivery, and the stream of updates.

use std::future::ready;
use std::rc::Rc;

use futures::stream::iter;
use futures::{FutureExt as _, StreamExt as _};

use super::delivery::Delivery;
use super::filter::UpdateFilter;
use super::item::Item;
use super::partials::Partials;
use super::progress::ImageProgress;
use super::request::RunRequest;
use super::update::{Update, Updates};
use crate::catalog::Model;
use crate::dispatch::{Deliver, Dispatcher, Event, EventKind, Made, RunOptions};
use crate::gradio::arguments::unused;
use crate::media::link::Links;
use crate::media::stored::KeptImages;
use crate::media::transcode::Converter;
use crate::trace_context::TraceContext;

/// Number of images that are fetched at the same time.
const FETCHES_AT_ONCE: usize = 4;

/// Observer of a run's events, in which the Spaces have the names that clients may not know.
pub type EventWatch = Rc<dyn Fn(&Event<Item>)>;

/// Makes the images of a request and delivers them.
#[derive(Clone)]
pub struct Pipeline {
    /// Dispatcher of jobs to Spaces.
    pub dispatcher: Rc<Dispatcher>,
    /// Converter of images to the wanted format.
    pub converter: Converter,
    /// Size of the largest image that is passed on, in bytes.
    pub max_image_bytes: usize,
    /// Links to images.
    pub links: Links,
    /// Keeper of images that come inline; `None` for a caller that keeps them itself.
    pub kept: Option<KeptImages>,
    /// True where clients may know the Space that made an image.
    pub reveal_spaces: bool,
    /// Owner of the request.
    pub caller: Rc<str>,
    /// Trace that the calls to Spaces belong to.
    pub trace: Option<TraceContext>,
    /// Observer of its events. It is dropped with them.
    pub watch: Option<EventWatch>,
}

impl Pipeline {
    /// Makes the images that `request` asks for with `model`, whose defaults fill in what it doesn't say.
    pub fn run(&self, model: &Model, mut request: RunRequest) -> Updates {
        model.fill(&mut request.generation);
        let wanted = request.wanted;
        let mut partials = Partials::new(request.partial_images);
        let mut extras = Some(request.generation.extras.clone());
        let delivery = Delivery {
            client: self.dispatcher.client().clone(),
            converter: self.converter.clone(),
            links: self.links.clone(),
            kept: self.kept.clone(),
            max_image_bytes: self.max_image_bytes,
            format: request.format,
            held: Rc::default(),
            trace: self.trace.clone(),
        };
        let deliver: Deliver<Item> = {
            let delivery = delivery.clone();
            Rc::new(move |index, image| {
                let delivery = delivery.clone();
                Box::pin(async move { delivery.item(wanted, index, image).await })
            })
        };
        let options = RunOptions {
            caller: Rc::clone(&self.caller),
            is_followed: request.is_followed,
            has_previews: request.partial_images > 0,
            trace: self.trace.clone(),
        };
        let events = self.dispatcher.run(&model.pool, request.purpose, request.generation, options, deliver);
        let reveal_spaces = self.reveal_spaces;
        let revealed = move |name: &str| reveal_spaces.then(|| Rc::from(name));
        let watch = self.watch.clone();
        let updates = events.flat_map(move |event| {
            if let Some(watch) = &watch {
                watch(&event);
            }
            let Event { index, kind } = event;
            let chosen = partials.choose(index, &kind);
            // What changes nothing at the first Space is reported; at another it may.
            let ignored = match &kind {
                EventKind::Placed(placement) => extras.take().map(|extras| {
                    Update::Ignored(unused(&placement.signature, &extras).into_iter().map(str::to_owned).collect())
                }),
                _ => None,
            };
            let update = match kind {
                EventKind::Waiting { before } => Some(Update::Waiting(index, before)),
                EventKind::Placed(placement) => Some(Update::Placed(index, revealed(placement.space.name()))),
                EventKind::Progress(progress) => {
                    ImageProgress::of_job(progress).map(|progress| Update::Progress(index, progress))
                }
                EventKind::Failed(refusal) => Some(Update::Failed(index, refusal.into_error(reveal_spaces))),
                EventKind::Made(Made { item, space, timing }) => {
                    Some(Update::Made(Item { space: revealed(space.name()), timing, ..item }))
                }
                EventKind::Partial(image) => {
                    let delivery = delivery.clone();
                    let fetched = async move {
                        // A preview that is gone before it was fetched is no loss.
                        Some(Update::Partial(index, chosen?, delivery.partial(index, *image).await.ok()?))
                    };
                    // In a box of its own, as it is far larger than the others, which are many.
                    return iter([None, Some(fetched.boxed_local().right_future())]).filter_map(ready);
                }
            };
            let [ignored, update] =
                [ignored, update].map(|update| update.map(|update| ready(Some(update)).left_future()));
            iter([ignored, update]).filter_map(ready)
        });
        let mut filter = UpdateFilter::default();
        updates
            .buffer_unordered(FETCHES_AT_ONCE)
            .filter_map(move |update| ready(update.filter(|update| filter.allows(update))))
            .boxed_local()
    }
}
