//! Which Space makes which image, and when.
//!
//! A [`Generation`] of n images becomes n jobs; [`Dispatcher::run`] follows them all and tells what happens as one stream,
//! which the API's waiting and streaming answers are two ways to write. At most [`JOBS_AT_ONCE`] jobs of a request run at
//! the same time, as a Space has few GPUs and a queue that is not only ours.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{LocalBoxFuture, Shared};
use futures::stream::{self, Stream, StreamExt as _, unfold};

use crate::generation::{Generation, Seed};
use crate::gradio::client::Client;
use crate::gradio::config::{Base, Config, Endpoint};
use crate::gradio::failure::Failure;
use crate::gradio::file::RemoteFile;
use crate::gradio::job::{Job, Progress};
use crate::gradio::space::{Origin, Space};
use crate::gradio::turbo;

/// How many jobs of one request run at the same time.
const JOBS_AT_ONCE: usize = 2;
/// How long a Space's configuration is taken for granted. It changes when the Space is restarted or changed, which a failing
/// call shows too.
const CONFIG_TTL: Duration = Duration::from_secs(300);

/// Runs generations on Spaces.
pub struct Dispatcher {
    client: Client,
    configs: RefCell<HashMap<Origin, (Duration, Rc<Config>)>>,
}

/// What happens to one of a generation's images.
#[derive(Debug)]
pub struct Event {
    /// Which image, counted from 0.
    pub index: u32,
    /// What.
    pub kind: EventKind,
}

/// What happens to an image.
#[derive(Debug)]
pub enum EventKind {
    /// It is on its way.
    Progress(Progress),
    /// It is made. Nothing more follows for it.
    Made(Image),
    /// It won't be made. Nothing more follows for it.
    Failed(Failure),
}

/// An image that a Space has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Where it lies.
    pub file: RemoteFile,
    /// The seed that it was made from.
    pub seed: Seed,
}

/// A Space's endpoint, asked for once for all images of a request.
type SharedEndpoint = Shared<LocalBoxFuture<'static, Result<Endpoint, Failure>>>;

/// Where the making of one image stands.
enum Stage {
    Waiting(SharedEndpoint),
    Running(Base, Box<Job>),
    Over,
}

impl Dispatcher {
    /// A dispatcher that calls Spaces through `client`.
    pub fn new(client: Client) -> Self {
        Self { client, configs: RefCell::default() }
    }

    /// What it calls Spaces through.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Makes the images of `generation` on `space`. Each image ends with [`EventKind::Made`] or [`EventKind::Failed`];
    /// dropping the stream cancels the jobs that have not.
    pub fn run(self: Rc<Self>, space: Space, generation: Generation) -> impl Stream<Item = Event> {
        let generation = Rc::new(generation);
        let count = generation.count;
        let endpoint = {
            let (this, space) = (Rc::clone(&self), space.clone());
            async move { this.endpoint(&space).await }.boxed_local().shared()
        };
        let images = (0..count).map(move |index| {
            let image = Rc::clone(&self).make(space.clone(), endpoint.clone(), Rc::clone(&generation), index);
            image.boxed_local()
        });
        stream::iter(images).flatten_unordered(JOBS_AT_ONCE)
    }

    /// Makes image number `index`.
    fn make(
        self: Rc<Self>,
        space: Space,
        endpoint: SharedEndpoint,
        generation: Rc<Generation>,
        index: u32,
    ) -> impl Stream<Item = Event> {
        let seed = generation.seed.plus(index);
        unfold(Stage::Waiting(endpoint), move |stage| {
            let (this, space, generation) = (Rc::clone(&self), space.clone(), Rc::clone(&generation));
            async move {
                let mut stage = stage;
                loop {
                    let (next, event) = match stage {
                        Stage::Over => return None,
                        Stage::Waiting(endpoint) => match this.submit(endpoint, &generation, seed).await {
                            Ok((base, job)) => {
                                stage = Stage::Running(base, Box::new(job));
                                continue;
                            }
                            Err(failure) => (Stage::Over, EventKind::Failed(failure)),
                        },
                        Stage::Running(base, mut job) => match job.next().await {
                            Ok(Progress::Finished(outputs)) => (Stage::Over, result(&base, &outputs, seed)),
                            Ok(progress) => (Stage::Running(base, job), EventKind::Progress(progress)),
                            Err(failure) => (Stage::Over, EventKind::Failed(failure)),
                        },
                    };
                    if let EventKind::Failed(failure) = &event {
                        this.learn(&space, failure);
                    }
                    return Some((Event { index, kind: event }, next));
                }
            }
        })
    }

    async fn submit(
        &self,
        endpoint: SharedEndpoint,
        generation: &Generation,
        seed: Seed,
    ) -> Result<(Base, Job), Failure> {
        let endpoint = endpoint.await?;
        let arguments =
            turbo::Arguments { prompt: &generation.prompt, size: generation.size, seed, steps: generation.steps };
        let job = Job::submit(&self.client, &endpoint, &arguments.data()).await?;
        Ok((endpoint.base, job))
    }

    /// The endpoint of `space` that makes images, from its configuration, which is asked for where it isn't known.
    async fn endpoint(&self, space: &Space) -> Result<Endpoint, Failure> {
        let now = self.client.outside().now();
        let known = self
            .configs
            .borrow()
            .get(space.origin())
            .filter(|(until, _)| *until > now)
            .map(|(_, config)| Rc::clone(config));
        let config = match known {
            Some(config) => config,
            None => {
                let config = Rc::new(Config::fetch(&self.client, space).await?);
                let until = self.client.outside().now() + CONFIG_TTL;
                self.configs.borrow_mut().insert(space.origin().clone(), (until, Rc::clone(&config)));
                config
            }
        };
        config
            .endpoint(turbo::API_NAME)
            .ok_or_else(|| Failure::Unreadable(format!("it has no endpoint {}", turbo::API_NAME)))
    }

    /// Forgets the configuration of a Space whose failure shows that it may have changed.
    fn learn(&self, space: &Space, failure: &Failure) {
        if matches!(
            failure,
            Failure::Status { .. } | Failure::Queue { .. } | Failure::Transport(_) | Failure::Unreadable(_)
        ) {
            self.configs.borrow_mut().remove(space.origin());
        }
    }
}

/// What a finished job has made.
fn result(base: &Base, outputs: &[serde_json::Value], seed: Seed) -> EventKind {
    match RemoteFile::of_output(base, outputs.first()) {
        Ok(file) => EventKind::Made(Image { file, seed: turbo::used_seed(outputs).unwrap_or(seed) }),
        Err(failure) => EventKind::Failed(failure),
    }
}
