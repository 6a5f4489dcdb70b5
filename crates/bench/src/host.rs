//! The host that is measured.

use std::path::Path;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::arguments::Arguments;
use crate::calls::MODEL;
use crate::program::Program;

/// API key of the calls.
pub(crate) const KEY: &str = "sk-bench";
/// Number of slots of the Space: more than there are calls at once.
pub(crate) const SLOTS: usize = 100;

/// The host, serving the application with the instant upstream as its Space.
pub(crate) struct ServingHost {
    pub(crate) url: String,
    /// Number of its process.
    pub(crate) process: u32,
    _program: Program,
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
        let mut command = command(arguments, &arguments.manifest, state, space, slots);
        for variable in variables {
            command.args(["--variable", variable]);
        }
        if let Some(file) = statements {
            command.arg("--statement-log").arg(file);
        }
        let program = Program::announced(&mut command).await.context("the host")?;
        Ok(Self { url: program.url.clone(), process: program.process, _program: program })
    }
}

/// The host's program with the manifest's application, whose Space has that many slots.
pub(crate) fn command(arguments: &Arguments, manifest: &Path, state: &Path, space: &str, slots: usize) -> Command {
    let mut command = Command::new(&arguments.host);
    command.arg("--manifest").arg(manifest).args(["--listen", "127.0.0.1:0"]).arg("--state-dir").arg(state);
    command.kill_on_drop(true);
    // What is measured is the component, not how many jobs it lets a Space have.
    let catalog = format!("[models.{MODEL}]\nspaces = [{{ space = \"{space}\", slots = {slots} }}]\n");
    for variable in [format!("api_keys={KEY}"), format!("catalog={catalog}"), format!("extra_host={space}")] {
        command.args(["--variable", &variable]);
    }
    command
}
