//! Updates of a request's images.

use std::rc::Rc;

use futures::stream::LocalBoxStream;

use super::item::Item;
use super::progress::ImageProgress;
use crate::error::Error;

/// Update of a request's images. Each image ends with `Made` or `Failed`.
#[derive(Debug)]
pub enum Update {
    /// Fields of the request that change nothing, as they name no parameter of the Space; once, at the first Space.
    Ignored(Vec<String>),
    /// The image of that index waits here for a Space with room, behind that many others.
    Waiting(u32, usize),
    /// The image of that index has been given to a Space, whose name clients may know.
    Placed(u32, Option<Rc<str>>),
    /// Progress of the image of that index.
    Progress(u32, ImageProgress),
    /// A partial image: its index, and the number of those that came before this one.
    Partial(u32, u32, Item),
    /// An image.
    Made(Item),
    /// The image of that index won't be made.
    Failed(u32, Error),
}

/// Updates, as they happen. Dropping them cancels what is still being made.
pub type Updates = LocalBoxStream<'static, Update>;
