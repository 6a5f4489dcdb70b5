//! Wait for the first sign of life of a streaming answer.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::iter;

use super::collect::no_image;
use super::progress::ImageProgress;
use super::update::{Update, Updates};
use crate::error::Error;
use crate::platform::{Host, timeout};

/// Time that a streaming answer waits for it before it begins: until then, an error can be an HTTP error.
const GRACE: Duration = Duration::from_secs(5);

/// Waits for a first sign of life, for some seconds at most, and returns all updates.
///
/// # Errors
/// The reason for the first, where all images have failed by then.
pub async fn await_first_update(host: &Host, mut updates: Updates) -> Result<Updates, Error> {
    let mut seen = Vec::new();
    let mut first_error = None;
    let look = async {
        while let Some(update) = updates.next().await {
            match &update {
                Update::Failed(_, error) => first_error = first_error.take().or_else(|| Some(error.clone())),
                Update::Ignored(_)
                | Update::Waiting(..)
                | Update::Placed(..)
                | Update::Progress(_, ImageProgress::Joined(_)) => {}
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
        Ok(false) => Err(first_error.unwrap_or_else(no_image)),
        Ok(true) | Err(_) => Ok(iter(seen).chain(updates).boxed_local()),
    }
}
