//! Events of a generation: what becomes of each of its images.

use std::rc::Rc;
use std::time::Duration;

use futures::future::LocalBoxFuture;

use super::refusal::Refusal;
use crate::generation::{Seed, Size};
use crate::gradio::discovery::signature::Signature;
use crate::gradio::failure::Failure;
use crate::gradio::job::Progress;
use crate::gradio::result::Picture;
use crate::gradio::space::Space;

/// News of one of a generation's images.
#[derive(Debug)]
pub struct Event<T> {
    /// Number of the image, counted from 0.
    pub index: u32,
    /// The news.
    pub kind: EventKind<T>,
}

/// News of an image.
#[derive(Debug)]
pub enum EventKind<T> {
    /// It waits here for a Space with room.
    Waiting {
        /// Number of others that are before it.
        before: usize,
    },
    /// It has been given to a Space. Another may follow, where this one fails.
    Placed(Placement),
    /// It is on its way there.
    Progress(Progress),
    /// It is being made, and looks like this by now.
    Partial(Box<Image>),
    /// It is made. Nothing more follows for it.
    Made(Made<T>),
    /// It won't be made. Nothing more follows for it.
    Failed(Refusal),
}

/// The Space that an image is given to.
#[derive(Clone, Debug)]
pub struct Placement {
    /// It.
    pub space: Space,
    /// Inputs and outputs of its function.
    pub signature: Rc<Signature>,
}

/// An image that is made.
#[derive(Debug)]
pub struct Made<T> {
    /// The image as it was delivered.
    pub item: T,
    /// Space that made it.
    pub space: Space,
    /// Times that it took.
    pub timing: Timing,
}

/// Times that an image took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Until the Space that made it got it.
    pub wait: Duration,
    /// In that Space's queue.
    pub queue: Duration,
    /// In its function.
    pub generate: Duration,
    /// Until it was here.
    pub fetch: Duration,
}

/// An image at a Space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Space that made it.
    pub space: Space,
    /// The image, or where it lies.
    pub picture: Picture,
    /// The seed that it was made from.
    pub seed: Seed,
    /// The size that was asked of the Space, where that can be told.
    pub size: Option<Size>,
}

/// Makes of an image at a Space what the request wants. What fails in it is held against the Space, and the image made
/// anew elsewhere.
pub type Deliver<T> = Rc<dyn Fn(u32, Image) -> LocalBoxFuture<'static, Result<T, Failure>>>;
