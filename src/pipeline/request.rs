//! Request for images, as the pipeline runs it.

use crate::generation::{Generation, Purpose, ResponseFormat, TargetFormat};

/// Request for images, as the pipeline runs it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRequest {
    /// Images that are to be made.
    pub generation: Generation,
    /// Purpose of the function that makes them.
    pub purpose: Purpose,
    /// Form in which they are delivered.
    pub format: ResponseFormat,
    /// File format that they are converted to; `None` for the Space's own.
    pub wanted: Option<TargetFormat>,
    /// True where the client follows the places of its images in the queue.
    pub is_followed: bool,
    /// Number of partial images that are shown of each image, at most.
    pub partial_images: u32,
}
