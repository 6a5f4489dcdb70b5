//! Outbound HTTP: to allowed hosts only, over connections that the whole application shares.
//!
//! As in Spin: redirects are not followed, no user agent is added, each of a request's three time limits is 600 s
//! unless the guest sets it, and a host that isn't allowed gives the guest `HTTP-request-denied`.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tower_service::Service;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::allowed_hosts::AllowedHosts;
use crate::resolver::Resolver;
use crate::tls;

/// A time limit that the guest hasn't set.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
/// Time that a connection that nobody uses is kept: less than the 5 s after which uvicorn, which Gradio runs on, closes
/// it, as a request that meets the close is lost.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);

tokio::task_local! {
    /// Time that the request that is being sent may wait for a connection.
    static CONNECT_TIMEOUT: Duration;
}

/// Sends requests.
#[derive(Clone)]
pub(crate) struct Outbound {
    client: Client<TimedConnector, WasiBody>,
}

impl Outbound {
    /// A client with no connections yet. Servers' certificates may come from the authorities of the web, and from those
    /// in `authority`, as PEM text. Pieces of a request leave when they are written with `tcp_nodelay`.
    pub(crate) fn new(resolver: Resolver, authority: Option<&str>, tcp_nodelay: bool) -> anyhow::Result<Self> {
        let mut http = HttpConnector::new_with_resolver(resolver);
        http.enforce_http(false);
        http.set_nodelay(tcp_nodelay);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client(authority)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_timer(TokioTimer::new())
            .build(TimedConnector(https));
        Ok(Self { client })
    }
}

/// Checks that a component's requests go through.
pub(crate) struct Hooks {
    pub(crate) outbound: Outbound,
    pub(crate) allowed: AllowedHosts,
    pub(crate) component: String,
}

type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        if !self.allowed.allows(request.uri()) {
            let (scheme, authority) = (request.uri().scheme_str(), request.uri().authority());
            eprintln!(
                "{}: refused to connect to {}://{}: not in allowed_outbound_hosts",
                self.component,
                scheme.unwrap_or_default(),
                authority.map(|authority| authority.as_str().escape_default().to_string()).unwrap_or_default()
            );
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        let client = self.outbound.client.clone();
        Box::new(async move {
            let answer = send(client, request, options.unwrap_or_default()).await?;
            Ok((answer, Box::new(async { Ok(()) }) as Box<_>))
        })
    }
}

async fn send(
    client: Client<TimedConnector, WasiBody>,
    mut request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<Response<WasiBody>, Error> {
    let connect = options.connect_timeout.unwrap_or(DEFAULT_TIMEOUT);
    let first_byte = options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT);
    let between_bytes = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);
    if matches!(*request.method(), Method::GET | Method::HEAD)
        && !request.headers().contains_key(header::CONTENT_LENGTH)
    {
        // The body of a guest's request is a stream whose end isn't known. Without a length, it would be announced as
        // chunked, which a GET should not be; whatever a guest means to send with one, it can send with a length.
        *request.body_mut() = Empty::new().map_err(|never| match never {}).boxed_unsync();
    }
    // The `http` crate's form of HTTP/1.1: the client writes `Host` from the URI.
    request.headers_mut().remove(header::HOST);
    let sending = CONNECT_TIMEOUT.scope(connect, client.request(request));
    match timeout(connect.saturating_add(first_byte), sending).await {
        Err(_) => Err(Error::HttpResponseTimeout),
        Ok(Err(error)) => Err(guest_error(&error)),
        Ok(Ok(answer)) => Ok(answer.map(|body| TimedBody::new(body, between_bytes).boxed_unsync())),
    }
}

/// Error of a failed request, for the guest.
fn guest_error(error: &hyper_util::client::legacy::Error) -> Error {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            match error.kind() {
                io::ErrorKind::ConnectionRefused => return Error::ConnectionRefused,
                io::ErrorKind::TimedOut => return Error::ConnectionTimeout,
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                    return Error::DestinationIpUnroutable;
                }
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
                    return Error::ConnectionTerminated;
                }
                _ => {}
            }
        }
        if error.to_string() == "dns error" {
            return Error::DnsError { rcode: None, info_code: None };
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_incomplete_message() || error.is_closed() || error.is_canceled())
        {
            return Error::ConnectionTerminated;
        }
        cause = error.source();
    }
    if error.is_connect() { Error::DestinationUnavailable } else { Error::HttpProtocolError }
}

/// Connects, within the time limit of the request that wants it.
#[derive(Clone)]
struct TimedConnector(HttpsConnector<HttpConnector<Resolver>>);

impl Service<http::Uri> for TimedConnector {
    type Response = <HttpsConnector<HttpConnector<Resolver>> as Service<http::Uri>>::Response;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let limit = CONNECT_TIMEOUT.try_get().unwrap_or(DEFAULT_TIMEOUT);
        let connecting = self.0.call(uri);
        Box::pin(async move {
            match timeout(limit, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        })
    }
}

/// An answer's body, which must not pause for too long.
struct TimedBody {
    body: hyper::body::Incoming,
    limit: Duration,
    pause: Pin<Box<Sleep>>,
}

impl TimedBody {
    fn new(body: hyper::body::Incoming, limit: Duration) -> Self {
        Self { body, limit, pause: Box::pin(sleep(limit)) }
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let next = Instant::now() + self.limit;
                self.pause.as_mut().reset(next);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(Error::HttpResponseIncomplete))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => self.pause.as_mut().poll(cx).map(|()| Some(Err(Error::ConnectionReadTimeout))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Headers that only the host sets, on the way in.
pub(crate) fn header_value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok()
}
