//! Which Space makes which image, and when.
//!
//! A [`Generation`] of n images becomes jobs, as many as the Space needs: one for each image, or fewer where one makes several. [`Dispatcher::run`]
//! follows them all and tells what happens as one stream, which the API's waiting and streaming answers are two ways to write. A
//! Space has at most as many jobs of a request at once as it has slots: it has few GPUs, and a queue that is not only ours.
//!
//! Of a model's Spaces the one with the greatest weight is taken, and the next where that can't be reached or doesn't run.

mod knowledge;
mod work;

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use futures::FutureExt as _;
use futures::future::{LocalBoxFuture, Shared};
use futures::stream::{self, LocalBoxStream, Stream, StreamExt as _, unfold};

pub use self::knowledge::Knowledge;
use self::work::Work;
use crate::catalog::{Model, Seat};
use crate::generation::{Generation, Seed, Size};
use crate::gradio::client::Client;
use crate::gradio::config::{Base, Endpoint};
use crate::gradio::discovery::Profile;
use crate::gradio::discovery::choose::Purpose;
use crate::gradio::discovery::role::{Kind, Role};
use crate::gradio::discovery::signature::{Output, Signature};
use crate::gradio::failure::Failure;
use crate::gradio::job::Progress;
use crate::gradio::result::Picture;
use crate::gradio::space::Space;
use crate::gradio::upload::Uploaded;

/// Runs generations on Spaces.
pub struct Dispatcher {
    client: Client,
    knowledge: Rc<Knowledge>,
}

/// What happens to one of a generation's images.
#[derive(Debug)]
pub struct Event {
    /// Which image, counted from 0.
    pub index: u32,
    /// What.
    pub kind: EventKind,
}

/// What happens to an image.
#[derive(Debug)]
pub enum EventKind {
    /// It is on its way.
    Progress(Progress),
    /// It is being made, and looks like this by now.
    Partial(Box<Image>),
    /// It is made. Nothing more follows for it.
    Made(Box<Image>),
    /// It won't be made. Nothing more follows for it.
    Failed(Failure),
}

/// An image that a Space has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Which Space made it.
    pub space: Space,
    /// The image, or where it lies.
    pub picture: Picture,
    /// The seed that it was made from.
    pub seed: Seed,
    /// The size that was asked of the Space, where that can be told.
    pub size: Option<Size>,
}

/// The Space that makes the images of a request, and what is known of it.
#[derive(Clone)]
pub struct Maker {
    seat: Seat,
    purpose: Purpose,
    base: Base,
    endpoint: Endpoint,
    /// What its function takes and gives.
    pub signature: Rc<Signature>,
}

impl Maker {
    fn new(seat: Seat, profile: Rc<Profile>, purpose: Purpose) -> Result<Self, Failure> {
        let skill = profile.skill(purpose)?;
        let (base, endpoint) = (profile.base(&seat.space), profile.endpoint(&seat.space, skill));
        Ok(Self { purpose, base, endpoint, signature: Rc::new(skill.signature.clone()), seat })
    }

    /// Whether it is called in the same way.
    fn is_as(&self, other: &Self) -> bool {
        self.endpoint == other.endpoint && self.signature == other.signature
    }
}

/// The request's images, uploaded once for all images of a request.
type SharedUpload = Shared<LocalBoxFuture<'static, Result<Rc<Uploaded>, Failure>>>;

/// It, found once for all images of a request.
type SharedMaker = Shared<LocalBoxFuture<'static, Result<Maker, Failure>>>;

impl Dispatcher {
    /// A dispatcher that calls Spaces through `client`.
    pub fn new(client: Client) -> Self {
        Self { client, knowledge: Rc::default() }
    }

    /// What it calls Spaces through.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What is known of Spaces.
    pub fn knowledge(&self) -> &Rc<Knowledge> {
        &self.knowledge
    }

    /// The first of the model's Spaces that works, and can do what is wanted.
    ///
    /// # Errors
    /// Where none does: the failure of the first.
    pub async fn maker(&self, model: &Model, purpose: Purpose) -> Result<Maker, Failure> {
        let mut seats: Vec<&Seat> = model.pool.iter().collect();
        seats.sort_by(|one, other| other.weight.total_cmp(&one.weight));
        let mut first = None;
        for seat in seats {
            let known = self.knowledge.of(&self.client, &seat.space).await;
            match known.and_then(|profile| Maker::new(seat.clone(), profile, purpose)) {
                Ok(maker) => return Ok(maker),
                Err(failure) => first = first.or(Some(failure)),
            }
        }
        Err(first.unwrap_or(Failure::NoImage))
    }

    /// Makes the images of `generation` with `maker`. Each image ends with [`EventKind::Made`] or [`EventKind::Failed`];
    /// dropping the stream cancels the jobs that have not.
    pub fn run(self: Rc<Self>, maker: Maker, generation: Generation) -> impl Stream<Item = Event> {
        let ranges = ranges(&maker.signature, generation.count);
        let slots = maker.seat.slots;
        let generation = Rc::new(generation);
        let uploaded = upload(self.client.for_space(&maker.seat.space), maker.base.clone(), Rc::clone(&generation));
        // A Space that has changed is asked once for all images.
        let again = {
            let (this, maker) = (Rc::clone(&self), maker.clone());
            async move {
                let profile = this.knowledge.learn(&this.client, &maker.seat.space).await?;
                Maker::new(maker.seat, profile, maker.purpose)
            }
        }
        .boxed_local()
        .shared();
        let works = ranges.into_iter().map(move |range| {
            let client = self.client.for_space(&maker.seat.space);
            events(Work::new(client, maker.clone(), uploaded.clone(), again.clone(), Rc::clone(&generation), range))
        });
        stream::iter(works).flatten_unordered(slots)
    }
}

/// Uploads the images of `generation` when first they are wanted.
fn upload(client: Client, base: Base, generation: Rc<Generation>) -> SharedUpload {
    async move { Uploaded::send(&client, &base, &generation.images, generation.mask.as_ref()).await.map(Rc::new) }
        .boxed_local()
        .shared()
}

/// Which images are made by one run of jobs: each by a job of its own where a job makes one; all in a row where a job makes several
/// and nobody knows how many.
fn ranges(signature: &Signature, count: u32) -> Vec<Range<u32>> {
    let images_at_once = signature.input(Role::Count).map(|input| {
        let greatest = input.maximum.filter(|_| input.kind == Kind::Number).unwrap_or(1.0);
        let greatest = format!("{:.0}", greatest.clamp(1.0, 64.0)).parse().unwrap_or(1);
        if input.kind == Kind::Choice { count } else { greatest }
    });
    let gallery = signature.outputs.contains(&Output::Gallery);
    let at_once = match images_at_once {
        Some(at_once) if gallery => at_once,
        None if gallery => count,
        _ => 1,
    };
    let step = usize::try_from(at_once).unwrap_or(1).max(1);
    (0..count).step_by(step).map(|start| start..count.min(start.saturating_add(at_once))).collect()
}

/// What happens in `work`, as it happens.
fn events(work: Work) -> LocalBoxStream<'static, Event> {
    unfold((work, VecDeque::new()), async |(mut work, mut waiting): (Work, VecDeque<Event>)| {
        while waiting.is_empty() {
            waiting = work.next().await?;
        }
        let event = waiting.pop_front()?;
        Some((event, (work, waiting)))
    })
    .boxed_local()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradio::discovery::signature::Input;

    fn ranges_of(outputs: &[Output], count_to: Option<f64>, count: u32) -> Vec<(u32, u32)> {
        let input = |greatest| Input {
            name: "num_images".into(),
            label: String::new(),
            kind: Kind::Number,
            role: Some(Role::Count),
            default: 1.into(),
            minimum: Some(1.0),
            maximum: Some(greatest),
            step: Some(1.0),
            choices: vec![],
        };
        let signature = Signature {
            inputs: count_to.map(input).into_iter().collect(),
            outputs: outputs.to_vec(),
            generator: false,
        };
        ranges(&signature, count).into_iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn a_job_makes_as_many_images_as_the_space_can() {
        assert_eq!(ranges_of(&[Output::Image], None, 3), [(0, 1), (1, 2), (2, 3)]);
        assert_eq!(ranges_of(&[Output::Gallery], Some(4.0), 10), [(0, 4), (4, 8), (8, 10)]);
        assert_eq!(ranges_of(&[Output::Gallery], None, 4), [(0, 4)]);
        assert_eq!(ranges_of(&[Output::Image], Some(4.0), 2), [(0, 1), (1, 2)], "one output holds one image");
        assert_eq!(ranges_of(&[Output::Gallery], Some(1e9), 5), [(0, 5)]);
    }
}
