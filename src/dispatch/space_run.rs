//! Run of jobs at one Space, one after another, until a range of a request's images is made.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use super::event::Image;
use super::scheduler::SlotGuard;
use super::session::{SpaceCall, SpaceSession};
use crate::generation::{Generation, Seed, Size};
use crate::gradio::arguments::Arguments;
use crate::gradio::client::Client;
use crate::gradio::failure::Failure;
use crate::gradio::job::{Hold, Job, Progress};
use crate::gradio::result::{Picture, pictures, used_seed};

/// Run of jobs at a Space for a range of images.
pub(super) struct SpaceRun {
    client: Client,
    /// Slot of the run at the Space.
    slot: Rc<SlotGuard>,
    session: Rc<SpaceSession>,
    call: SpaceCall,
    /// Marks a call by a profile that was refreshed in this run.
    is_refreshed: bool,
    generation: Rc<Generation>,
    /// Indexes of images that are still to be made.
    left: Range<u32>,
    job: Option<JobInFlight>,
    /// Set where previews of unfinished images are wanted.
    has_previews: bool,
}

/// A job at the Space.
struct JobInFlight {
    job: Box<Job>,
    seed: Seed,
    size: Option<Size>,
    /// Time of submission, monotonic.
    sent: Duration,
    /// Time of its start, monotonic; none while it is queued.
    began: Option<Duration>,
}

/// Step of a run.
#[derive(Debug)]
pub(super) enum Step {
    /// Progress of the job that makes the image of that index.
    Progress(u32, Progress),
    /// Previews of unfinished images, by index.
    Partial(Vec<(u32, Box<Image>)>),
    /// Finished images by index, at least one, and the durations of their job.
    Made(Vec<(u32, Box<Image>)>, Spent),
}

/// Durations of a job at the Space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    /// From submission to start, the calls included.
    pub(super) queue: Duration,
    /// From start to end.
    pub(super) generate: Duration,
}

impl SpaceRun {
    pub(super) fn new(
        slot: Rc<SlotGuard>,
        session: Rc<SpaceSession>,
        call: SpaceCall,
        generation: Rc<Generation>,
        left: Range<u32>,
        limit: Duration,
    ) -> Self {
        let client = session.client().with_token(slot.token()).within(limit);
        Self { client, slot, session, call, is_refreshed: false, generation, left, job: None, has_previews: true }
    }

    /// The run, with or without previews of unfinished images.
    pub(super) fn with_previews(self, has_previews: bool) -> Self {
        Self { has_previews, ..self }
    }

    /// Indexes of images that are still to be made.
    pub(super) fn left(&self) -> Range<u32> {
        self.left.clone()
    }

    /// Next step, or none once all images are made.
    ///
    /// # Errors
    /// Failure of a job, which ends the run.
    pub(super) async fn next(&mut self) -> Result<Option<Step>, Failure> {
        while !self.left.is_empty() {
            match self.step().await {
                Ok(step) => return Ok(Some(step)),
                Err(failure) if !self.is_refreshed && may_have_changed(&failure) => self.refresh_call(failure).await?,
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
                running.began = Some(self.client.host().now());
            }
            match progress {
                Progress::Finished(outputs) => {
                    let made = self.images(&running, &outputs)?;
                    self.left.start += u32::try_from(made.len()).unwrap_or(u32::MAX);
                    let began = running.began.unwrap_or(running.sent);
                    let generate = self.client.host().now().saturating_sub(began);
                    return Ok(Step::Made(made, Spent { queue: began.saturating_sub(running.sent), generate }));
                }
                Progress::Generating(outputs) => {
                    // A yield may have no image yet.
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

    async fn start(&self) -> Result<JobInFlight, Failure> {
        let seed = self.generation.seed.plus(self.left.start);
        let count = self.left.end - self.left.start;
        let uploaded = self.session.uploaded(&self.client, &self.call, &self.generation).await?;
        let Arguments { data, size } = Arguments::new(&self.call.signature, &self.generation, seed, count, &uploaded);
        self.slot.wait_for_stagger().await;
        let sent = self.client.host().now();
        let hold: Hold = Rc::<SlotGuard>::clone(&self.slot);
        let mut job = Box::new(Job::submit(&self.client, &self.call.endpoint, &data, hold).await?);
        if !self.has_previews {
            job.skip_yields();
        }
        Ok(JobInFlight { job, seed, size, sent, began: None })
    }

    /// Images in the outputs of a job, by index: at least one, and no more than are still to be made.
    fn images(&self, running: &JobInFlight, outputs: &[serde_json::Value]) -> Result<Vec<(u32, Box<Image>)>, Failure> {
        let signature = &self.call.signature;
        let mut found = pictures(&self.call.base, signature, outputs)?;
        for picture in &mut found {
            if let Picture::Inline(bytes) = picture {
                // The event that it came in gives as much back in a moment.
                *bytes = self.client.host().memory().take(bytes.len()).hold(std::mem::take(bytes));
            }
        }
        let used = used_seed(signature, outputs).unwrap_or(running.seed);
        let image = |(picture, offset)| {
            let (space, seed) = (self.session.member.space.clone(), used.plus(offset));
            Box::new(Image { space, picture, seed, size: running.size })
        };
        Ok((self.left.start..self.left.end).zip(found.into_iter().zip(0..).map(image)).collect())
    }

    /// Refreshes the profile after a failure that a changed Space may have caused; fails unless the call has changed.
    async fn refresh_call(&mut self, failure: Failure) -> Result<(), Failure> {
        self.is_refreshed = true;
        match self.session.refreshed().await {
            Ok(call) if !call.is_as(&self.call) => {
                self.call = call;
                Ok(())
            }
            // A Space that has gone to sleep meanwhile is the better explanation.
            Err(now @ Failure::NotReady { .. }) => Err(now),
            Ok(_) | Err(_) => Err(failure),
        }
    }
}

/// True for failures that a changed Space causes: another function has the number, or another replica answers.
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
