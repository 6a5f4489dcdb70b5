//! The whole component but for its edges, in the simulated world.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "a test fails by panicking"
)]

mod budget;
mod chats;
mod choices;
mod clocks;
mod conversions;
mod faces;
mod figures;
mod handover;
mod history;
mod idempotency;
mod image_hosts;
mod images;
mod inline;
mod limits;
mod observed;
mod pools;
mod responses;
mod spaces;
mod spans;
mod streams;
mod tasks;
mod tasks_database;
mod tasks_killed;
mod tasks_webhooks;
mod towns;
mod workers;

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use z_image_2api::app::App;
use z_image_2api::platform::log::{Log, LogRecord};
use z_image_2api::platform::sim::World;
use z_image_2api::platform::sim::space::{Fate, SimSpace, png};
use z_image_2api::platform::{Body, Content, Database, Host, TransportError, read_to_end};
use z_image_2api::store::Store;

const KEY: &str = "sk-simulated-key";
const SECRET: &str = "a-link-secret-of-some-length";
const SPACE: &str = "http://127.0.0.1:7860";

/// A store of one more instance of that world.
fn store(world: &World) -> Store {
    let host = world.host();
    let log: Log = {
        let host = Rc::clone(&host);
        Rc::new(move |record: &LogRecord<'_>| host.log(record))
    };
    Store::new(&host, Some(Database::Sqlite), &log)
}

/// An answer, read to its end.
struct Reply {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Result<Vec<u8>, TransportError>,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.body.as_ref().map(|body| String::from_utf8_lossy(body).into_owned());
        let text = text.map(|text| match text.char_indices().nth_back(700) {
            Some((at, _)) if text.len() > 2000 => format!("… {}", text.split_at(at).1),
            _ => text,
        });
        write!(f, "{} {:?} {text:?}", self.status, self.headers)
    }
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(self.body.as_ref().unwrap()).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn error(&self) -> (u16, Value, Value, Value) {
        let error = &self.json()["error"];
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{self:?}");
        (self.status.as_u16(), error["type"].clone(), error["code"].clone(), error["param"].clone())
    }
}

/// A world with one Space, whose jobs all have that fate, and the variables that a usual installation has.
fn world(seed: u64, fate: Fate) -> (World, SimSpace) {
    world_of(seed, move |_, _| fate)
}

fn world_of(seed: u64, fate: impl Fn(&World, &[Value]) -> Fate + 'static) -> (World, SimSpace) {
    let world = World::new(seed);
    let space = SimSpace::new(fate);
    world.put_server(SPACE, Rc::new(space.clone()));
    world.set_variable("api_keys", KEY);
    world.set_variable("spaces", &format!("z-image-turbo={SPACE}"));
    world.set_variable("link_secret", SECRET);
    world.set_variable("max_image_bytes", "3000000");
    (world, space)
}

fn body(text: impl Into<String>) -> Body {
    let text = text.into();
    Box::pin(futures::stream::iter([Ok(bytes::Bytes::from(text))]))
}

fn request(method: Method, path: &str, text: impl Into<String>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "img.example")
        .header("authorization", format!("Bearer {KEY}"))
        .body(body(text))
        .unwrap()
}

/// An answer of an instance of its own.
async fn ask(world: World, request: Request<Body>) -> Reply {
    ask_at(world.host(), request).await
}

async fn ask_at(host: Host, request: Request<Body>) -> Reply {
    ask_of(Rc::new(App::load(host).await), request).await
}

/// An instance of the component.
async fn instance(world: World) -> Rc<App> {
    Rc::new(App::load(world.host()).await)
}

/// An answer of that instance.
async fn ask_of(app: Rc<App>, request: Request<Body>) -> Reply {
    let (head, content) = app.handle(request).await.into_parts();
    let body = match content {
        Content::Empty => Ok(Vec::new()),
        Content::Full(bytes) => Ok(bytes.to_vec()),
        Content::Stream(body) => match read_to_end(body, usize::MAX).await {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(z_image_2api::platform::ReadError::Transport(error)) => Err(error),
            Err(error) => panic!("there is no limit: {error}"),
        },
    };
    if let (Some(length), Ok(body)) = (head.headers.get("content-length"), &body)
        && !body.is_empty()
    {
        assert_eq!(length, &body.len().to_string(), "the length is announced as it is");
    }
    assert!(head.headers.contains_key("x-request-id") && head.headers.contains_key("openai-processing-ms"));
    Reply { status: head.status, headers: head.headers, body }
}

fn answer(world: &World, request: Request<Body>) -> Reply {
    world.run(ask(world.clone(), request))
}

fn generate(world: &World, fields: Value) -> Reply {
    answer(world, request(Method::POST, "/v1/images/generations", fields.to_string()))
}

/// Lines of the log, those of requests that have ended left out.
fn problems(world: &World) -> Vec<String> {
    let lines = world.log_lines().into_iter();
    lines.filter(|line| !line.contains("\"event\":\"request\"")).collect()
}

/// No job is left behind: each has ended at the Space, or was cancelled there before its stream was closed.
fn check_jobs(seed: u64, space: &SimSpace) {
    for job in space.jobs() {
        // A job whose join was never answered has no event to cancel.
        let nameless = job.fate == Fate::JoinHangs;
        assert!(job.ended.get() || job.cancelled.get() || nameless, "seed {seed}: {job:?} is left behind");
        assert!(!job.streaming.get(), "seed {seed}: {job:?} is still listened to");
        if job.cancelled.get() && !job.ended.get() {
            let closed = matches!(job.fate, Fate::Cut | Fate::EndsEarly) || !job.streamed.get();
            assert!(
                job.cancelled_while_open.get() || closed,
                "seed {seed}: {job:?} was closed before it was cancelled"
            );
        }
    }
}
