//! Character of a simulated Space, its health, and the ends of its jobs.

/// Health of a Space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It works.
    Up,
    /// Nobody answers. Its queue is lost.
    Down,
    /// It answers with a page that isn't Gradio's.
    Asleep,
    /// Every call is answered with a 500.
    Broken,
    /// It takes jobs, and never begins with them.
    Stuck,
}

/// End of a job that the Space has begun with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Image,
    /// The prompt is rejected.
    Rejected,
    /// The function raises an exception.
    Crash,
    /// The stream breaks off half-way.
    Cut,
    /// The stream falls silent half-way.
    Stall,
    /// The image is none.
    Lie,
    /// The image isn't there.
    Gone,
    /// The GPU quota is used up, for so many seconds.
    Quota(u64),
}

/// Character of a Space.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    /// Seconds for a unit of work: a megapixel in one step.
    pub speed: f64,
    /// Jobs that run at once.
    pub at_once: usize,
    /// Jobs that may wait.
    pub room: usize,
    /// Jobs of a thousand that end otherwise than with an image.
    pub bad_per_mille: u64,
}
