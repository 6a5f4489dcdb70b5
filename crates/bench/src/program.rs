//! Other programs that serve.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::clock::now;

/// A program that serves on loopback until this is dropped.
pub(crate) struct Program {
    pub(crate) url: String,
    /// Number of its process.
    pub(crate) process: u32,
    _child: Child,
}

impl Program {
    /// Starts one that writes `Serving URL` once it serves.
    pub(crate) async fn announced(command: &mut Command) -> Result<Self> {
        let mut child = Self::spawn(command.stdout(Stdio::piped()))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let process = child.id().context("the program has ended")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let line = line.context("the program ended before it was ready")?;
        let url = line.strip_prefix("Serving ").with_context(|| format!("the program said {line:?}"))?.to_owned();
        ensure!(url.starts_with("http://127.0.0.1:"), "the program serves {url}, which isn't loopback");
        Ok(Self { url, process, _child: child })
    }

    /// Starts one that serves at the port, and waits until it takes connections.
    pub(crate) async fn awaited(command: &mut Command, port: u16, limit: Duration) -> Result<Self> {
        let mut child = Self::spawn(command.stdout(Stdio::null()))?;
        let process = child.id().context("the program has ended")?;
        let program = |child| Self { url: format!("http://127.0.0.1:{port}"), process, _child: child };
        let begun = now();
        while begun.elapsed() < limit {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Ok(program(child));
            }
            if let Some(status) = child.try_wait()? {
                bail!("the program ended before it was ready: {status}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(program(child));
        bail!("the program isn't ready after {} s", limit.as_secs())
    }

    fn spawn(command: &mut Command) -> Result<Child> {
        let name = command.as_std().get_program().to_string_lossy().into_owned();
        // wasmtime makes an error whenever a guest goes on, with a backtrace where the environment asks for them.
        command.env("RUST_LIB_BACKTRACE", "0");
        command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().with_context(|| format!("cannot start {name}"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Its own children end with it.
        let _ = std::process::Command::new("kill").args(["-TERM", &self.process.to_string()]).status();
    }
}

/// A port of loopback that nobody uses.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
