//! The host that is measured.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::arguments::Arguments;

/// API key of the calls.
pub(crate) const KEY: &str = "sk-bench";
/// Number of slots of the Space: more than there are calls at once.
pub(crate) const SLOTS: usize = 100;

/// The host, serving the application with the instant upstream as its Space.
pub(crate) struct ServingHost {
    pub(crate) url: String,
    _process: Child,
}

impl ServingHost {
    /// Starts it; the Space has that many slots.
    pub(crate) async fn start(
        arguments: &Arguments,
        space: &str,
        state: &Path,
        slots: usize,
        variables: &[String],
        statements: Option<&Path>,
    ) -> Result<Self> {
        let mut command = Command::new(&arguments.host);
        command
            .arg("--manifest")
            .arg(&arguments.manifest)
            .args(["--listen", "127.0.0.1:0"])
            .arg("--state-dir")
            .arg(state);
        // What is measured is the component, not how many jobs it lets a Space have.
        let catalog = format!("[models.z-image-turbo]\nspaces = [{{ space = \"{space}\", slots = {slots} }}]\n");
        for variable in [format!("api_keys={KEY}"), format!("catalog={catalog}"), format!("extra_host={space}")] {
            command.args(["--variable", &variable]);
        }
        for variable in variables {
            command.args(["--variable", variable]);
        }
        if let Some(file) = statements {
            command.arg("--statement-log").arg(file);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut process = command.spawn().context("cannot start the host")?;
        let stdout = process.stdout.take().context("no standard output")?;
        let line = BufReader::new(stdout).lines().next_line().await?.context("the host ended before it was ready")?;
        let url = line.strip_prefix("Serving ").with_context(|| format!("the host said {line:?}"))?.to_owned();
        ensure!(url.starts_with("http://127.0.0.1:"), "the host serves {url}, which isn't loopback");
        Ok(Self { url, _process: process })
    }
}
