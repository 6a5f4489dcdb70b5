//! A Gradio Space that does everything at once: it speaks the wire of Gradio 6 and makes no image, it has one.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
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

/// The Space, on a free port of loopback.
pub(crate) struct Upstream {
    pub(crate) url: String,
}

struct Answers {
    config: Bytes,
    joined: Bytes,
    events: Bytes,
    image: Bytes,
}

impl Upstream {
    /// Starts it.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let answers = Arc::new(Answers::new(&url));
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
    fn new(url: &str) -> Self {
        let event = "8c1a8c8db072443abdafb6717252744b";
        let file = json!({
            "path": FILE, "url": format!("{url}/gradio_api/file={FILE}"), "size": null, "orig_name": "image.webp",
            "mime_type": null, "is_stream": false, "meta": {"_type": "gradio.FileData"},
        });
        let output = json!({"data": [file, 42], "is_generating": false, "duration": 0.003, "average_duration": 0.003});
        let step = json!({"index": 9, "length": 9, "unit": "steps", "progress": null, "desc": null});
        let events = [
            json!({"msg": "estimation", "event_id": event, "rank": 0, "queue_size": 1, "rank_eta": 0.003}),
            json!({"msg": "process_starts", "event_id": event, "eta": 0.003}),
            json!({"msg": "progress", "event_id": event, "progress_data": [step]}),
            json!({"msg": "process_completed", "event_id": event, "output": output, "success": true, "title": null}),
            json!({"msg": "close_stream", "event_id": null}),
        ];
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
        let mut image = b"RIFF\x58\xea\0\0WEBPVP8 ".to_vec();
        image
            .extend((0_u32..).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).take(IMAGE_LENGTH - image.len()));
        Self {
            config: config.to_string().into(),
            joined: json!({"event_id": event}).to_string().into(),
            events: events.map(|event| format!("data: {event}\n\n")).concat().into(),
            image: image.into(),
        }
    }

    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        let (kind, body) = match path {
            "/config" => ("application/json", &self.config),
            "/gradio_api/queue/join" | "/gradio_api/cancel" => ("application/json", &self.joined),
            "/gradio_api/queue/data" => ("text/event-stream", &self.events),
            _ if path.ends_with("/image.webp") => ("image/webp", &self.image),
            _ => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = http::StatusCode::NOT_FOUND;
                return response;
            }
        };
        let mut response = Response::new(Full::new(body.clone()));
        response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
        response
    }
}
