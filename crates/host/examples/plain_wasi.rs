//! Serves one component with WASI and nothing else, as `wasmtime serve -S cli` does: for tests, where that program
//! isn't installed. It links what that one links, and its instances live as long.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use clap::Parser;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use wasmtime::component::{Component, GuestTaskId, Linker, ResourceTable};
use wasmtime::{Cache, CacheConfig, Config, Engine, Store, StoreContextMut};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyHandler, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

/// Requests that an instance answers at once, by wasmtime's default.
const CONCURRENT: usize = 16;
/// Requests that an instance answers in all, by wasmtime's default.
const IN_ALL: usize = 128;
/// Time after which an instance without requests is dropped, by wasmtime's default.
const IDLE: Duration = Duration::from_secs(1);

/// Serves a component with WASI and nothing else.
#[derive(Debug, Parser)]
struct Arguments {
    /// The component.
    component: PathBuf,
    /// Address to listen on. Port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    addr: SocketAddr,
    /// Sets a variable of the component's environment, which has no others. Repeatable.
    #[arg(long = "env", value_name = "NAME=VALUE")]
    environment: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut config = Config::new();
    config.wasm_component_model(true).wasm_component_model_async(true);
    // Compiled once, for the next start, beside the bundled host's.
    let mut compiled = CacheConfig::new();
    compiled.with_directory(std::path::absolute(arguments.component.with_file_name("compiled"))?);
    config.cache(Some(Cache::new(compiled)?));
    let engine = Engine::new(&config)?;
    let component = Component::from_file(&engine, &arguments.component)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    let pre = ServicePre::new(linker.instantiate_pre(&component)?)?;
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').context("--env takes NAME=VALUE")?;
        Ok((name.to_owned(), value.to_owned()))
    };
    let environment = arguments.environment.iter().map(pair).collect::<Result<_>>()?;
    let handler = ProxyHandler::new(Served { engine, pre: ProxyPre::P3(pre), environment });

    let listener = TcpListener::bind(arguments.addr).await?;
    eprintln!("Serving HTTP on http://{}/", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let handler = handler.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| async { Ok::<_, Infallible>(answer(&handler, request).await) });
            // A client that breaks its connection off is the client's affair.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(handler: &ProxyHandler<Served>, request: hyper::Request<Incoming>) -> Response<WasiBody> {
    let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
    handler.handle((), request).await.unwrap_or_else(|error| {
        eprintln!("error: {error:?}");
        let mut response = Response::new(Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// The component that is served.
struct Served {
    engine: Engine,
    pre: ProxyPre<PlainGuest>,
    environment: Vec<(String, String)>,
}

/// An instance's side of the host.
struct PlainGuest {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: DefaultHooks,
}

/// Requests of the component, which go anywhere.
struct DefaultHooks;

impl WasiHttpHooks for DefaultHooks {}

impl WasiView for PlainGuest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for PlainGuest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

impl HandlerState for Served {
    type StoreData = PlainGuest;
    type WorkerExpiration = IdleExpiration;
    type WorkerState = Reused;

    async fn instantiate(&self) -> wasmtime::Result<Instance<PlainGuest, IdleExpiration, Reused>> {
        let guest = PlainGuest {
            table: ResourceTable::new(),
            wasi: WasiCtxBuilder::new().inherit_stdout().inherit_stderr().envs(&self.environment).build(),
            http: WasiHttpCtx::new(),
            hooks: DefaultHooks,
        };
        let mut store = Store::new(&self.engine, guest);
        let proxy = self.pre.instantiate_async(&mut store).await?;
        let expiration = IdleExpiration(Box::pin(tokio::time::sleep(IDLE)));
        Ok(Instance { store, proxy, view: WasiHttpView::http, expiration, state: Reused })
    }
}

/// Rule for when an instance is dropped.
struct IdleExpiration(Pin<Box<tokio::time::Sleep>>);

impl WorkerExpiration for IdleExpiration {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, start: Instant) -> Poll<()> {
        if !matches!(status, WorkerStatus::Idle) {
            return Poll::Pending;
        }
        let deadline = tokio::time::Instant::from_std(start + IDLE);
        if self.0.deadline() != deadline {
            self.0.as_mut().reset(deadline);
        }
        self.0.as_mut().poll(cx)
    }
}

/// Load that an instance takes on.
struct Reused;

impl WorkerState for Reused {
    type StoreData = PlainGuest;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, in_all: usize) -> ShouldAccept {
        if in_all >= IN_ALL {
            ShouldAccept::Never
        } else if concurrent >= CONCURRENT {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, PlainGuest>,
        (): (),
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        Box::pin(std::future::pending())
    }

    fn drop(&self, store: Store<PlainGuest>, result: wasmtime::Result<()>) {
        if let Err(error) = result {
            eprintln!("an instance failed: {error:#}");
        }
        drop(store);
    }
}
