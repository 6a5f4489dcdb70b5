//! Run of a job at a Space, for a range of a request's images.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use super::event::Image;
use super::scheduler::SlotGuard;
use super::session::{SpaceCall, SpaceSession};
use crate::generation::{Generation, Seed, Size};
use crate::gradio::arguments::{Arguments, has_model};
use crate::gradio::client::Client;
use crate::gradio::cookies::CookieJar;
use crate::gradio::failure::Failure;
use crate::gradio::job::{Hold, Job, Progress};
use crate::gradio::result::{Picture, pictures, used_seed};

/// Run of a job at a Space for a range of images.
pub(super) struct SpaceRun {
    client: Client,
    /// Slot of the run at the Space.
    slot: Rc<SlotGuard>,
    session: Rc<SpaceSession>,
    call: SpaceCall,
    /// Marks a call by a profile that was refreshed in this run.
    is_refreshed: bool,
    generation: Rc<Generation>,
    /// Indexes of the images that it is to make.
    wanted: Range<u32>,
    job: Option<JobInFlight>,
    /// Set where previews of unfinished images are wanted.
    has_previews: bool,
}

/// A job at the Space.
struct JobInFlight {
    job: Box<Job>,
    seed: Seed,
    size: Option<Size>,
    /// Cookies by which the replica is found that has it.
    cookies: CookieJar,
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
    /// Finished images, at least one, and the durations of their job. Nothing follows.
    Made(Vec<Image>, Spent),
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
        wanted: Range<u32>,
        limit: Duration,
    ) -> Self {
        let client = session.client().with_token(slot.token()).within(limit);
        Self { client, slot, session, call, is_refreshed: false, generation, wanted, job: None, has_previews: true }
    }

    /// The run, with or without previews of unfinished images.
    pub(super) fn with_previews(self, has_previews: bool) -> Self {
        Self { has_previews, ..self }
    }

    /// Indexes of the images that it is to make.
    pub(super) fn wanted(&self) -> Range<u32> {
        self.wanted.clone()
    }

    /// Next step; the job is made again where its failure shows that the Space has changed.
    ///
    /// # Errors
    /// Failure of the job, which ends the run.
    pub(super) async fn next(&mut self) -> Result<Step, Failure> {
        loop {
            match self.step().await {
                Err(failure) if !self.is_refreshed && may_have_changed(&failure) => self.refresh_call(failure).await?,
                step => return step,
            }
        }
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
                    let began = running.began.unwrap_or(running.sent);
                    let generate = self.client.host().now().saturating_sub(began);
                    return Ok(Step::Made(made, Spent { queue: began.saturating_sub(running.sent), generate }));
                }
                Progress::Generating(outputs) => {
                    // A yield may have no image yet.
                    if let Ok(partial) = self.images(&running, &outputs) {
                        self.job = Some(running);
                        return Ok(Step::Partial(self.wanted().zip(partial.into_iter().map(Box::new)).collect()));
                    }
                }
                progress => {
                    self.job = Some(running);
                    return Ok(Step::Progress(self.wanted.start, progress));
                }
            }
        }
    }

    async fn start(&self) -> Result<JobInFlight, Failure> {
        let seed = self.generation.seed.plus(self.wanted.start);
        let count = self.wanted.end - self.wanted.start;
        if let Some(choice) = &self.generation.choice
            && !has_model(&self.call.signature, choice)
        {
            return Err(Failure::Unsupported(
                "This model's Space has no such choice. GET /v1/models lists those that it has.",
            ));
        }
        let uploaded = self.session.uploaded(&self.client, &self.call, &self.generation).await?;
        let files = &uploaded.files;
        let Arguments { data, size, seed } = Arguments::new(&self.call.signature, &self.generation, seed, count, files);
        self.slot.wait_for_stagger().await;
        let sent = self.client.host().now();
        let hold: Hold = Rc::<SlotGuard>::clone(&self.slot);
        let cookies = uploaded.cookies.copy();
        let client = self.client.with_cookies(&cookies);
        let mut job = Box::new(Job::submit(&client, &self.call.endpoint, &data, hold).await?);
        if !self.has_previews {
            job.skip_yields();
        }
        Ok(JobInFlight { job, seed, size, cookies, sent, began: None })
    }

    /// Images in the outputs of a job: at least one.
    fn images(&self, running: &JobInFlight, outputs: &[serde_json::Value]) -> Result<Vec<Image>, Failure> {
        let signature = &self.call.signature;
        let mut found = pictures(&self.call.base, self.client.image_hosts(), signature, outputs)?;
        for picture in &mut found {
            if let Picture::Inline(bytes) = picture {
                // The event that it came in gives as much back in a moment.
                *bytes = self.client.host().memory().take(bytes.len()).hold(std::mem::take(bytes));
            }
        }
        let used = used_seed(signature, outputs).unwrap_or(running.seed);
        let image = |(picture, offset)| {
            let (space, cookies) = (self.session.member.space.clone(), running.cookies.clone());
            Image { space, picture, seed: used.plus(offset), size: running.size, cookies }
        };
        Ok(found.into_iter().zip(0..).map(image).collect())
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
