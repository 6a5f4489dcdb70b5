//! Building the components and the host.

use std::path::PathBuf;

use anyhow::Result;

use crate::optimize;
use crate::setup;
use crate::shell::{TARGET, cargo, run, say, target};

/// The components' packages, and what they are built into.
const COMPONENTS: [(&str, &str); 2] =
    [("z-image-2api", "z_image_2api.wasm"), ("z-image-fileserver", "z_image_fileserver.wasm")];

/// Builds everything that serves, as it is meant to be deployed.
pub(crate) fn all() -> Result<()> {
    setup::target()?;
    components()?;
    optimize_components()?;
    host()
}

/// Builds everything that serves, as soon as can be: the components aren't optimized.
pub(crate) fn quickly() -> Result<()> {
    setup::target()?;
    components()?;
    host()
}

fn components() -> Result<()> {
    say("building the components");
    let mut build = cargo(&["build", "--config", ".cargo/component.toml", "--target", TARGET, "--release", "--locked"]);
    for (package, _) in COMPONENTS {
        build.args(["--package", package]);
    }
    run(&mut build)
}

fn optimize_components() -> Result<()> {
    if !optimize::is_possible() {
        say("npm is not installed here: the components are not optimized, and a fifth larger");
        return Ok(());
    }
    let folder = target().join(TARGET).join("release");
    for (_, file) in COMPONENTS {
        let path = folder.join(file);
        optimize::optimize(&path, &folder.join("optimized"))?;
        let size = std::fs::metadata(&path)?.len();
        say(&format!("{file}: {} KB", size.div_ceil(1000)));
    }
    Ok(())
}

fn host() -> Result<()> {
    say("building the host; the first time, wasmtime takes some minutes");
    run(&mut cargo(&["build", "--release", "--locked", "--package", "z-image-host"]))
}

/// The host's program.
pub(crate) fn host_program() -> PathBuf {
    target().join("release/z-image-host")
}
