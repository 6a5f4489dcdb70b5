//! A Gradio Space of the simulated world with a real queue: jobs wait there for each other and for strangers', take as
//! long as they are work, and the Space fails, falls asleep, fills up, dies and comes back on command.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::LocalBoxFuture;
use futures::stream::unfold;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

pub use super::nature::{End, Health, Nature};
use super::space::{answer, config, event, info, png};
use super::{SimServer, World};
use crate::platform::{Body, Inbound, Outbound, Platform as _, TransportError};

/// Interval at which a job's stream looks for something to send.
const TICK: Duration = Duration::from_millis(400);

/// A job as the Space sees it.
#[derive(Debug)]
pub struct QueuedJob {
    /// The prompt, which is `request index`.
    pub prompt: String,
    pub seed: u64,
    pub joined: Duration,
    /// Time at which the Space began with it.
    began: Cell<Option<Duration>>,
    /// Time at which it was over, for whatever reason.
    pub over: Cell<Option<Duration>>,
    /// Set once the Space has sent its end.
    pub ended: Cell<bool>,
    pub cancelled: Cell<bool>,
    pub streaming: Cell<bool>,
    pub streamed: Cell<bool>,
    pub end: End,
    work: f64,
}

/// The Space. Clones are the same.
#[derive(Clone)]
pub struct QueueSpace(Rc<QueueSpaceInner>);

struct QueueSpaceInner {
    origin: String,
    nature: Nature,
    health: Cell<Health>,
    /// Counts its deaths: what was there before is lost.
    life: Cell<u64>,
    jobs: RefCell<BTreeMap<String, Rc<QueuedJob>>>,
    /// Jobs that wait, in order.
    line: RefCell<Vec<String>>,
    running: RefCell<Vec<String>>,
    /// Measurement: the most of our jobs that were there at once.
    most_at_once: Cell<usize>,
    /// The end that all jobs come to, where a test says so.
    fixed_end: Cell<Option<End>>,
    /// Time at which it has last said that its quota is used up, and the end of that.
    quota: Cell<(Duration, Duration)>,
    /// Time until everybody knows that.
    on_the_way: Cell<Duration>,
    /// The jobs that came in between, though that was known.
    came_too_early: Cell<usize>,
    /// Number of images that a job makes, in a gallery; none for one image alone.
    gallery: Cell<Option<usize>>,
    /// Number of steps where nobody says otherwise.
    usual_steps: Cell<u64>,
}

impl QueueSpace {
    pub fn new(origin: &str, nature: Nature) -> Self {
        Self(Rc::new(QueueSpaceInner {
            origin: origin.to_owned(),
            nature,
            health: Cell::new(Health::Up),
            life: Cell::default(),
            jobs: RefCell::default(),
            line: RefCell::default(),
            running: RefCell::default(),
            most_at_once: Cell::default(),
            fixed_end: Cell::default(),
            quota: Cell::default(),
            on_the_way: Cell::new(Duration::from_millis(200)),
            came_too_early: Cell::default(),
            gallery: Cell::default(),
            usual_steps: Cell::new(9),
        }))
    }

    pub fn origin(&self) -> &str {
        &self.0.origin
    }

    pub fn health(&self) -> Health {
        self.0.health.get()
    }

    fn is_up(&self) -> bool {
        matches!(self.health(), Health::Up | Health::Stuck)
    }

    /// Makes it so. What dies loses its queue.
    pub fn turn(&self, world: &World, health: Health) {
        if health == Health::Down && self.health() != Health::Down {
            for job in self.jobs() {
                job.over.set(job.over.get().or(Some(world.now())));
            }
            self.0.life.set(self.0.life.get() + 1);
            self.0.line.borrow_mut().clear();
            self.0.running.borrow_mut().clear();
        }
        self.0.health.set(health);
    }

    /// Sets how long it takes until everybody knows what the Space has said of its quota.
    pub fn set_on_the_way(&self, time: Duration) {
        self.0.on_the_way.set(time);
    }

    /// Lets every job end in this way.
    pub fn fix_end(&self, end: End) {
        self.0.fixed_end.set(Some(end));
    }

    /// Lets every job make so many images, in a gallery, whatever number is wanted.
    pub fn make_several(&self, images: usize) {
        self.0.gallery.set(Some(images));
    }

    /// Sets the number of steps where nobody says otherwise.
    pub fn set_usual_steps(&self, steps: u64) {
        self.0.usual_steps.set(steps);
    }

    /// All jobs that have joined.
    pub fn jobs(&self) -> Vec<Rc<QueuedJob>> {
        self.0.jobs.borrow().values().cloned().collect()
    }

    /// The most of our jobs that were there at once.
    pub fn most_at_once(&self) -> usize {
        self.0.most_at_once.get()
    }

    /// Number of jobs that came while it had said that none would be of use.
    pub fn came_too_early(&self) -> usize {
        self.0.came_too_early.get()
    }

    /// Somebody else's job, which takes so long.
    pub fn stranger(&self, world: &World, takes: Duration) {
        let (this, there, life) = (self.clone(), world.clone(), self.0.life.get());
        let name = format!("stranger-{}", world.random());
        self.0.line.borrow_mut().push(name.clone());
        world.spawn(Box::pin(async move {
            while this.0.life.get() == life && !this.try_begin(&there, &name) {
                there.sleep(TICK).await;
            }
            there.sleep(takes).await;
            this.leave(&name);
        }));
    }

    /// Begins with the job of that name, if it is its turn. Jobs that nobody listens to, as cancelling them has failed,
    /// are passed over.
    fn try_begin(&self, world: &World, name: &str) -> bool {
        self.forget_orphans(world);
        let is_first = self.0.line.borrow().first().is_some_and(|first| first == name);
        let has_room = self.0.running.borrow().len() < self.0.nature.at_once;
        if !is_first || !has_room || self.health() == Health::Stuck {
            return false;
        }
        self.0.line.borrow_mut().retain(|other| other != name);
        self.0.running.borrow_mut().push(name.to_owned());
        true
    }

    /// Passes over jobs that nobody has listened to for five seconds: sooner than a dead instance's slots are free.
    pub fn forget_orphans(&self, world: &World) {
        let jobs = self.0.jobs.borrow();
        self.0.line.borrow_mut().retain(|other| match jobs.get(other) {
            Some(job) if !job.streaming.get() && world.now() > job.joined + Duration::from_secs(5) => {
                job.over.set(job.over.get().or(Some(world.now())));
                false
            }
            _ => true,
        });
    }

    fn leave(&self, name: &str) {
        self.0.line.borrow_mut().retain(|other| other != name);
        self.0.running.borrow_mut().retain(|other| other != name);
    }

    /// End of a job with those arguments: by them, the Space and the tries so far, whatever else has happened.
    fn draw_end(&self, world: &World, data: &Value) -> End {
        if let Some(end) = self.0.fixed_end.get() {
            return end;
        }
        let before = self.0.jobs.borrow().values().filter(|job| data[0] == job.prompt && data[4] == job.seed).count();
        let text = format!("{} {} {data} {before}", world.seed(), self.0.origin);
        let seed = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        let dice = World::new(seed);
        if dice.random_below(1000) >= self.0.nature.bad_per_mille {
            return End::Image;
        }
        match dice.random_below(8) {
            0 => End::Rejected,
            1 => End::Crash,
            2 => End::Cut,
            3 => End::Stall,
            4 => End::Lie,
            5 => End::Gone,
            _ => End::Quota(10 + dice.random_below(120)),
        }
    }

    fn join(&self, world: &World, body: &[u8]) -> Inbound {
        let call: Value = serde_json::from_slice(body).expect("join takes JSON");
        let data = call["data"].as_array().expect("join has data");
        let session = call["session_hash"].as_str().expect("join has a session hash").to_owned();
        if self.0.line.borrow().len() >= self.0.nature.room {
            return answer(503, json!({"detail": "Queue is full. Max size is 1 and size is 1."}).to_string());
        }
        let now = world.now();
        let (since, until) = self.0.quota.get();
        let on_the_way = self.0.on_the_way.get();
        if until > Duration::ZERO && now > since + on_the_way && now + on_the_way < until {
            self.0.came_too_early.set(self.0.came_too_early.get() + 1);
        }
        let number = |index: usize| data[index].as_f64().expect("a number");
        self.forget_orphans(world);
        let job = QueuedJob {
            prompt: data[0].as_str().expect("a prompt").to_owned(),
            seed: data[4].as_u64().expect("a seed"),
            joined: now,
            began: Cell::default(),
            over: Cell::default(),
            ended: Cell::default(),
            cancelled: Cell::default(),
            streaming: Cell::default(),
            streamed: Cell::default(),
            end: self.draw_end(world, &call["data"]),
            work: number(1) * number(2) / 1e6 * number(3),
        };
        self.0.jobs.borrow_mut().insert(session.clone(), Rc::new(job));
        self.0.line.borrow_mut().push(session.clone());
        let here = self.0.jobs.borrow().values().filter(|job| job.over.get().is_none()).count();
        self.0.most_at_once.set(here.max(self.0.most_at_once.get()));
        answer(200, json!({"event_id": format!("event-{session}")}).to_string())
    }

    /// Cancels a job, if it is up to. Where it isn't, nobody can do more about the job.
    fn cancel(&self, world: &World, body: &[u8]) {
        let call: Value = serde_json::from_slice(body).expect("cancel takes JSON");
        let session = call["session_hash"].as_str().expect("cancel has a session hash");
        if let Some(job) = self.0.jobs.borrow().get(session) {
            job.cancelled.set(job.cancelled.get() || self.is_up());
            job.over.set(job.over.get().or(Some(world.now())));
        }
        if self.is_up() {
            self.leave(session);
        }
    }

    fn data(&self, world: &World, session: &str) -> Inbound {
        let Some(job) = self.0.jobs.borrow().get(session).cloned() else {
            let lost = json!({"msg": "unexpected_error", "message": "404", "session_not_found": true});
            return answer(200, event(&lost));
        };
        job.streaming.set(true);
        job.streamed.set(true);
        let stream = Stream {
            space: self.clone(),
            world: world.clone(),
            session: session.to_owned(),
            job,
            life: self.0.life.get(),
            told_rank: None,
            told_half: false,
            is_over: false,
            slack: 0.8 + 0.4 * f64::from(u32::try_from(world.random_below(1000)).unwrap()) / 1000.0,
        };
        let body: Body = Box::pin(unfold(stream, |mut stream| async move {
            let piece = stream.next().await?;
            Some((piece, stream))
        }));
        Inbound { status: StatusCode::OK, headers: HeaderMap::new(), body }
    }

    fn file(&self, path: &str) -> Inbound {
        let session = path.rsplit('/').nth(1).unwrap_or_default();
        match self.0.jobs.borrow().get(session).map(|job| job.end) {
            Some(End::Lie) => answer(200, "<!DOCTYPE html>".to_owned()),
            Some(End::Image) => {
                let body: Body = Box::pin(futures::stream::iter([Ok(Bytes::from(png()))]));
                Inbound { status: StatusCode::OK, headers: HeaderMap::new(), body }
            }
            _ => answer(403, json!({"detail": "File not allowed"}).to_string()),
        }
    }
}

/// A job's stream.
struct Stream {
    space: QueueSpace,
    world: World,
    session: String,
    job: Rc<QueuedJob>,
    life: u64,
    told_rank: Option<usize>,
    told_half: bool,
    is_over: bool,
    /// Factor by which this job is slower than usual.
    slack: f64,
}

impl Stream {
    async fn next(&mut self) -> Option<Result<Bytes, TransportError>> {
        let mut silent = Duration::ZERO;
        loop {
            if self.is_over {
                return None;
            }
            if self.space.0.life.get() != self.life {
                self.end();
                return Some(Err(TransportError::Broken("reset".to_owned())));
            }
            if let Some(said) = self.look() {
                return Some(said);
            }
            self.world.sleep(TICK).await;
            silent += TICK;
            let is_mute = self.told_half && self.job.end == End::Stall;
            if silent >= Duration::from_secs(15) && !is_mute {
                return Some(say(&json!({"msg": "heartbeat", "event_id": null})));
            }
        }
    }

    /// Next piece to send, if there is any now.
    fn look(&mut self) -> Option<Result<Bytes, TransportError>> {
        let (space, job, now) = (self.space.clone(), Rc::clone(&self.job), self.world.now());
        let id = format!("event-{}", self.session);
        if job.cancelled.get() {
            return Some(self.finish(&json!({}), true));
        }
        let Some(began) = job.began.get() else {
            if space.try_begin(&self.world, &self.session) {
                job.began.set(Some(now));
                return Some(say(&json!({"msg": "process_starts", "event_id": id, "eta": null})));
            }
            let line = space.0.line.borrow();
            let rank = line.iter().position(|name| *name == self.session)?;
            if self.told_rank == Some(rank) {
                return None;
            }
            self.told_rank = Some(rank);
            let each = job.work * space.0.nature.speed / f64::from(u32::try_from(space.0.nature.at_once).unwrap());
            let eta = each * f64::from(u32::try_from(rank + 1).unwrap());
            let estimation =
                json!({"msg": "estimation", "event_id": id, "rank": rank, "queue_size": line.len(), "rank_eta": eta});
            return Some(say(&estimation));
        };
        let takes = Duration::from_secs_f64(job.work * space.0.nature.speed * self.slack);
        let passed = now.saturating_sub(began);
        if passed >= takes / 2 && !self.told_half {
            self.told_half = true;
            if job.end == End::Cut {
                self.end();
                return Some(Err(TransportError::Broken("reset".to_owned())));
            }
            let steps = json!([{"index": 4, "length": 9, "unit": "steps"}]);
            return Some(say(&json!({"msg": "progress", "event_id": id, "progress_data": steps})));
        }
        if passed < takes || job.end == End::Stall {
            return None;
        }
        let path = |name: &str| json!({"path": format!("/tmp/gradio/{}/{name}.png", self.session)});
        let image = match space.0.gallery.get() {
            None => path("image"),
            Some(count) => (0..count).map(|number| json!({"image": path(&number.to_string())})).collect(),
        };
        Some(match job.end {
            End::Rejected => self.finish(&json!({"error": "Prompt rejected: bad", "duration": 10}), false),
            End::Crash => self.finish(&json!({"error": null}), false),
            End::Quota(seconds) => {
                space.0.quota.set((now, now + Duration::from_secs(seconds)));
                let (minutes, seconds) = (seconds / 60, seconds % 60);
                let text = format!("You have exceeded your GPU quota. Try again in 0:{minutes:02}:{seconds:02}");
                self.finish(&json!({"error": text}), false)
            }
            _ => self.finish(&json!({"data": [image, job.seed]}), true),
        })
    }

    fn finish(&mut self, output: &Value, success: bool) -> Result<Bytes, TransportError> {
        self.job.ended.set(true);
        self.end();
        let id = format!("event-{}", self.session);
        let end = event(&json!({"msg": "process_completed", "event_id": id, "output": output, "success": success}));
        Ok(Bytes::from(end + &event(&json!({"msg": "close_stream", "event_id": null}))))
    }

    fn end(&mut self) {
        self.is_over = true;
        self.job.over.set(self.job.over.get().or(Some(self.world.now())));
        self.space.leave(&self.session);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.job.streaming.set(false);
        self.end();
    }
}

fn say(value: &Value) -> Result<Bytes, TransportError> {
    Ok(Bytes::from(event(value)))
}

impl SimServer for QueueSpace {
    fn answer(&self, world: &World, request: Outbound) -> LocalBoxFuture<'static, Result<Inbound, TransportError>> {
        let (this, world) = (self.clone(), world.clone());
        let latency = world.random_ms(1, 50);
        Box::pin(async move {
            world.sleep(latency).await;
            let body = request.body.unwrap_or_default();
            if request.url.path() == "/gradio_api/cancel" {
                this.cancel(&world, &body);
            }
            match this.health() {
                Health::Down => return Err(TransportError::Unreachable("nobody is there".to_owned())),
                Health::Asleep => return Ok(answer(503, "<!DOCTYPE html><p>Zzz".to_owned())),
                Health::Broken => return Ok(answer(500, "Internal Server Error".to_owned())),
                Health::Up | Health::Stuck => {}
            }
            let answered = match request.url.path() {
                "/config" => {
                    let output = if this.0.gallery.get().is_some() { "gallery" } else { "image" };
                    answer(200, config(2, this.0.usual_steps.get(), output))
                }
                "/gradio_api/info" => answer(200, info()),
                "/gradio_api/queue/join" => this.join(&world, &body),
                "/gradio_api/queue/data" => {
                    let session = request.url.query().and_then(|query| query.strip_prefix("session_hash="));
                    this.data(&world, session.expect("data has a session hash"))
                }
                "/gradio_api/cancel" => answer(200, json!({"success": true}).to_string()),
                path => this.file(path),
            };
            world.sleep(latency).await;
            Ok(answered)
        })
    }
}
