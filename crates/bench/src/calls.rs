//! The calls that are measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::clock::now;
use crate::upstream::{FILE, IMAGE_LENGTH};

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
        }
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
                let body = format!(r#"{{"prompt":"a red fox","seed":42,"response_format":"{format}"}}"#);
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
        }
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
        self.send(Request::builder().method(Method::GET).uri(url).body(Full::default())?).await
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
