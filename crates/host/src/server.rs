//! Answering clients: HTTP/1.1 and HTTP/2 without TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use wasmtime_wasi_http::WasiBody;

use crate::computing::RunningRequest;
use crate::connections::{Connection, ConnectionOptions, Connections};
use crate::outbound::header_value;
use crate::route::{Route, Router};
use crate::runtime::Runtime;

/// Time that requests in flight may go on after the signal to stop.
const STOPPING: Duration = Duration::from_secs(10);

/// Interval of pings on HTTP/2 connections, and time for their answers.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Serves until SIGTERM or SIGINT, then lets requests in flight finish.
pub(crate) async fn serve(
    listen: SocketAddr,
    options: ConnectionOptions,
    router: Router,
    runtime: &Runtime,
) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    println!("Serving http://{}", listener.local_addr()?);

    let router = Arc::new(router);
    let (connections, shutdown) = (Connections::new(options), GracefulShutdown::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        match accepted {
            Ok((stream, client)) => {
                let connection = tokio::select! {
                    connection = connections.admit() => connection,
                    _ = terminate.recv() => break,
                    _ = interrupt.recv() => break,
                };
                converse(stream, client, &router, connection, options, &shutdown);
            }
            Err(error) => {
                // Out of file descriptors, say: what is open may end meanwhile.
                eprintln!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    eprintln!("stopping");
    let finished = async {
        shutdown.shutdown().await;
        runtime.stop().await;
    };
    if tokio::time::timeout(STOPPING, finished).await.is_err() {
        eprintln!("what was still going on after {} s was cut off", STOPPING.as_secs());
    }
    Ok(())
}

/// Answers the requests of one connection, beside the others.
fn converse(
    stream: TcpStream,
    client: SocketAddr,
    router: &Arc<Router>,
    connection: Connection,
    options: ConnectionOptions,
    shutdown: &GracefulShutdown,
) {
    let _ = stream.set_nodelay(options.tcp_nodelay);
    let stream = TokioIo::new(connection.stream(stream));
    let (router, connection) = (Arc::clone(router), Arc::new(connection));
    let requests = Arc::clone(&connection);
    let service = service_fn(move |request| {
        let (router, active) = (Arc::clone(&router), requests.begin_request());
        async move {
            let response = answer(&router, client, request).await;
            // The request lasts as long as its answer.
            Ok::<_, Infallible>(response.map(|body| active.body(body)))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(options.idle).max_buf_size(options.header_bytes);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE);
    http2.max_concurrent_streams(options.streams);
    http2.max_header_list_size(u32::try_from(options.header_bytes).unwrap_or(u32::MAX));
    let conversation = builder.serve_connection(stream, service).into_owned();
    let conversation = shutdown.watch(conversation);
    tokio::spawn(async move {
        tokio::select! {
            // A client that breaks its connection off is the client's affair.
            _ = conversation => {}
            () = connection.expired() => {}
        }
    });
}

async fn answer(router: &Router, client: SocketAddr, request: Request<Incoming>) -> Response<WasiBody> {
    let Some(route) = router.find(request.uri().path()) else {
        return plain(StatusCode::NOT_FOUND, "no component answers this path\n");
    };
    let Some(request) = for_guest(route, client, request) else {
        return plain(StatusCode::BAD_REQUEST, "the request's Host can't be read\n");
    };
    let running = RunningRequest::new(&request);
    match route.app.handle(Arc::clone(&running), request).await {
        Ok(response) => {
            running.answered(response.headers());
            // It runs until its answer ends.
            response.map(|body| {
                body.map_frame(move |frame| {
                    let _ = &running;
                    frame
                })
                .boxed_unsync()
            })
        }
        Err(error) => {
            eprintln!("{}: no answer: {error:#}", route.component);
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the component failed\n")
        }
    }
}

/// The request as the component gets it: with an absolute URI, and with the headers that Spin adds.
fn for_guest(route: &Route, client: SocketAddr, request: Request<Incoming>) -> Option<Request<WasiBody>> {
    let (mut head, body) = request.into_parts();
    let authority = match head.uri.authority() {
        Some(authority) => authority.clone(),
        None => {
            // Of two, a proxy might have looked at the other one (RFC 9112 section 3.2).
            let mut hosts = head.headers.get_all(header::HOST).iter();
            let host = hosts.next().filter(|_| hosts.next().is_none())?;
            host.to_str().ok()?.parse().ok()?
        }
    };
    let path_and_query = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let path = head.uri.path();
    let rest = route.pattern.rest(path).unwrap_or_default().to_owned();
    let base = route.pattern.without_wildcard();
    let full_url = format!("http://{authority}{path_and_query}");

    let own: Vec<HeaderName> = head.headers.keys().filter(|name| name.as_str().starts_with("spin-")).cloned().collect();
    for name in own {
        head.headers.remove(name);
    }
    for (name, value) in [
        ("spin-full-url", full_url.as_str()),
        ("spin-path-info", &rest),
        ("spin-matched-route", &route.pattern.text),
        ("spin-raw-component-route", &route.pattern.text),
        ("spin-component-route", base),
        ("spin-base-path", "/"),
        ("spin-client-addr", &client.to_string()),
    ] {
        if let Some(value) = header_value(value) {
            head.headers.insert(HeaderName::from_static(name), value);
        }
    }
    head.uri = Uri::builder().scheme("http").authority(authority).path_and_query(path_and_query).build().ok()?;
    let body = body.map_err(wasmtime_wasi_http::Error::from).boxed_unsync();
    Some(Request::from_parts(head, body))
}

fn plain(status: StatusCode, text: &'static str) -> Response<WasiBody> {
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
