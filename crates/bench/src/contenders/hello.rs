//! A component that does as little as can be, on the same host: it says two words, or has an image made at a Space.

use std::path::Path;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::program::Program;

/// Starts `host` with the component, whose images `space` makes; its manifest lies in `folder`.
pub(crate) async fn start(host: &Path, component: &Path, space: &str, folder: &Path) -> Result<Program> {
    let component = component.canonicalize()?;
    std::fs::create_dir_all(folder)?;
    let file = folder.join("spin.toml");
    let manifest = format!(
        "spin_manifest_version = 2\n[application]\nname = \"hello\"\n[[trigger.http]]\nroute = \"/...\"\n\
         component = \"hello\"\n[variables]\nspace = {{ default = {space:?} }}\n[component.hello]\n\
         source = {component:?}\nallowed_outbound_hosts = [{space:?}]\n[component.hello.variables]\n\
         space = \"{{{{ space }}}}\"\n"
    );
    std::fs::write(&file, manifest)?;
    let mut command = Command::new(host);
    command.arg("--manifest").arg(&file).args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(folder);
    command.kill_on_drop(true);
    Program::announced(&mut command).await.context("the host of the hello world")
}
