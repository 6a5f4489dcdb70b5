//! Events of a generation's images.

use std::rc::Rc;
use std::time::Duration;

use futures::future::LocalBoxFuture;

use super::refusal::Refusal;
use crate::generation::{Seed, Size};
use crate::gradio::cookies::CookieJar;
use crate::gradio::discovery::signature::Signature;
use crate::gradio::failure::Failure;
use crate::gradio::job::Progress;
use crate::gradio::result::Picture;
use crate::gradio::space::Space;

/// An event of one of a generation's images.
#[derive(Debug)]
pub struct Event<T> {
    /// Index of the image, from 0.
    pub index: u32,
    /// Kind of the event, with its data.
    pub kind: EventKind<T>,
}

/// Kind of an image's event.
#[derive(Debug)]
pub enum EventKind<T> {
    /// The image waits here for a Space with room.
    Waiting {
        /// Number of jobs ahead of it.
        before: usize,
    },
    /// The image was assigned to a Space. Another assignment follows where this one fails.
    Placed(Placement),
    /// Progress of the image's job at the Space.
    Progress(Progress),
    /// Preview of the unfinished image.
    Partial(Box<Image>),
    /// The image is made. Last event of the image.
    Made(Made<T>),
    /// The image won't be made. Last event of the image.
    Failed(Refusal),
}

impl<T> EventKind<T> {
    /// True for news that a later event replaces.
    pub(super) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Waiting { .. } | Self::Progress(Progress::Queued(_) | Progress::Step(_)) | Self::Partial(_)
        )
    }

    /// True where `old`, an earlier event of the same image, need not be told any more.
    pub(super) fn supersedes(&self, old: &Self) -> bool {
        let is_of_job =
            |old: &Self| old.is_passing() || matches!(old, Self::Progress(Progress::Joined(_) | Progress::Started(_)));
        match self {
            // It is another attempt, of which all before says nothing.
            Self::Placed(_) => is_of_job(old) || matches!(old, Self::Placed(_)),
            Self::Progress(Progress::Joined(_)) => is_of_job(old),
            Self::Progress(Progress::Started(_)) => matches!(old, Self::Progress(Progress::Started(_))),
            // The only ones that are large.
            Self::Partial(_) => matches!(old, Self::Partial(_)),
            Self::Made(_) | Self::Failed(_) => old.is_passing(),
            Self::Waiting { .. } | Self::Progress(_) => false,
        }
    }
}

/// Assignment of an image to a Space.
#[derive(Clone, Debug)]
pub struct Placement {
    /// The Space.
    pub space: Space,
    /// Inputs and outputs of its function.
    pub signature: Rc<Signature>,
}

/// A finished image.
#[derive(Debug)]
pub struct Made<T> {
    /// The image as it was delivered.
    pub item: T,
    /// Space that made it.
    pub space: Space,
    /// Durations of its phases.
    pub timing: Timing,
}

/// Durations of an image's phases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// From the request to the assignment to the Space that made it.
    pub wait: Duration,
    /// In that Space's queue.
    pub queue: Duration,
    /// In its function.
    pub generate: Duration,
    /// From the end of the function to the end of the download.
    pub fetch: Duration,
}

/// An image at a Space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Space that made it.
    pub space: Space,
    /// Contents or location of the image.
    pub picture: Picture,
    /// Seed of the image.
    pub seed: Seed,
    /// Size that the Space was asked for, if its function takes one.
    pub size: Option<Size>,
    /// Cookies of its job, by which its file is found among replicas.
    pub cookies: CookieJar,
}

/// Converts an image at a Space into the form that the request wants. A failure counts against the Space, and the image
/// is made again elsewhere.
pub type Deliver<T> = Rc<dyn Fn(u32, Image) -> LocalBoxFuture<'static, Result<T, Failure>>>;
