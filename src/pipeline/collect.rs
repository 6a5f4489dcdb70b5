//! Wait for all images of a request.

use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt as _;

use super::item::{Course, Item};
use super::update::{Update, Updates};
use crate::error::Error;
use crate::gradio::failure::Failure;
use crate::platform::Host;

/// Logs an image that could not be made.
pub type ErrorLog = Rc<dyn Fn(&Error)>;

/// Images of a request that has ended: at least one.
pub struct Collected {
    /// Images by their index, each with the time at which it was there, in the host's monotonic time.
    pub made: Vec<(Item, Duration)>,
    /// Failures by the image's index.
    pub errors: Vec<(u32, Error)>,
    /// The request's fields that changed nothing.
    pub ignored: Vec<String>,
    /// Course of the image that was done last.
    pub course: Option<Course>,
}

/// Waits until all images are made or have failed. Failures beside images that are made are logged.
///
/// # Errors
/// The failure of the first, where none is made.
pub async fn collect(host: &Host, log: &ErrorLog, mut updates: Updates) -> Result<Collected, Error> {
    let mut all = Collected { made: Vec::new(), errors: Vec::new(), ignored: Vec::new(), course: None };
    while let Some(update) = updates.next().await {
        match update {
            Update::Ignored(fields) => all.ignored = fields,
            Update::Waiting(..) | Update::Placed(..) | Update::Progress(..) | Update::Partial(..) => {}
            Update::Made(item) => {
                all.course = Some(item.course());
                all.made.push((item, host.now()));
            }
            Update::Failed(index, error) => all.errors.push((index, error)),
        }
    }
    all.made.sort_unstable_by_key(|(item, _)| item.index);
    all.errors.sort_unstable_by_key(|(index, _)| *index);
    if all.made.is_empty() {
        return Err(all.errors.into_iter().next().map_or_else(no_image, |(_, error)| error));
    }
    all.errors.iter().for_each(|(_, error)| log(error));
    Ok(all)
}

/// Error of a request that has ended without an image and without a failure.
pub fn no_image() -> Error {
    Failure::NoImage.into()
}
