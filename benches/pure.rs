//! Time of what computes and waits for nothing, natively: `cargo bench --bench pure`.
//!
//! `cargo xtask bench` measures the component in its host. This finds what became slower where that says that something
//! did. Goals: events decoded at 1 GB/s or more; a generation that waits with 10,000 others costs at most 50 µs more
//! than one that waits with none.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark fails by panicking, and has a stopwatch"
)]

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Bencher, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::StreamExt as _;
use futures::channel::oneshot;
use futures::executor::block_on;
use http::{Method, Request};
use serde_json::json;
use z_image_2api::app::App;
use z_image_2api::gradio::file::RemoteFile;
use z_image_2api::gradio::message::Message;
use z_image_2api::gradio::space::Space;
use z_image_2api::gradio::sse::Decoder;
use z_image_2api::http::json::JsonBody;
use z_image_2api::http::path::RequestPath;
use z_image_2api::media::file::ImageFile;
use z_image_2api::media::link::Signer;
use z_image_2api::platform::Body;
use z_image_2api::platform::sim::World;
use z_image_2api::platform::sim::space::{Fate, SimSpace};

const KEY: &str = "sk-bench-key";
const SPACE: &str = "http://127.0.0.1:7860";
/// Length of the pieces that a stream comes in, in bytes.
const PIECE: usize = 16 << 10;
/// Image that is written in base64, in bytes.
const IMAGE: usize = 2_000_000;
/// Patterns as the route table has them, the last of which matches the path.
const PATTERNS: [&str; 9] = [
    "/healthz",
    "/readyz",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/models",
    "/v1/models/{id*}",
    "/v1/images/files/{name*}",
];
const PATH: &str = "/v1/images/files/AgAAAABpJ2xAAAB7IN2nYDkXoS9ncmFkaW9fYXBpL2ZpbGU9L3RtcC9ncmFkaW8.webp";

/// A message of progress.
fn progress(step: usize) -> Vec<u8> {
    let data = json!({"index": step, "length": 9, "unit": "steps", "progress": null, "desc": "denoising"});
    let message = json!({"msg": "progress", "event_id": "8c1a8c8db072443abdafb6717252744b", "progress_data": [data]});
    message.to_string().into_bytes()
}

/// A message with a result.
fn completed() -> Vec<u8> {
    let path = "/tmp/gradio/6f1c0d3d2b6fa3a8b1d4a5f6f7c8d9e0a1b2c3d4/image.webp";
    let file = json!({
        "path": path, "url": format!("{SPACE}/gradio_api/file={path}"), "size": null, "orig_name": "image.webp",
        "mime_type": null, "is_stream": false, "meta": {"_type": "gradio.FileData"},
    });
    let output = json!({"data": [file, 42], "is_generating": false, "duration": 3.2, "average_duration": 3.4});
    let message = json!({"msg": "process_completed", "event_id": "8c1a", "output": output, "success": true});
    message.to_string().into_bytes()
}

fn streams(criterion: &mut Criterion) {
    let events = (0..5000).map(|step| [b"data: ".as_slice(), &progress(step), b"\n\n"].concat());
    // A preview, as a Space sends it in one event.
    let large = [b"data: ".as_slice(), &vec![b'x'; 1 << 20], b"\n\n"].concat();
    let mut group = criterion.benchmark_group("events");
    for (name, stream) in [("small", events.collect::<Vec<_>>().concat()), ("large", large)] {
        group.throughput(Throughput::Bytes(u64::try_from(stream.len()).unwrap()));
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter(|| {
                let mut decoder = Decoder::new(4 << 20);
                let mut count = 0_usize;
                for piece in stream.chunks(PIECE) {
                    decoder.feed(black_box(piece));
                    while let Some(event) = decoder.next_event().unwrap() {
                        count += usize::from(!event.is_empty());
                    }
                }
                assert!(count > 0);
            });
        });
    }
    group.finish();
}

fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("messages");
    for (name, message) in [("progress", progress(4)), ("completed", completed())] {
        group.throughput(Throughput::Bytes(u64::try_from(message.len()).unwrap()));
        group.bench_function(name, |bencher| bencher.iter(|| Message::parse(black_box(&message)).unwrap()));
    }
    group.finish();
}

fn base64(criterion: &mut Criterion) {
    let image = Bytes::from(vec![0xa5; IMAGE]);
    let answer = || {
        let mut body = JsonBody::default();
        body.push_object(|object| {
            object.field_with("b64_json", |body| body.push_base64_string(|body| body.push_base64(image.clone())));
        });
        body
    };
    let mut group = criterion.benchmark_group("base64");
    group.throughput(Throughput::Bytes(u64::try_from(answer().len()).unwrap()));
    group.bench_function("answer", |bencher| {
        bencher.iter_batched(
            answer,
            |answer| {
                let length = answer.len();
                let written = answer.into_stream().fold(0, |sum, piece| async move { sum + piece.unwrap().len() });
                assert_eq!(block_on(written), length);
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn links(criterion: &mut Criterion) {
    let signer = Signer::new(b"0123456789abcdef0123456789abcdef").unwrap();
    let origins = [Space::parse(SPACE).unwrap().origin().clone()];
    let path = "/gradio_api/file=/tmp/gradio/6f1c0d3d2b6fa3a8b1d4a5f6f7c8d9e0a1b2c3d4/image.webp".to_owned();
    let file = ImageFile::Space(RemoteFile { origin: origins[0].clone(), path });
    let token = signer.sign(&file, None, 1000);
    let mut group = criterion.benchmark_group("links");
    group.bench_function("sign", |bencher| bencher.iter(|| signer.sign(black_box(&file), None, 1000)));
    group.bench_function("verify", |bencher| {
        bencher.iter(|| signer.verify(black_box(&token), 1, origins.iter()).unwrap());
    });
    group.finish();
}

fn routes(criterion: &mut Criterion) {
    criterion.bench_function("routes/last", |bencher| {
        bencher.iter(|| {
            let path = RequestPath::parse(black_box(PATH));
            PATTERNS.iter().find_map(|pattern| path.parameter(pattern)).unwrap().len()
        });
    });
}

/// Clients that ask for an image, wait for it, and ask for the next: all but two of them wait for one of two slots.
struct Crowd {
    world: World,
    app: Rc<App>,
    answered: Cell<u64>,
    /// Number of answers that somebody waits for.
    wanted: RefCell<Option<(u64, oneshot::Sender<()>)>>,
}

impl Crowd {
    fn new(clients: usize) -> Rc<Self> {
        let world = World::new(1);
        let space = SimSpace::new(|_, _| Fate::Succeeds);
        space.set_work(1);
        world.put_server(SPACE, Rc::new(space));
        let catalog = format!("[models.z-image-turbo]\nspaces = [{{ space = \"{SPACE}\", slots = 2 }}]\n");
        let variables = [
            ("api_keys", KEY),
            ("catalog", &catalog),
            ("extra_host", SPACE),
            ("max_waiting", "10000"),
            ("database", "off"),
        ];
        for (name, value) in variables.into_iter().chain([("job_timeout", "86400"), ("response_ttl", "0")]) {
            world.set_variable(name, value);
        }
        let host = world.host();
        let app = world.run(async move { Rc::new(App::load(host).await) });
        let crowd = Rc::new(Self { world, app, answered: Cell::default(), wanted: RefCell::default() });
        for _ in 0..clients {
            let crowd = Rc::clone(&crowd);
            let host = crowd.world.host();
            host.spawn(Box::pin(async move {
                loop {
                    crowd.ask().await;
                }
            }));
        }
        // All are there once some have been answered.
        crowd.answer(4);
        crowd
    }

    async fn ask(&self) {
        let body: Body = Box::pin(futures::stream::iter([Ok(Bytes::from_static(br#"{"prompt":"a red fox"}"#))]));
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/images/generations")
            .header("host", "img.example")
            .header("authorization", format!("Bearer {KEY}"))
            .body(body)
            .unwrap();
        let answer = self.app.handle(request).await;
        assert!(answer.status().is_success(), "{}", answer.status());
        self.answered.set(self.answered.get() + 1);
        let is_last = self.wanted.borrow().as_ref().is_some_and(|(number, _)| *number == self.answered.get());
        if is_last && let Some((_, wanted)) = self.wanted.take() {
            wanted.send(()).unwrap();
        }
    }

    /// Lets time pass until so many more were answered.
    fn answer(&self, count: u64) {
        let (sender, answered) = oneshot::channel();
        self.wanted.replace(Some((self.answered.get() + count, sender)));
        self.world.run(async move { answered.await.unwrap() });
    }
}

fn waiting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("generation");
    group.sample_size(20).measurement_time(Duration::from_secs(3)).throughput(Throughput::Elements(1));
    for waiting in [0, 100, 1000, 10_000] {
        let crowd = RefCell::new(None);
        let measure = |bencher: &mut Bencher<'_>| {
            let mut crowd = crowd.borrow_mut();
            let crowd = crowd.get_or_insert_with(|| Crowd::new(2 + waiting));
            bencher.iter_custom(|count| {
                let begun = std::time::Instant::now();
                crowd.answer(count);
                begun.elapsed()
            });
        };
        group.bench_function(BenchmarkId::new("waiting", waiting), measure);
    }
    group.finish();
}

criterion_group!(pure, streams, messages, base64, links, routes, waiting);
criterion_main!(pure);
