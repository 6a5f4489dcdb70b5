//! Making some of a request's images on one Space, by one job after another until all are there.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use super::{Event, EventKind, Image, Maker, SharedMaker, SharedUpload, upload};
use crate::generation::{Generation, Seed, Size};
use crate::gradio::arguments::Arguments;
use crate::gradio::client::Client;
use crate::gradio::failure::Failure;
use crate::gradio::job::{Job, Progress};
use crate::gradio::result::{pictures, used_seed};

/// The making of some images.
pub(super) struct Work {
    client: Client,
    maker: Maker,
    uploaded: SharedUpload,
    /// The maker as it is when it is asked anew; taken once that has been done.
    again: Option<SharedMaker>,
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
}

impl Work {
    pub(super) fn new(
        client: Client,
        maker: Maker,
        uploaded: SharedUpload,
        again: SharedMaker,
        generation: Rc<Generation>,
        left: Range<u32>,
    ) -> Self {
        Self { client, maker, uploaded, again: Some(again), generation, left, job: None }
    }

    /// What happens next, or `None` when all images are made or failed.
    pub(super) async fn next(&mut self) -> Option<VecDeque<Event>> {
        if self.left.is_empty() {
            return None;
        }
        match self.step().await {
            Ok(events) => Some(events),
            Err(failure) => match self.again.take().filter(|_| may_have_changed(&failure)) {
                Some(again) => Some(self.try_again(again, failure).await),
                None => Some(self.fail(&failure)),
            },
        }
    }

    async fn step(&mut self) -> Result<VecDeque<Event>, Failure> {
        let mut running = match self.job.take() {
            Some(running) => running,
            None => self.start().await?,
        };
        match running.job.next().await? {
            Progress::Finished(outputs) => {
                let made = self.images(&running, &outputs)?;
                self.left.start += u32::try_from(made.len()).unwrap_or(u32::MAX);
                Ok(made.into_iter().map(|(index, image)| Event { index, kind: EventKind::Made(image) }).collect())
            }
            Progress::Generating(outputs) => {
                // A yield may well have no image yet.
                let partial = self.images(&running, &outputs).unwrap_or_default();
                self.job = Some(running);
                Ok(partial.into_iter().map(|(index, image)| Event { index, kind: EventKind::Partial(image) }).collect())
            }
            progress => {
                self.job = Some(running);
                Ok(self
                    .left
                    .clone()
                    .take(1)
                    .map(|index| Event { index, kind: EventKind::Progress(progress.clone()) })
                    .collect())
            }
        }
    }

    async fn start(&self) -> Result<Running, Failure> {
        let seed = self.generation.seed.plus(self.left.start);
        let count = self.left.end - self.left.start;
        let uploaded = self.uploaded.clone().await?;
        let Arguments { data, size } = Arguments::new(&self.maker.signature, &self.generation, seed, count, &uploaded);
        let job = Box::new(Job::submit(&self.client, &self.maker.endpoint, &data).await?);
        Ok(Running { job, seed, size })
    }

    /// The images in a job's outputs, each with its place among those that are wanted: no more than are, at least one.
    fn images(&self, running: &Running, outputs: &[serde_json::Value]) -> Result<Vec<(u32, Box<Image>)>, Failure> {
        let signature = &self.maker.signature;
        let found = pictures(&self.maker.base, signature, outputs)?;
        let used = used_seed(signature, outputs).unwrap_or(running.seed);
        let image = |(picture, offset)| {
            let (space, seed) = (self.maker.seat.space.clone(), used.plus(offset));
            Box::new(Image { space, picture, seed, size: running.size })
        };
        Ok((self.left.start..self.left.end).zip(found.into_iter().zip(0..).map(image)).collect())
    }

    /// After a failure that a changed Space may have caused: asks what it is now, and goes on if it is something else.
    async fn try_again(&mut self, again: SharedMaker, failure: Failure) -> VecDeque<Event> {
        match again.await {
            Ok(maker) if !maker.is_as(&self.maker) => {
                // Another replica doesn't have what was uploaded to the first.
                if maker.base != self.maker.base {
                    self.uploaded = upload(self.client.clone(), maker.base.clone(), Rc::clone(&self.generation));
                }
                self.maker = maker;
                VecDeque::new()
            }
            Ok(_) => self.fail(&failure),
            // That it is asleep by now, say, tells more than that a call failed.
            Err(now @ Failure::NotReady { .. }) => self.fail(&now),
            Err(_) => self.fail(&failure),
        }
    }

    fn fail(&mut self, failure: &Failure) -> VecDeque<Event> {
        let failed = self.left.clone().map(|index| Event { index, kind: EventKind::Failed(failure.clone()) }).collect();
        self.left.start = self.left.end;
        failed
    }
}

/// Whether a Space that has changed could fail like this: another function has the number, or another replica answers.
fn may_have_changed(failure: &Failure) -> bool {
    match failure {
        Failure::Status { status, .. } => status.is_client_error() || status.as_u16() == 500,
        Failure::Queue { .. } | Failure::Crashed | Failure::Unreadable(_) => true,
        _ => false,
    }
}
