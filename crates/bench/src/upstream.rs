//! A Gradio Space that does everything at once: it speaks the wire of Gradio 6 and makes no image, it has one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt as _};
use http::{Request, Response, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

/// The path of the one image.
pub(crate) const FILE: &str = "/tmp/gradio/0123456789abcdef/image.webp";
/// Its length, in bytes: about what Z-Image-Turbo's images have as WebP.
pub(crate) const IMAGE_LENGTH: usize = 60_000;

/// Time between two events of progress of a Space that has many of them.
const STEP: Duration = Duration::from_millis(1);

/// The Space, on a free port of loopback.
pub(crate) struct Upstream {
    pub(crate) url: String,
}

/// Course of a job.
#[derive(Clone, Copy)]
pub(crate) enum Course {
    /// It is done at once.
    Instant,
    /// It reports that many steps, one after the other.
    Steps(usize),
    /// It starts and never ends.
    Endless,
}

struct Answers {
    config: Bytes,
    joined: Bytes,
    /// Events, each as it is sent.
    events: Vec<Bytes>,
    course: Course,
    image: Bytes,
    /// Answer of an images API of OpenAI's form.
    generated: Bytes,
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

impl Upstream {
    /// Starts it.
    pub(crate) async fn start() -> Result<Self> {
        Self::with(IMAGE_LENGTH, Course::Instant).await
    }

    /// Starts one with an image of that length, and jobs of that course.
    pub(crate) async fn with(image_length: usize, course: Course) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let answers = Arc::new(Answers::new(&url, image_length, course)?);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // As every server does that streams.
                let _ = stream.set_nodelay(true);
                let answers = Arc::clone(&answers);
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let answers = Arc::clone(&answers);
                        async move {
                            let path = request.uri().path().to_owned();
                            // A server that answers before it has read can't use the connection again.
                            let _ = request.into_body().collect().await;
                            Ok::<_, Infallible>(answers.answer(&path))
                        }
                    });
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
                });
            }
        });
        Ok(Self { url })
    }
}

impl Answers {
    fn new(url: &str, image_length: usize, course: Course) -> Result<Self> {
        let event = "8c1a8c8db072443abdafb6717252744b";
        let file = json!({
            "path": FILE, "url": format!("{url}/gradio_api/file={FILE}"), "size": null, "orig_name": "image.webp",
            "mime_type": null, "is_stream": false, "meta": {"_type": "gradio.FileData"},
        });
        let output = json!({"data": [file, 42], "is_generating": false, "duration": 0.003, "average_duration": 0.003});
        let step = |index: usize, length: usize| {
            let data = json!({"index": index, "length": length, "unit": "steps", "progress": null, "desc": null});
            json!({"msg": "progress", "event_id": event, "progress_data": [data]})
        };
        let mut events = vec![
            json!({"msg": "estimation", "event_id": event, "rank": 0, "queue_size": 1, "rank_eta": 0.003}),
            json!({"msg": "process_starts", "event_id": event, "eta": 0.003}),
        ];
        match course {
            Course::Instant => events.push(step(9, 9)),
            Course::Steps(steps) => events.extend((1..=steps).map(|index| step(index, steps))),
            Course::Endless => {}
        }
        if !matches!(course, Course::Endless) {
            events.extend([
                json!({
                    "msg": "process_completed", "event_id": event, "output": output, "success": true, "title": null,
                }),
                json!({"msg": "close_stream", "event_id": null}),
            ]);
        }
        let slider = |id: u64, label: &str, minimum: u64, maximum: u64, step: u64, value: u64| {
            let props = json!({"label": label, "minimum": minimum, "maximum": maximum, "step": step, "value": value});
            json!({"id": id, "type": "slider", "props": props})
        };
        let mut components = vec![
            json!({"id": 1, "type": "textbox", "props": {"label": "Prompt"}}),
            slider(2, "Height", 512, 2048, 64, 1024),
            slider(3, "Width", 512, 2048, 64, 1024),
            slider(4, "Inference Steps", 1, 20, 1, 9),
            slider(5, "Seed", 0, 2_147_483_647, 1, 42),
            json!({"id": 6, "type": "checkbox", "props": {"label": "Randomize Seed", "value": true}}),
            json!({"id": 7, "type": "image", "props": {"label": "Generated Image"}}),
        ];
        // As large as a real one.
        components.extend((10..70).map(|id| json!({"id": id, "type": "html", "props": {"info": "x".repeat(1000)}})));
        let config = json!({
            "version": "6.31.0", "api_prefix": "/gradio_api", "protocol": "sse_v3", "root": url,
            "components": components,
            "dependencies": [
                {"id": 0, "api_name": "toggle_seed", "backend_fn": true, "inputs": [6], "outputs": [5]},
                {
                    "id": 2, "api_name": "generate_image", "backend_fn": true, "api_visibility": "public",
                    "inputs": [1, 2, 3, 4, 5, 6], "outputs": [7, 5],
                },
            ],
        });
        let mut image = b"RIFF".to_vec();
        image.extend(u32::try_from(image_length - 8)?.to_le_bytes());
        image.extend(b"WEBPVP8 ");
        image
            .extend((0_u32..).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).take(image_length - image.len()));
        let events = events.iter().map(|event| format!("data: {event}\n\n"));
        let events = match course {
            // As a server writes what comes all at once.
            Course::Instant => vec![events.collect::<String>().into()],
            Course::Steps(_) | Course::Endless => events.map(Bytes::from).collect(),
        };
        Ok(Self {
            config: config.to_string().into(),
            joined: json!({"event_id": event}).to_string().into(),
            events,
            course,
            image: image.into(),
            generated: json!({"created": 1_764_028_800, "data": [{"url": format!("{url}/gradio_api/file={FILE}")}]})
                .to_string()
                .into(),
        })
    }

    fn answer(&self, path: &str) -> Answer {
        let whole = |body: &Bytes| Full::new(body.clone()).boxed_unsync();
        let (kind, body) = match path {
            "/config" => ("application/json", whole(&self.config)),
            "/gradio_api/queue/join" | "/gradio_api/cancel" => ("application/json", whole(&self.joined)),
            "/gradio_api/queue/data" => (
                "text/event-stream",
                match self.events.as_slice() {
                    [events] => whole(events),
                    events => StreamBody::new(paced(events.to_vec(), self.course).map(|event| Ok(Frame::data(event))))
                        .boxed_unsync(),
                },
            ),
            "/v1/images/generations" => ("application/json", whole(&self.generated)),
            _ if path.ends_with("/image.webp") => ("image/webp", whole(&self.image)),
            _ => {
                let mut response = Response::new(whole(&Bytes::new()));
                *response.status_mut() = http::StatusCode::NOT_FOUND;
                return response;
            }
        };
        let mut response = Response::new(body);
        response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
        response
    }
}

/// Events, one after the other; after the last of a job that never ends, nothing.
fn paced(events: Vec<Bytes>, course: Course) -> impl Stream<Item = Bytes> {
    let sent = stream::iter(events).then(|event| async move {
        tokio::time::sleep(STEP).await;
        event
    });
    match course {
        Course::Endless => sent.chain(stream::pending()).left_stream(),
        Course::Instant | Course::Steps(_) => sent.right_stream(),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn jobs_report_steps_or_never_end() {
        let events = async |course| {
            let answers = Answers::new("http://127.0.0.1:1", 100, course).unwrap();
            answers.answer("/gradio_api/queue/data").into_body()
        };
        let steps = events(Course::Steps(3)).await.collect().await.unwrap().to_bytes();
        let steps = String::from_utf8(steps.to_vec()).unwrap();
        assert_eq!(steps.matches("\"msg\":\"progress\"").count(), 3);
        assert!(steps.contains("process_completed"));

        let mut endless = pin!(events(Course::Endless).await);
        for _ in 0..2 {
            assert!(endless.frame().await.is_some());
        }
        assert!(tokio::time::timeout(STEP * 20, endless.frame()).await.is_err());
    }
}
