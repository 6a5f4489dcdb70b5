//! A worker for Cloudflare's runtime, of the kind that came before the component.

use std::path::Path;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::host::KEY;
use crate::program::Program;

/// Starts it in front of the Space; `folder` holds it and its packages.
pub(crate) async fn start(folder: &Path, space: &str) -> Result<Program> {
    let mut command = Command::new("node");
    command.arg(folder.join("server.js")).args([space, KEY]);
    Program::announced(&mut command).await.context("the worker")
}

/// Version of the runtime in `folder`.
pub(crate) fn version(folder: &Path) -> Option<String> {
    let package = std::fs::read(folder.join("node_modules/workerd/package.json")).ok()?;
    let package: serde_json::Value = serde_json::from_slice(&package).ok()?;
    Some(package.get("version")?.as_str()?.to_owned())
}
