//! Serves this project's `spin.toml` on one machine.
//!
//! Spin, SpinKube and Fermyon Cloud run the component in production. This host runs the same manifest, unchanged, where
//! none of them is at hand: for development, for the tests, for one machine at home. It gives what the manifest may ask
//! for (HTTP routes, variables, outbound HTTP to allowed hosts, SQLite databases, PostgreSQL) and refuses a manifest
//! that asks for more, rather than run it half.
//!
//! [`manifest`] reads `spin.toml`, [`runtime_config`] what stands behind it, [`variables`] and [`allowed_hosts`] give
//! its templates and rules their meaning, [`runtime`] runs components in wasmtime, with [`outbound`], [`sqlite`] and
//! [`postgres`] as their way outside, [`computing`] ends those that compute without a pause, and [`server`] answers
//! clients on [`connections`].

mod admission;
mod allowed_hosts;
mod bindings;
mod computing;
mod connections;
mod guest;
mod manifest;
mod outbound;
mod postgres;
mod resolver;
mod route;
mod rows;
mod runtime;
mod runtime_config;
mod server;
mod spin;
mod sqlite;
mod statement_log;
mod tls;
mod variables;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::connections::{ConnectionOptions, room_for_connections};
use crate::manifest::Manifest;
use crate::outbound::Outbound;
use crate::resolver::Resolver;
use crate::route::Router;
use crate::runtime::{App, InstanceLimits, Runtime};
use crate::runtime_config::RuntimeConfig;
use crate::sqlite::Databases;
use crate::statement_log::StatementLog;
use crate::variables::Variables;

/// Serves a Spin application's HTTP components on one machine.
///
/// A host for development and for one machine: no TLS, no scaling, one process. For production, run the same
/// manifest on Spin, SpinKube or Fermyon Cloud.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The application's manifest.
    #[arg(long, value_name = "FILE", default_value = "spin.toml")]
    manifest: PathBuf,
    /// Address to listen on. Port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Sets an application variable, before SPIN_VARIABLE_<NAME> and the manifest's default. Repeatable.
    #[arg(long = "variable", value_name = "KEY=VALUE")]
    variables: Vec<String>,
    /// Folder of the SQLite database [default: .spin beside the manifest].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Runtime configuration, as in Spin: [sqlite_database.default] with type = "spin" and a path,
    /// say.
    #[arg(long, value_name = "FILE")]
    runtime_config_file: Option<PathBuf>,
    /// Lists the SQL statements that components run there, a line each: the instance's number, microseconds since the
    /// Unix epoch, the interface, and the statement without its parameters.
    #[arg(long, value_name = "FILE")]
    statement_log: Option<PathBuf>,
    /// Connections of clients at once; beyond, the one that has had no request for the longest time is closed. Fewer
    /// where the process may open few descriptors.
    #[arg(long, value_name = "N", default_value_t = 4096)]
    max_connections: usize,
    /// Seconds after which a connection is closed that has no request, or whose client takes nothing of its answers.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    idle_timeout: u64,
    /// Size of a request's head, in bytes; at least 8192.
    #[arg(long, value_name = "BYTES", default_value_t = 65_536)]
    max_header_bytes: usize,
    /// Requests at once of an HTTP/2 connection.
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_streams: u32,
    /// Seconds for which an instance of a component may compute without a pause. It is ended then, with the requests
    /// that are in it, and the log names them.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    max_compute: u64,
    /// Requests that an instance of a component answers in all. Spin has 128 by default.
    #[arg(long, value_name = "N", default_value_t = 2048)]
    max_instance_requests: usize,
    /// Address of a host that components connect to, in place of what its name resolves to. Repeatable.
    #[arg(long = "resolve", value_name = "NAME=ADDR")]
    resolved: Vec<String>,
    /// Certificates, as PEM, of authorities that outbound HTTPS trusts beside those of the web.
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Leaves TCP_NODELAY off on both sides, as Spin does: a message that leaves in two writes takes 40 ms then. For
    /// tests.
    #[arg(long, hide = true)]
    no_tcp_nodelay: bool,
}

/// Folder of compiled components, beside the first of them.
const COMPILED: &str = "compiled";
/// Time that the host waits at its end for statements that still run. A database undoes what isn't committed.
const LAST_STATEMENTS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let manifest = Manifest::read(&arguments.manifest)?;
    let variables = Variables::resolve(&manifest, &arguments.variables)?;
    let directory = arguments.manifest.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let config = arguments.runtime_config_file.as_deref().map(RuntimeConfig::read).transpose()?.unwrap_or_default();
    let state = arguments.state_dir.clone().unwrap_or_else(|| directory.join(".spin"));

    let statements = arguments.statement_log.as_deref().map(StatementLog::create).transpose()?.unwrap_or_default();

    let resolver = Resolver::parse(&arguments.resolved)?;
    let read =
        |file: &PathBuf| std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
    let authority = arguments.trust.as_ref().map(read).transpose()?;

    let tokio = tokio::runtime::Runtime::new().context("cannot start the asynchronous runtime")?;
    let served = tokio.block_on(async {
        let databases = Arc::new(Databases::new(&state, &config));
        let limits = InstanceLimits {
            compute: Duration::from_secs(arguments.max_compute.max(1)),
            requests: arguments.max_instance_requests.max(1),
        };
        let source = manifest.components().first().map(|component| directory.join(&component.source));
        let compiled = source.unwrap_or_default().with_file_name(COMPILED);
        let runtime = Runtime::new(&compiled, statements, limits)?;
        let outbound = Outbound::new(resolver, authority.as_deref(), !arguments.no_tcp_nodelay)?;
        let mut apps = Vec::new();
        for component in manifest.components() {
            let app = App::load(&runtime, component, directory, &variables, &outbound, &databases)?;
            apps.push((component.id.clone(), app));
        }
        let router = Router::new(&manifest, apps)?;
        eprintln!("{} on one machine, for development and small installations", manifest.name);
        for line in router.describe() {
            eprintln!("  {line}");
        }
        let options = ConnectionOptions {
            most: arguments.max_connections.clamp(1, room_for_connections()),
            idle: Duration::from_secs(arguments.idle_timeout.max(1)),
            header_bytes: arguments.max_header_bytes.max(8192),
            streams: arguments.max_streams,
            tcp_nodelay: !arguments.no_tcp_nodelay,
        };
        server::serve(arguments.listen, options, router, &runtime).await
    });
    tokio.shutdown_timeout(LAST_STATEMENTS);
    served
}
