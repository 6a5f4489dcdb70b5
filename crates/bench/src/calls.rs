//! The calls that are measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::clock::now;
use crate::stats::{Round, Samples};
use crate::upstream::{FILE, IMAGE_LENGTH};

/// Model of the calls.
pub(crate) const MODEL: &str = "z-image-turbo";

/// A call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Join and data, of the upstream itself.
    DirectUrl,
    /// The same, and the file.
    DirectFile,
    /// A generation through the component, answered with a link.
    GenerateUrl,
    /// The same with an `Idempotency-Key` of its own.
    GenerateOnce,
    /// A generation as a task, which is answered before it is made.
    Task,
    /// A generation through the component, answered with the image in base64.
    GenerateBase64,
    /// `GET /healthz` of the component.
    Health,
    /// `GET /v1/models` of the component.
    Models,
    /// The file that the caller is set up with.
    Download,
    /// A chat, streamed to its end.
    Stream,
}

impl Call {
    /// Name in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DirectUrl => "direct: join, data",
            Self::DirectFile => "direct: join, data, file",
            Self::GenerateUrl => "component: url",
            Self::GenerateOnce => "component: url, Idempotency-Key",
            Self::Task => "component: task",
            Self::GenerateBase64 => "component: b64_json",
            Self::Health => "component: healthz",
            Self::Models => "component: models",
            Self::Download => "file",
            Self::Stream => "component: streamed chat",
        }
    }
}

/// Makes calls over connections that it keeps.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
    upstream: String,
    host: String,
    authorization: String,
    keys: Arc<AtomicU64>,
    /// URL of the file, and its length.
    file: (String, usize),
}

/// An answer that has begun.
pub(crate) struct Begun {
    /// Time to the first byte of the body.
    pub(crate) first: Duration,
    /// Length of what has come.
    length: usize,
    body: Incoming,
}

impl Begun {
    /// Reads on to the end, and returns the body's length.
    pub(crate) async fn finish(mut self) -> Result<usize> {
        while let Some(frame) = self.body.frame().await {
            self.length += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(self.length)
    }
}

impl Caller {
    pub(crate) fn new(upstream: &str, host: &str, key: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            upstream: upstream.to_owned(),
            host: host.to_owned(),
            authorization: format!("Bearer {key}"),
            keys: Arc::default(),
            file: Default::default(),
        }
    }

    /// The caller, set up with a file of that length.
    pub(crate) fn with_file(self, url: String, length: usize) -> Self {
        Self { file: (url, length), ..self }
    }

    /// Makes `count` calls, `at_once` at a time, and returns the time of each.
    pub(crate) async fn many(&self, call: Call, at_once: usize, count: usize) -> Result<Vec<Duration>> {
        stream::iter(0..count)
            .map(|_| async move {
                let begun = now();
                self.one(call).await?;
                anyhow::Ok(begun.elapsed())
            })
            .buffer_unordered(at_once)
            .try_collect()
            .await
    }

    /// Makes calls for `time`, `at_once` at a time.
    pub(crate) async fn for_time(&self, call: Call, at_once: usize, time: Duration) -> Result<Round> {
        let begun = now();
        let unfinished = std::iter::from_fn(|| (begun.elapsed() < time).then_some(()));
        let times: Vec<Duration> = stream::iter(unfinished)
            .map(|()| async move {
                let begun = now();
                self.one(call).await?;
                anyhow::Ok(begun.elapsed())
            })
            .buffer_unordered(at_once)
            .try_collect()
            .await?;
        let mut samples = Samples::default();
        samples.extend(times);
        Ok(Round::of(&samples, begun.elapsed()))
    }

    async fn one(&self, call: Call) -> Result<()> {
        match call {
            Call::DirectUrl => self.direct().await,
            Call::DirectFile => {
                self.direct().await?;
                let file = self.get(format!("{}/gradio_api/file={FILE}", self.upstream)).await?;
                ensure!(file.len() == IMAGE_LENGTH, "the file has {} bytes", file.len());
                Ok(())
            }
            Call::GenerateUrl | Call::GenerateOnce | Call::Task | Call::GenerateBase64 => {
                let format = if call == Call::GenerateBase64 { "b64_json" } else { "url" };
                let body =
                    format!(r#"{{"model":"{MODEL}","prompt":"a red fox","seed":42,"response_format":"{format}"}}"#);
                let header = match call {
                    Call::GenerateOnce => Some(("idempotency-key", self.new_key())),
                    Call::Task => Some(("prefer", "respond-async".to_owned())),
                    _ => None,
                };
                let answer = self.post(format!("{}/v1/images/generations", self.host), body, header).await?;
                ensure!(
                    answer.windows(format.len()).any(|window| window == format.as_bytes()),
                    "no image in the answer"
                );
                Ok(())
            }
            Call::Health => self.get(format!("{}/healthz", self.host)).await.map(drop),
            Call::Models => self.get(format!("{}/v1/models", self.host)).await.map(drop),
            Call::Download => self.download().await.map(drop),
            Call::Stream => {
                let length = self.begin_stream().await?.finish().await?;
                ensure!(length > 0, "the stream is empty");
                Ok(())
            }
        }
    }

    /// Gets the file, and returns the time to its first byte.
    pub(crate) async fn download(&self) -> Result<Duration> {
        let (url, length) = &self.file;
        let begun = self.begin(Request::builder().uri(url).body(Full::default())?).await?;
        let first = begun.first;
        let came = begun.finish().await?;
        ensure!(came == *length, "{came} bytes came of a file of {length}");
        Ok(first)
    }

    /// Link to an image that the component has had made.
    pub(crate) async fn link(&self) -> Result<String> {
        let body = format!(r#"{{"model":"{MODEL}","prompt":"a red fox","response_format":"url"}}"#);
        let answer = self.post(format!("{}/v1/images/generations", self.host), body, None).await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let url = answer.pointer("/data/0/url").and_then(Value::as_str).context("no link in the answer")?;
        Ok(url.to_owned())
    }

    /// Begins a streamed chat, up to its first event.
    pub(crate) async fn begin_stream(&self) -> Result<Begun> {
        let messages = r#"[{"role":"user","content":"a red fox"}]"#;
        let body = format!(r#"{{"model":"{MODEL}","messages":{messages},"stream":true}}"#);
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/v1/chat/completions", self.host))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, &self.authorization);
        self.begin(request.body(Full::new(Bytes::from(body)))?).await
    }

    async fn direct(&self) -> Result<()> {
        let body = r#"{"data":["a red fox",1024,1024,9,42,false],"fn_index":2,"session_hash":"0123456789abcdef"}"#;
        let joined = self.post(format!("{}/gradio_api/queue/join", self.upstream), body.to_owned(), None).await?;
        let joined: Value = serde_json::from_slice(&joined)?;
        ensure!(joined.get("event_id").is_some(), "not joined");
        let events = self.get(format!("{}/gradio_api/queue/data?session_hash=0123456789abcdef", self.upstream)).await?;
        ensure!(events.windows(17).any(|window| window == b"process_completed"), "not completed");
        Ok(())
    }

    async fn get(&self, url: String) -> Result<Bytes> {
        let request = Request::builder().method(Method::GET).uri(url);
        self.send(request.header(header::AUTHORIZATION, &self.authorization).body(Full::default())?).await
    }

    /// A key that no other call has.
    fn new_key(&self) -> String {
        format!("bench-{}", self.keys.fetch_add(1, Ordering::Relaxed))
    }

    async fn post(&self, url: String, body: String, header: Option<(&'static str, String)>) -> Result<Bytes> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, &self.authorization);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        self.send(request.body(Full::new(Bytes::from(body)))?).await
    }

    /// Sends a request, and waits for the first byte of the answer's body.
    async fn begin(&self, request: Request<Full<Bytes>>) -> Result<Begun> {
        let path = request.uri().path().to_owned();
        let begun = now();
        let answer = self.client.request(request).await?;
        let status = answer.status();
        let mut body = answer.into_body();
        let frame = body.frame().await.with_context(|| format!("{path} answered {status} without a body"))??;
        let data = frame.data_ref().cloned().unwrap_or_default();
        ensure!(status.is_success(), "{path} answered {status}: {}", String::from_utf8_lossy(&data));
        Ok(Begun { first: begun.elapsed(), length: data.len(), body })
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Bytes> {
        let path = request.uri().path().to_owned();
        let answer = self.client.request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{path} answered {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Upstream;

    #[tokio::test]
    async fn the_upstream_answers_direct_calls() {
        let upstream = Upstream::start().await.unwrap();
        let caller = Caller::new(&upstream.url, "http://127.0.0.1:1", "k");
        assert_eq!(caller.many(Call::DirectUrl, 4, 8).await.unwrap().len(), 8);
        assert_eq!(caller.many(Call::DirectFile, 2, 2).await.unwrap().len(), 2);
        assert!(caller.many(Call::Health, 1, 1).await.is_err(), "nobody is there");
    }
}
