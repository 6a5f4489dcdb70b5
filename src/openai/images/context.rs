//! Fields of a request that its answer repeats.

use crate::generation::Purpose;
use crate::openai::image_request::{Echo, ImageRequest, Streaming};
use crate::openai::usage::Usage;

/// Fields of a request that its answer repeats.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImagesContext {
    /// Time of the request, in seconds since the Unix epoch.
    pub(super) created: u64,
    pub(super) count: u32,
    pub(super) usage: Usage,
    pub(super) purpose: Purpose,
    pub(super) echo: Echo,
    pub(super) streaming: Streaming,
}

impl ImagesContext {
    /// Context of a request at `created`, in seconds since the Unix epoch.
    pub(super) fn of(request: &ImageRequest, created: u64) -> Self {
        let generation = &request.generation;
        let sent = generation.images.len() + generation.mask.iter().len();
        Self {
            created,
            count: generation.count,
            usage: Usage::new(&generation.prompt, sent, 0, ""),
            purpose: request.purpose,
            echo: request.echo,
            streaming: request.streaming,
        }
    }
}
