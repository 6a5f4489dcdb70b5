//! Components in wasmtime: compiled once, instantiated when there is work, used again while they last.
//!
//! As in Spin 4.1, an instance answers up to 16 requests at once, and is dropped after a second of idleness. Where they
//! wait for it, as it has one thread, others beside it take the next ones, up to one for each processor. It answers
//! 2048 in all, where Spin has 128 unless told otherwise: a start takes some milliseconds, and a busy service
//! would have a twentieth of its time for them. A component that traps takes the requests in its instance with it and
//! nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use wasmtime::component::{Component, GuestTaskId, Linker, ResourceTable};
use wasmtime::{
    Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, StoreContextMut,
    StoreLimitsBuilder, UpdateDeadline,
};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyHandler, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpView};

use crate::admission::{Admission, processors};
use crate::allowed_hosts::AllowedHosts;
use crate::computing::{Computing, Endless, Load, RunningRequest, RunningRequests};
use crate::guest::Guest;
use crate::manifest;
use crate::outbound::{Hooks, Outbound};
use crate::postgres::Pools;
use crate::spin;
use crate::spin::state::{Granted, Spin};
use crate::sqlite::Databases;
use crate::statement_log::StatementLog;
use crate::variables::Variables;

const CONCURRENT_REQUESTS: usize = 16;
/// Requests at once that a busy instance takes in any case.
const FEW_REQUESTS: usize = 2;
const IDLE: Duration = Duration::from_secs(1);
/// Time that an instance may still work after its last answer.
const POST_RETURN: Duration = Duration::from_secs(600);
/// Time that a component may compute before others have their turn.
const TICK: Duration = Duration::from_millis(10);
/// The most instances at a time, over all components.
const INSTANCES: u32 = 1000;
/// The most memory of an instance, in bytes.
const MEMORY: usize = 256 << 20;

/// Wasmtime, set up.
#[derive(Clone)]
pub(crate) struct Runtime {
    engine: Engine,
    /// The instances that live.
    instances: TaskTracker,
    /// Set when the host stops: instances that have nothing to do are dropped at once then.
    stopping: CancellationToken,
    statements: StatementLog,
    limits: InstanceLimits,
}

/// Limits of an instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InstanceLimits {
    /// Time for which it may compute without a pause.
    pub(crate) compute: Duration,
    /// Number of requests that it answers in all.
    pub(crate) requests: usize,
}

impl Runtime {
    /// Sets it up, with compiled components kept in the folder `compiled` for the next start. What they ask databases
    /// is listed in `statements`.
    pub(crate) fn new(compiled: &Path, statements: StatementLog, limits: InstanceLimits) -> Result<Self> {
        let mut config = Config::new();
        config.wasm_component_model(true).wasm_component_model_async(true).epoch_interruption(true);
        match cache(compiled) {
            Ok(cache) => {
                config.cache(Some(cache));
            }
            Err(error) => eprintln!("compiled components are not kept: {error}"),
        }
        let mut pool = PoolingAllocationConfig::default();
        pool.total_component_instances(INSTANCES)
            .total_core_instances(INSTANCES * 4)
            .total_memories(INSTANCES)
            .total_tables(INSTANCES * 4)
            .total_stacks(INSTANCES * 16)
            .max_memory_size(MEMORY)
            .linear_memory_keep_resident(1 << 20)
            .table_keep_resident(64 << 10);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config)?;
        let ticking = engine.weak();
        std::thread::spawn(move || {
            while let Some(engine) = ticking.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::park_timeout(TICK);
            }
        });
        Ok(Self { engine, instances: TaskTracker::new(), stopping: CancellationToken::new(), statements, limits })
    }

    /// Returns when all instances have done what they still had to do after their last answer.
    pub(crate) async fn stop(&self) {
        self.stopping.cancel();
        self.instances.close();
        self.instances.wait().await;
    }
}

/// Compiled components, by the digest of what they are made of, in that folder; in the user's cache directory where
/// there is none and none can be made.
fn cache(folder: &Path) -> wasmtime::Result<Cache> {
    let mut config = CacheConfig::new();
    config.with_directory(std::path::absolute(folder)?);
    Cache::new(config).or_else(|_| Cache::new(CacheConfig::new()))
}

/// A component, ready to answer requests.
pub(crate) struct App {
    handler: ProxyHandler<AppState>,
    admission: Admission,
}

impl App {
    /// Compiles the component of that description; `directory` is the manifest's.
    pub(crate) fn load(
        runtime: &Runtime,
        description: &manifest::Component,
        directory: &Path,
        variables: &Variables,
        outbound: &Outbound,
        databases: &Arc<Databases>,
    ) -> Result<Self> {
        databases.check(description)?;
        let path = directory.join(&description.source);
        let hint = description.build_command.as_deref().map(|command| format!("; build it with: {command}"));
        let bytes = std::fs::read(&path)
            .with_context(|| format!("cannot read {}{}", path.display(), hint.unwrap_or_default()))?;
        let component = Component::from_binary(&runtime.engine, &bytes)
            .map_err(anyhow::Error::from)
            .with_context(|| format!("{} is no WebAssembly component that runs here", path.display()))?;
        let mut linker = Linker::new(&runtime.engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
        spin::add_to_linker(&mut linker)?;
        let pre =
            linker.instantiate_pre(&component).and_then(ServicePre::new).map_err(anyhow::Error::from).with_context(
                || format!("{}: the component `{}` wants what this host doesn't have", path.display(), description.id),
            )?;

        let expand = |template: &String| variables.expand(template);
        let hosts: Vec<_> = description.allowed_outbound_hosts.iter().map(expand).collect::<Result<_>>()?;
        let allowed = AllowedHosts::parse(hosts.iter().map(String::as_str))?;
        let values = description.variables.iter().map(|(name, template)| Ok((name.clone(), expand(template)?)));
        let values: BTreeMap<_, _> = values.collect::<Result<_>>()?;
        Ok(Self {
            admission: Admission::new(),
            handler: ProxyHandler::new(AppState {
                id: description.id.as_str().into(),
                crowd: Arc::default(),
                runtime: runtime.clone(),
                pre: ProxyPre::P3(pre),
                outbound: outbound.clone(),
                granted: Granted {
                    variables: Arc::new(values),
                    allowed_databases: description.sqlite_databases.clone().into(),
                    databases: Arc::clone(databases),
                    pools: Arc::new(Pools::new(&description.id, allowed.clone())),
                },
                allowed,
            }),
        })
    }

    /// Has a request answered, which is `running` until it is dropped.
    pub(crate) async fn handle(
        &self,
        running: Arc<RunningRequest>,
        request: wasmtime_wasi_http::handler::Request,
    ) -> wasmtime::Result<wasmtime_wasi_http::handler::Response> {
        self.admission.admit(&running.permit).await;
        let answer = self.handler.handle(Arc::clone(&running), request).await;
        running.permit.release();
        answer
    }
}

struct AppState {
    id: Arc<str>,
    /// Number of instances that live.
    crowd: Arc<AtomicUsize>,
    runtime: Runtime,
    pre: ProxyPre<Guest>,
    allowed: AllowedHosts,
    outbound: Outbound,
    granted: Granted,
}

impl HandlerState for AppState {
    type StoreData = Guest;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<Guest, Expiration, Worker>> {
        let guest = Guest {
            table: ResourceTable::new(),
            wasi: WasiCtxBuilder::new().stdout(wasmtime_wasi::cli::stderr()).inherit_stderr().build(),
            http: WasiHttpCtx::new(),
            hooks: Hooks {
                outbound: self.outbound.clone(),
                allowed: self.allowed.clone(),
                component: self.id.to_string(),
            },
            spin: Spin::new(self.granted.clone(), self.runtime.statements.writer()),
            limits: StoreLimitsBuilder::new().memory_size(MEMORY).build(),
        };
        let mut store = Store::new(&self.runtime.engine, guest);
        store.limiter(|guest| &mut guest.limits);
        // A component that computes for long lets others have their turn, until it has done nothing else for too long.
        let computing = Arc::new(Computing::default());
        let (interrupted, limit) = (Arc::clone(&computing), self.runtime.limits.compute);
        store.epoch_deadline_callback(move |_| {
            let ticks = u32::try_from(interrupted.interrupt()).unwrap_or(u32::MAX);
            if TICK.saturating_mul(ticks) < limit {
                Ok(UpdateDeadline::Yield(1))
            } else {
                Err(wasmtime::Error::new(Endless(limit)))
            }
        });
        store.set_epoch_deadline(1);
        let proxy = self.pre.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy,
            view: WasiHttpView::http,
            expiration: Expiration {
                sleep: Box::pin(tokio::time::sleep(IDLE)),
                stopping: Box::pin(self.runtime.stopping.clone().cancelled_owned()),
                computing: Arc::clone(&computing),
            },
            state: Worker {
                id: Arc::clone(&self.id),
                stopping: self.runtime.stopping.clone(),
                running: RunningRequests::default(),
                beginning: Mutex::default(),
                computing,
                load: Load::default(),
                crowd: Member::join(&self.crowd),
                requests: self.runtime.limits.requests,
                _alive: self.runtime.instances.token(),
            },
        })
    }
}

/// Membership of an instance among those of its component that live.
struct Member(Arc<AtomicUsize>);

impl Member {
    fn join(crowd: &Arc<AtomicUsize>) -> Self {
        crowd.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(crowd))
    }

    /// Number of those that live.
    fn len(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Rule for when an instance is dropped.
struct Expiration {
    sleep: Pin<Box<tokio::time::Sleep>>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    computing: Arc<Computing>,
}

impl WorkerExpiration for Expiration {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, start: Instant) -> Poll<()> {
        // It is asked whenever the instance gives its thread back.
        self.computing.give_back();
        let limit = match status {
            WorkerStatus::Idle if self.stopping.as_mut().poll(cx).is_ready() => return Poll::Ready(()),
            WorkerStatus::Idle => IDLE,
            WorkerStatus::PostReturn => POST_RETURN,
            // A component keeps its own time limits.
            WorkerStatus::Requests => return Poll::Pending,
        };
        let deadline = tokio::time::Instant::from_std(start + limit);
        if self.sleep.deadline() != deadline {
            self.sleep.as_mut().reset(deadline);
        }
        self.sleep.as_mut().poll(cx)
    }
}

/// Load that an instance takes on.
struct Worker {
    id: Arc<str>,
    stopping: CancellationToken,
    running: RunningRequests,
    /// Requests that have begun since the instance last gave its thread back.
    beginning: Mutex<Vec<Arc<RunningRequest>>>,
    computing: Arc<Computing>,
    load: Load,
    crowd: Member,
    /// Number of requests that it answers in all.
    requests: usize,
    _alive: TaskTrackerToken,
}

impl WorkerState for Worker {
    type StoreData = Guest;
    type RequestData = Arc<RunningRequest>;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        // It is asked again as soon as the instance has given its thread back, and takes requests from then on.
        if self.computing.has_given_back() {
            for request in self.beginning.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                request.permit.release();
            }
        }
        if total >= self.requests {
            ShouldAccept::Never
        } else if concurrent >= CONCURRENT_REQUESTS
            || (concurrent >= FEW_REQUESTS && self.load.is_busy() && self.crowd.len() < processors())
        {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, Guest>,
        request: Arc<RunningRequest>,
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        self.running.add(&request);
        self.computing.begin();
        self.load.note(request.age());
        self.beginning.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        Box::pin(std::future::pending())
    }

    fn drop(&self, store: Store<Guest>, result: wasmtime::Result<()>) {
        if let Err(error) = result {
            match error.downcast_ref::<Endless>() {
                // What goes on for too long is cut off when the host stops, which is said once for all.
                None if self.stopping.is_cancelled() && error.to_string() == "worker panicked" => {}
                Some(endless) => eprintln!("{}: an instance failed: {endless}; in it were {}", self.id, self.running),
                None => eprintln!("{}: an instance failed: {error:#}", self.id),
            }
        }
        drop(store);
    }
}
