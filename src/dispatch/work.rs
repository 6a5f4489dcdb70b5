//! Making some of a request's images on one Space, by one job after another until all are there.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use super::event::Image;
use super::order::{Maker, Station};
use super::scheduler::SlotGuard;
use crate::generation::{Generation, Seed, Size};
use crate::gradio::arguments::Arguments;
use crate::gradio::client::Client;
use crate::gradio::failure::Failure;
use crate::gradio::job::{Hold, Job, Progress};
use crate::gradio::result::{pictures, used_seed};

/// The making of some images.
pub(super) struct Work {
    client: Client,
    /// Its slot at the Space.
    slot: Rc<SlotGuard>,
    station: Rc<Station>,
    maker: Maker,
    /// Whether the Space has been asked anew already.
    is_sure: bool,
    generation: Rc<Generation>,
    /// The images that are still to be made.
    left: Range<u32>,
    job: Option<Running>,
}

/// A job on its way.
struct Running {
    job: Box<Job>,
    seed: Seed,
    size: Option<Size>,
    /// When it was sent to the Space, in monotonic time.
    sent: Duration,
    /// When the Space began with it.
    began: Option<Duration>,
}

/// Next step in the making of some images.
#[derive(Debug)]
pub(super) enum Step {
    /// The image of that index is so far.
    Progress(u32, Progress),
    /// Images that are being made, by their indexes.
    Partial(Vec<(u32, Box<Image>)>),
    /// Images, by their indexes: one at least.
    Made(Vec<(u32, Box<Image>)>, Spent),
}

/// Time that a job has taken at the Space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    /// Until the Space began with it, the calls included.
    pub(super) queue: Duration,
    /// From then on.
    pub(super) generate: Duration,
}

impl Work {
    pub(super) fn new(
        slot: Rc<SlotGuard>,
        station: Rc<Station>,
        maker: Maker,
        generation: Rc<Generation>,
        left: Range<u32>,
        limit: Duration,
    ) -> Self {
        let client = station.client().with_token(slot.token()).within(limit);
        Self { client, slot, station, maker, is_sure: false, generation, left, job: None }
    }

    /// The images that are still to be made.
    pub(super) fn left(&self) -> Range<u32> {
        self.left.clone()
    }

    /// The next step, or `None` when all images are made.
    ///
    /// # Errors
    /// The failure of a job. No more can be had from this Space.
    pub(super) async fn next(&mut self) -> Result<Option<Step>, Failure> {
        while !self.left.is_empty() {
            match self.step().await {
                Ok(step) => return Ok(Some(step)),
                Err(failure) if !self.is_sure && may_have_changed(&failure) => self.ask_anew(failure).await?,
                Err(failure) => return Err(failure),
            }
        }
        Ok(None)
    }

    async fn step(&mut self) -> Result<Step, Failure> {
        let mut running = match self.job.take() {
            Some(running) => running,
            None => self.start().await?,
        };
        loop {
            let progress = running.job.next().await?;
            if running.began.is_none() && !matches!(progress, Progress::Joined(_) | Progress::Queued(_)) {
                running.began = Some(self.client.outside().now());
            }
            match progress {
                Progress::Finished(outputs) => {
                    let made = self.images(&running, &outputs)?;
                    self.left.start += u32::try_from(made.len()).unwrap_or(u32::MAX);
                    let began = running.began.unwrap_or(running.sent);
                    let generate = self.client.outside().now().saturating_sub(began);
                    return Ok(Step::Made(made, Spent { queue: began.saturating_sub(running.sent), generate }));
                }
                Progress::Generating(outputs) => {
                    // A yield may well have no image yet.
                    if let Ok(partial) = self.images(&running, &outputs) {
                        self.job = Some(running);
                        return Ok(Step::Partial(partial));
                    }
                }
                progress => {
                    self.job = Some(running);
                    return Ok(Step::Progress(self.left.start, progress));
                }
            }
        }
    }

    async fn start(&self) -> Result<Running, Failure> {
        let seed = self.generation.seed.plus(self.left.start);
        let count = self.left.end - self.left.start;
        let uploaded = self.station.uploaded(&self.client, &self.maker, &self.generation).await?;
        let Arguments { data, size } = Arguments::new(&self.maker.signature, &self.generation, seed, count, &uploaded);
        self.slot.comes_due().await;
        let sent = self.client.outside().now();
        let hold: Hold = Rc::<SlotGuard>::clone(&self.slot);
        let job = Box::new(Job::submit(&self.client, &self.maker.endpoint, &data, hold).await?);
        Ok(Running { job, seed, size, sent, began: None })
    }

    /// The images in a job's outputs, each with its place among those that are wanted: no more than are, at least one.
    fn images(&self, running: &Running, outputs: &[serde_json::Value]) -> Result<Vec<(u32, Box<Image>)>, Failure> {
        let signature = &self.maker.signature;
        let found = pictures(&self.maker.base, signature, outputs)?;
        let used = used_seed(signature, outputs).unwrap_or(running.seed);
        let image = |(picture, offset)| {
            let (space, seed) = (self.station.member.space.clone(), used.plus(offset));
            Box::new(Image { space, picture, seed, size: running.size })
        };
        Ok((self.left.start..self.left.end).zip(found.into_iter().zip(0..).map(image)).collect())
    }

    /// After a failure that a changed Space may have caused: asks what it is now, and goes on if it is something else.
    async fn ask_anew(&mut self, failure: Failure) -> Result<(), Failure> {
        self.is_sure = true;
        match self.station.anew().await {
            Ok(maker) if !maker.is_as(&self.maker) => {
                self.maker = maker;
                Ok(())
            }
            // That it is asleep by now, say, tells more than that a call failed.
            Err(now @ Failure::NotReady { .. }) => Err(now),
            Ok(_) | Err(_) => Err(failure),
        }
    }
}

/// Whether a Space that has changed could fail like this: another function has the number, or another replica answers.
fn may_have_changed(failure: &Failure) -> bool {
    match failure {
        Failure::Status { status, .. } => {
            let is_refusal = status.is_client_error() && *status != http::StatusCode::TOO_MANY_REQUESTS;
            is_refusal || status.as_u16() == 500
        }
        Failure::Queue { .. } | Failure::Crashed | Failure::Unreadable(_) => true,
        _ => false,
    }
}
