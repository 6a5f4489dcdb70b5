//! Sending images to a Space.
//!
//! Source: Gradio's `routes.py` (`/upload`): multipart, field `files`; the answer is a list of paths, in order. A wrong
//! field name is answered with an empty list.

use std::cell::Cell;
use std::rc::Rc;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::future::{Either, select};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use url::Url;

use super::client::Client;
use super::config::Base;
use super::failure::Failure;
use super::mask::layer;
use crate::bounded_json::JsonBounds;
use crate::generation::SourceImage;
use crate::platform::{Inbound, OnSent, Outbound, TransportError, UNCOUNTED, grow, random_hex, send};

/// A request's images, as a Space's own files: each a `FileData`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Uploaded {
    /// The images.
    pub images: Vec<Value>,
    /// The mask.
    pub mask: Option<Value>,
}

impl Uploaded {
    /// Uploads them in one call. It may take as long as a job, while it gets on. A mask for an editor is turned into a
    /// layer of it.
    ///
    /// # Errors
    /// Every [`Failure`] of a call; [`Failure::Unreadable`] where the Space doesn't say where it has put them.
    pub async fn send(
        client: &Client,
        base: &Base,
        images: &[SourceImage],
        mask: Option<&SourceImage>,
        is_for_editor: bool,
    ) -> Result<Self, Failure> {
        let layer = match mask {
            Some(mask) if is_for_editor => Some(layer(client.host(), mask).await),
            _ => None,
        };
        let all: Vec<&SourceImage> = images.iter().chain(layer.as_ref().or(mask)).collect();
        if all.is_empty() {
            return Ok(Self::default());
        }
        let boundary = random_hex::<16>(client.host());
        let content_type = HeaderValue::from_str(&format!("multipart/form-data; boundary={boundary}"))
            .map_err(|_| Failure::Unreadable("the upload has no type".into()))?;
        let mut memory = client.host().memory().none();
        let length = all.iter().map(|image| image.bytes.len()).sum::<usize>();
        if length > UNCOUNTED {
            grow(client.host(), &mut memory, length).await?;
        }
        let form = memory.hold(multipart(&boundary, &all));
        let answer = post(client, base.url("/upload"), content_type, form).await?;
        let body = client.body("upload", answer).await?;
        let paths: Vec<String> = JsonBounds::EVENT.parse(&body).unwrap_or_default();
        if paths.len() != all.len() {
            return Err(Failure::Unreadable("it does not say where it has put an uploaded image".into()));
        }
        let mut files = paths.iter().zip(&all).map(|(path, image)| file_data(path, image));
        let images = files.by_ref().take(images.len()).collect();
        Ok(Self { images, mask: files.next() })
    }
}

/// Sends a body that may be on its way for as long as a job: each piece that is taken is a sign of life.
async fn post(client: &Client, url: Url, content_type: HeaderValue, body: Bytes) -> Result<Inbound, Failure> {
    let mut headers = HeaderMap::with_capacity(5);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, content_type);
    let (host, limits) = (client.host(), client.limits());
    let begun = host.now();
    let alive = Rc::new(Cell::new(begun));
    let on_sent = {
        let (host, alive) = (Rc::clone(host), Rc::clone(&alive));
        Some(OnSent(Rc::new(move || alive.set(host.now()))))
    };
    let request = client.outbound(Method::POST, url.clone(), headers, Some(body));
    let mut sending = send(host, Outbound { head_timeout: limits.job, on_sent, ..request });
    loop {
        let overdue = begun.saturating_add(limits.job);
        let ends = alive.get().saturating_add(limits.idle).min(overdue);
        match select(sending, host.sleep(ends.saturating_sub(host.now()))).await {
            Either::Left((Err(TransportError::TimedOut(_)), _)) => return Err(Failure::Stalled { after: limits.idle }),
            Either::Left((answer, _)) => return Ok(client.keep_cookies(&url, answer?)),
            Either::Right(((), _)) if host.now() >= overdue => return Err(Failure::Overdue { after: limits.job }),
            Either::Right(((), _)) if host.now() >= alive.get().saturating_add(limits.idle) => {
                return Err(Failure::Stalled { after: limits.idle });
            }
            Either::Right(((), goes_on)) => sending = goes_on,
        }
    }
}

fn file_name(image: &SourceImage) -> String {
    format!("image.{}", image.format.name())
}

fn file_data(path: &str, image: &SourceImage) -> Value {
    json!({
        "path": path,
        "orig_name": file_name(image),
        "size": image.bytes.len(),
        "mime_type": format!("image/{}", image.format.name()),
        "meta": {"_type": "gradio.FileData"},
    })
}

/// The files as a form (RFC 7578).
fn multipart(boundary: &str, images: &[&SourceImage]) -> Bytes {
    let length: usize = images.iter().map(|image| image.bytes.len() + 200).sum();
    let mut body = BytesMut::with_capacity(length + 100);
    for image in images {
        let head = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"files\"; filename=\"{}\"\r\n\
             content-type: image/{}\r\n\r\n",
            file_name(image),
            image.format.name()
        );
        body.put_slice(head.as_bytes());
        body.put_slice(&image.bytes);
        body.put_slice(b"\r\n");
    }
    body.put_slice(format!("--{boundary}--\r\n").as_bytes());
    body.freeze()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::LocalBoxFuture;

    use super::*;
    use crate::generation::Format;
    use crate::gradio::limits::Limits;
    use crate::gradio::space::Space;
    use crate::platform::Platform as _;
    use crate::platform::sim::space::answer;
    use crate::platform::sim::{SimServer, World};

    /// A Space that takes a piece of an upload every so many seconds, so many times, and answers if it has all.
    struct SlowSpace {
        pause: u64,
        pieces: u32,
        answers: bool,
    }

    impl SimServer for SlowSpace {
        fn answer(&self, world: &World, request: Outbound) -> LocalBoxFuture<'static, Result<Inbound, TransportError>> {
            let (world, pause, pieces, answers) = (world.clone(), self.pause, self.pieces, self.answers);
            Box::pin(async move {
                for _ in 0..pieces {
                    world.sleep(Duration::from_secs(pause)).await;
                    (request.on_sent.as_ref().unwrap().0)();
                }
                if !answers {
                    std::future::pending::<()>().await;
                }
                Ok(answer(200, r#"["/tmp/gradio/a/image.png"]"#.to_owned()))
            })
        }
    }

    /// Outcome of an upload to such a Space within 300 s for all and 30 s of silence, and the seconds that it takes.
    fn upload(pause: u64, pieces: u32, answers: bool) -> (Result<usize, Failure>, u64) {
        let world = World::new(1);
        let space = Space::parse("http://127.0.0.1:7860").unwrap();
        world.put_server("http://127.0.0.1:7860", Rc::new(SlowSpace { pause, pieces, answers }));
        let limits = Limits { job: Duration::from_secs(300), idle: Duration::from_secs(30) };
        let (client, base) = (Client::new(world.host(), limits), Base::new(space.origin().clone(), ""));
        let image = SourceImage { bytes: Bytes::from_static(b"x"), format: Format::Png };
        let sent = world.run(async move { Uploaded::send(&client, &base, &[image], None, false).await });
        (sent.map(|sent| sent.images.len()), world.now().as_secs())
    }

    #[test]
    fn an_upload_may_take_as_long_as_a_job_while_it_gets_on() {
        assert_eq!(upload(10, 20, true), (Ok(1), 200));
        assert_eq!(upload(10, 3, false), (Err(Failure::Stalled { after: Duration::from_secs(30) }), 60));
        assert_eq!(upload(31, 3, true), (Err(Failure::Stalled { after: Duration::from_secs(30) }), 30));
        assert_eq!(upload(10, 100, true), (Err(Failure::Overdue { after: Duration::from_secs(300) }), 300));
    }
}
