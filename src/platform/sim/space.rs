//! A Gradio Space of the simulated world: it speaks Gradio's wire and does as a test says, good or bad.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use futures::stream::unfold;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{SimServer, World};
use crate::platform::{Body, Inbound, Outbound, Platform as _, TransportError};

/// Course of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It makes an image.
    Succeeds,
    /// The function raises `gr.Error`.
    Rejected,
    /// The function raises an exception.
    Crashes,
    /// The function returns no image.
    MakesNothing,
    /// The queue takes no more jobs.
    QueueFull,
    /// Joining is answered with a 500.
    JoinBreaks,
    /// Joining is answered with a 429.
    TooMany,
    /// Joining is never answered.
    JoinHangs,
    /// The stream breaks off in mid-way.
    Cut,
    /// The stream ends as if it were whole, without a result.
    EndsEarly,
    /// The stream falls silent.
    Stalls,
    /// The stream sends heartbeats for ever.
    NeverEnds,
    /// Somebody else cancels it.
    Cancelled,
    /// The server closes.
    Closes,
    /// The stream is no event stream.
    Babbles,
    /// The result is no image but a page.
    Lies,
    /// The image breaks off in mid-way.
    ImageCut,
    /// It makes an image, and reports 20,000 steps at once before that.
    Chatters,
    /// The file is gone when it is fetched.
    ImageGone,
    /// The file redirects to another host.
    ImageRedirects,
    /// The image is far too large.
    ImageHuge,
    /// The image comes byte by byte and has no end.
    ImageDrips,
    /// It answers with the image itself, as a data URL.
    Inline,
    /// It leaves the image at another host: [`HOSTED`].
    Hosted,
}

impl Fate {
    pub const ALL: [Self; 20] = [
        Self::Succeeds,
        Self::Rejected,
        Self::Crashes,
        Self::MakesNothing,
        Self::QueueFull,
        Self::JoinBreaks,
        Self::JoinHangs,
        Self::Cut,
        Self::EndsEarly,
        Self::Stalls,
        Self::NeverEnds,
        Self::Cancelled,
        Self::Closes,
        Self::Babbles,
        Self::Lies,
        Self::ImageCut,
        Self::ImageGone,
        Self::ImageRedirects,
        Self::ImageHuge,
        Self::ImageDrips,
    ];
}

/// A job as the Space sees it.
#[derive(Debug)]
pub struct SimJob {
    pub fate: Fate,
    /// The arguments.
    pub data: Vec<Value>,
    /// Set once the Space has sent its end.
    pub ended: Cell<bool>,
    /// Set once it was cancelled.
    pub cancelled: Cell<bool>,
    /// Set while its stream is open.
    pub streaming: Cell<bool>,
    /// Set once its stream has been opened.
    pub streamed: Cell<bool>,
    /// Set where the stream was still open when it was cancelled, as it should be.
    pub cancelled_while_open: Cell<bool>,
}

/// The Space. Clones are the same.
#[derive(Clone)]
pub struct SimSpace(Rc<SimSpaceInner>);

type Foretelling = Box<dyn Fn(&World, &[Value]) -> Fate>;

struct SimSpaceInner {
    fate: Foretelling,
    jobs: RefCell<BTreeMap<String, Rc<SimJob>>>,
    work: Cell<(u64, u64)>,
    /// Least and greatest time of half a call, and greatest wait of a job, in milliseconds.
    pace: Cell<(u64, u64, u64)>,
    fetches: RefCell<Vec<String>>,
    /// The file of each image.
    image: RefCell<Vec<u8>>,
    /// The number of the function that makes images.
    fn_index: Cell<u64>,
}

/// The image of the simulated world: 1x1 pixel, and a tail that makes it a few pieces long.
pub fn png() -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01".to_vec();
    png.extend((0..5000_u32).map(|i| i.to_le_bytes()[0]));
    png
}

impl SimSpace {
    /// A Space whose jobs go as `fate` says of their arguments.
    pub fn new(fate: impl Fn(&World, &[Value]) -> Fate + 'static) -> Self {
        Self(Rc::new(SimSpaceInner {
            fate: Box::new(fate),
            jobs: RefCell::default(),
            work: Cell::new((10, 20_000)),
            pace: Cell::new((1, 50, 2000)),
            fetches: RefCell::default(),
            image: RefCell::new(png()),
            fn_index: Cell::new(2),
        }))
    }

    /// All jobs that have joined.
    pub fn jobs(&self) -> Vec<Rc<SimJob>> {
        self.0.jobs.borrow().values().cloned().collect()
    }

    /// Gives the function that makes images another number, as a new version of the app would.
    pub fn renumber(&self, fn_index: u64) {
        self.0.fn_index.set(fn_index);
    }

    /// Has each job take that many milliseconds.
    pub fn set_work(&self, milliseconds: u64) {
        self.0.work.set((milliseconds, milliseconds));
    }

    /// Has it answer each call in two milliseconds, and make each image at once.
    pub fn set_instant(&self) {
        self.0.pace.set((1, 1, 0));
        self.0.work.set((0, 0));
    }

    /// Has its images be that file.
    pub fn set_image(&self, file: Vec<u8>) {
        *self.0.image.borrow_mut() = file;
    }

    /// The paths of all files that were asked for.
    pub fn fetches(&self) -> Vec<String> {
        self.0.fetches.borrow().clone()
    }

    /// Lets a job join; with how it is going to go.
    fn join(&self, world: &World, body: &[u8]) -> (Fate, Inbound) {
        let call: Value = serde_json::from_slice(body).expect("join takes JSON");
        let data = call["data"].as_array().expect("join has data").clone();
        let session = call["session_hash"].as_str().expect("join has a session hash").to_owned();
        if call["fn_index"] != self.0.fn_index.get() {
            return (Fate::JoinBreaks, answer(500, "Internal Server Error".to_owned()));
        }
        let fate = (self.0.fate)(world, &data);
        match fate {
            Fate::QueueFull => {
                return (
                    fate,
                    answer(503, json!({"detail": "Queue is full. Max size is 1 and size is 1."}).to_string()),
                );
            }
            Fate::JoinBreaks => return (fate, answer(500, "Internal Server Error".to_owned())),
            Fate::TooMany => return (fate, answer(429, json!({"detail": "Too Many Requests"}).to_string())),
            _ => {}
        }
        let job = SimJob {
            fate,
            data,
            ended: Cell::default(),
            cancelled: Cell::default(),
            streaming: Cell::default(),
            streamed: Cell::default(),
            cancelled_while_open: Cell::default(),
        };
        let before = self.0.jobs.borrow_mut().insert(session.clone(), Rc::new(job));
        assert!(before.is_none(), "a session hash is used once");
        (fate, answer(200, json!({"event_id": format!("event-{session}")}).to_string()))
    }

    fn cancel(&self, body: &[u8]) -> Inbound {
        let call: Value = serde_json::from_slice(body).expect("cancel takes JSON");
        let session = call["session_hash"].as_str().expect("cancel has a session hash");
        assert_eq!(call["event_id"], format!("event-{session}"));
        if let Some(job) = self.0.jobs.borrow().get(session) {
            job.cancelled.set(true);
            // Whoever resumes a task cancels its jobs once more.
            job.cancelled_while_open.set(job.cancelled_while_open.get() || job.streaming.get());
        }
        answer(200, json!({"success": true}).to_string())
    }

    fn data(&self, world: &World, session: &str) -> Inbound {
        let Some(job) = self.0.jobs.borrow().get(session).cloned() else {
            return answer(
                200,
                event(&json!({"msg": "unexpected_error", "message": "404", "session_not_found": true})),
            );
        };
        let (least, most) = self.0.work.get();
        let work = world.random_ms(least, most);
        let script = script(&job, session, world.random_ms(0, self.0.pace.get().2), work);
        job.streaming.set(true);
        job.streamed.set(true);
        let open = OpenStream(Rc::clone(&job));
        let world = world.clone();
        let body: Body = Box::pin(unfold((script.into_iter(), open), move |(mut steps, open)| {
            let world = world.clone();
            async move {
                let (wait, step) = steps.next()?;
                world.sleep(wait).await;
                let piece = match step {
                    ScriptStep::Say(text) => Ok(Bytes::from(text)),
                    ScriptStep::End(text) => {
                        open.0.ended.set(true);
                        Ok(Bytes::from(text))
                    }
                    ScriptStep::Break => Err(TransportError::Broken("reset".to_owned())),
                    ScriptStep::Silence => std::future::pending().await,
                };
                Some((piece, (steps, open)))
            }
        }));
        Inbound { status: StatusCode::OK, headers: HeaderMap::new(), body }
    }

    fn file(&self, world: &World, path: &str) -> Inbound {
        self.0.fetches.borrow_mut().push(path.to_owned());
        let session = path.rsplit('/').nth(1).unwrap_or_default();
        let fate = self.0.jobs.borrow().get(session).map(|job| job.fate);
        let pieces = |pieces: Vec<Result<Bytes, TransportError>>| -> Body { Box::pin(futures::stream::iter(pieces)) };
        let whole =
            || self.0.image.borrow().chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect::<Vec<_>>();
        match fate {
            None | Some(Fate::ImageGone) => answer(403, json!({"detail": "File not allowed"}).to_string()),
            Some(Fate::Lies) => answer(200, "<!DOCTYPE html><script>alert(1)</script>".to_owned()),
            Some(Fate::ImageRedirects) => {
                let mut redirect = answer(302, String::new());
                redirect.headers.insert("location", "http://evil.example/".parse().unwrap());
                redirect
            }
            Some(Fate::ImageCut) => {
                let mut some = whole();
                some.truncate(2);
                some.push(Err(TransportError::Broken("reset".to_owned())));
                Inbound { status: StatusCode::OK, headers: HeaderMap::new(), body: pieces(some) }
            }
            Some(Fate::ImageHuge) => {
                let chunk = Bytes::from(vec![0; 1 << 20]);
                let huge = whole().into_iter().chain(std::iter::repeat_with(move || Ok(chunk.clone())));
                Inbound {
                    status: StatusCode::OK,
                    headers: HeaderMap::new(),
                    body: Box::pin(futures::stream::iter(huge)),
                }
            }
            Some(Fate::ImageDrips) => {
                let clock = world.clone();
                let bytes = self.0.image.borrow().clone().into_iter().chain(std::iter::repeat(0));
                let drops = futures::stream::iter(bytes).then(move |byte| {
                    let pause = clock.sleep(Duration::from_secs(1));
                    async move {
                        pause.await;
                        Ok(Bytes::copy_from_slice(&[byte]))
                    }
                });
                Inbound { status: StatusCode::OK, headers: HeaderMap::new(), body: drops.boxed_local() }
            }
            Some(_) => Inbound { status: StatusCode::OK, headers: HeaderMap::new(), body: pieces(whole()) },
        }
    }
}

impl SimServer for SimSpace {
    fn answer(&self, world: &World, request: Outbound) -> LocalBoxFuture<'static, Result<Inbound, TransportError>> {
        let (this, world) = (self.clone(), world.clone());
        let (least, most, _) = self.0.pace.get();
        let latency = world.random_ms(least, most);
        Box::pin(async move {
            world.sleep(latency).await;
            let body = request.body.unwrap_or_default();
            let path = request.url.path();
            let answer = match path {
                "/config" => answer(200, config(this.0.fn_index.get(), 9, "image")),
                "/gradio_api/info" => answer(200, info()),
                "/gradio_api/queue/join" => {
                    // What the Space does is done, whether or not somebody waits for the answer.
                    let (fate, joined) = this.join(&world, &body);
                    if fate == Fate::JoinHangs {
                        std::future::pending::<()>().await;
                    }
                    joined
                }
                "/gradio_api/queue/data" => {
                    let session = request.url.query().and_then(|query| query.strip_prefix("session_hash="));
                    this.data(&world, session.expect("data has a session hash"))
                }
                "/gradio_api/cancel" => this.cancel(&body),
                path if path.starts_with("/gradio_api/file=") => this.file(&world, path),
                _ => answer(404, json!({"detail": "Not Found"}).to_string()),
            };
            world.sleep(latency).await;
            Ok(answer)
        })
    }
}

/// Marks the job's stream as closed when it is dropped.
struct OpenStream(Rc<SimJob>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.streaming.set(false);
    }
}

enum ScriptStep {
    Say(String),
    /// The Space has sent the job's end.
    End(String),
    Break,
    Silence,
}

/// Script of a job's stream: its pieces, and the pauses before them, of which the first is `wait`.
fn script(job: &SimJob, session: &str, wait: Duration, work: Duration) -> Vec<(Duration, ScriptStep)> {
    let id = format!("event-{session}");
    let third = work / 3;
    let say = |value: Value| ScriptStep::Say(event(&value));
    let completed = |output: Value, success: bool| {
        let end = event(&json!({"msg": "process_completed", "event_id": id, "output": output, "success": success}));
        ScriptStep::End(end + &event(&json!({"msg": "close_stream", "event_id": null})))
    };
    let mut steps = vec![
        (wait, say(json!({"msg": "estimation", "event_id": id, "rank": 0, "queue_size": 1, "rank_eta": null}))),
        (third, say(json!({"msg": "process_starts", "event_id": id, "eta": null}))),
        (
            third,
            say(json!({
                "msg": "progress", "event_id": id, "progress_data": [{"index": 4, "length": 9, "unit": "steps"}],
            })),
        ),
    ];
    let path = format!("/tmp/gradio/{session}/image.png");
    let image = json!({"data": [{"path": path, "url": "http://evil.example/x.png"}, job.data[4]]});
    if job.fate == Fate::Chatters {
        let step = |index: u32| {
            event(&json!({"msg": "progress", "event_id": id, "progress_data": [{"index": index, "length": 20_000}]}))
        };
        steps.push((third, ScriptStep::Say((0..20_000).map(step).collect())));
    }
    steps.push((
        third,
        match job.fate {
            Fate::Rejected => completed(json!({"error": "Prompt rejected: bad", "duration": 10}), false),
            Fate::Crashes => completed(json!({"error": null}), false),
            Fate::MakesNothing => completed(json!({"data": [null, 0]}), true),
            Fate::Cancelled => completed(json!({}), true),
            Fate::Closes => {
                ScriptStep::End(event(&json!({"msg": "unexpected_error", "message": "Server stopped unexpectedly."})))
            }
            Fate::Cut => ScriptStep::Break,
            Fate::EndsEarly => say(json!({"msg": "close_stream", "event_id": null})),
            Fate::Stalls => ScriptStep::Silence,
            Fate::Babbles => ScriptStep::Say("data: {\"msg\": 7}\n\n".to_owned()),
            Fate::NeverEnds => say(json!({"msg": "heartbeat", "event_id": null})),
            Fate::Inline => {
                let url = format!("data:image/png;base64,{}", STANDARD.encode(inline_png()));
                completed(json!({"data": [url, job.data[4]]}), true)
            }
            Fate::Hosted => completed(json!({"data": [{"path": HOSTED, "url": HOSTED}, job.data[4]]}), true),
            _ => completed(image, true),
        },
    ));
    if job.fate == Fate::NeverEnds {
        let heartbeat = || (Duration::from_secs(15), say(json!({"msg": "heartbeat", "event_id": null})));
        steps.extend(std::iter::repeat_with(heartbeat).take(1000));
    }
    steps
}

/// URL of the image of [`Fate::Hosted`].
pub const HOSTED: &str = "https://cdn.example/a.png?sign=1";

/// The image of [`Fate::Inline`]: of 300,000 bytes.
pub fn inline_png() -> Vec<u8> {
    let mut png = png();
    png.resize(300_000, 7);
    png
}

pub(crate) fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

pub(crate) fn answer(status: u16, body: String) -> Inbound {
    let body: Body = Box::pin(futures::stream::iter([Ok(Bytes::from(body))]));
    Inbound { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body }
}

/// Description of a Space with so many steps by default, whose function of that number makes its images in an `image`
/// or a `gallery`.
pub(crate) fn config(fn_index: u64, steps: u64, output: &str) -> String {
    let slider = |id: u64, label: &str, minimum: u64, maximum: u64, step: u64, value: u64| {
        let props = json!({"label": label, "minimum": minimum, "maximum": maximum, "step": step, "value": value});
        json!({"id": id, "type": "slider", "props": props})
    };
    json!({
        "version": "6.31.0", "protocol": "sse_v3", "api_prefix": "/gradio_api", "root": "http://127.0.0.1:7860",
        "components": [
            {"id": 1, "type": "textbox", "props": {"label": "Prompt"}},
            slider(2, "Height", 64, 2048, 64, 1024),
            slider(3, "Width", 64, 2048, 64, 1024),
            slider(4, "Inference Steps", 1, 20, 1, steps),
            {"id": 5, "type": "number", "props": {"label": "Seed", "value": 42, "precision": 0}},
            {"id": 6, "type": "checkbox", "props": {"label": "Random Seed", "value": true}},
            {"id": 7, "type": output, "props": {"label": "Generated Image"}},
            {"id": 8, "type": "number", "props": {"label": "Seed Used"}},
        ],
        "dependencies": [
            {"id": 0, "api_name": "toggle_seed", "inputs": [6], "outputs": [5]},
            {
                "id": fn_index, "api_name": "generate_image", "backend_fn": true,
                "inputs": [1, 2, 3, 4, 5, 6], "outputs": [7, 8],
            },
        ],
    })
    .to_string()
}

pub(crate) fn info() -> String {
    let names = ["prompt", "height", "width", "num_inference_steps", "seed", "randomize_seed"];
    let parameters: Vec<_> =
        names.iter().map(|name| json!({"parameter_name": name, "parameter_has_default": false})).collect();
    json!({"named_endpoints": {"/generate_image": {"parameters": parameters}}, "unnamed_endpoints": {}}).to_string()
}
