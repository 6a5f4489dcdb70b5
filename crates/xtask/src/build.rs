//! Building the components and the host.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::optimize;
use crate::setup;
use crate::shell::{TARGET, cargo, run, run_quietly, say, side_by_side, target};

/// The components' packages, and what they are built into.
const COMPONENTS: [(&str, &str); 2] =
    [("z-image-2api", "z_image_2api.wasm"), ("z-image-fileserver", "z_image_fileserver.wasm")];

/// Profile of a host that is meant to be deployed.
const RELEASE: &str = "release";
/// Profile of a host that is there soon.
const DEV_HOST: &str = "dev-host";

/// Builds everything that serves, as it is meant to be deployed.
pub(crate) fn all() -> Result<()> {
    setup::target()?;
    components(run)?;
    optimize_components()?;
    host(RELEASE)
}

/// Builds everything that serves, as soon as can be, and returns the host's program. The components aren't made
/// smaller; the host is one for release where there was one before, or else one whose build is short.
pub(crate) fn quickly() -> Result<PathBuf> {
    let profile = if program(RELEASE).exists() { RELEASE } else { DEV_HOST };
    let components = || {
        setup::target()?;
        components(|build| run_quietly(build).map(drop))?;
        say("the components are built");
        Ok(())
    };
    // A profile of its own has a folder of its own, so that neither build waits for the other.
    side_by_side(components, || host(profile))?;
    Ok(program(profile))
}

fn components(run: impl FnOnce(&mut Command) -> Result<()>) -> Result<()> {
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

fn host(profile: &str) -> Result<()> {
    say("building the host; the first time, wasmtime takes some minutes");
    run(&mut cargo(&["build", "--profile", profile, "--locked", "--package", "z-image-host"]))
}

/// Builds the host alone, as it is meant to be deployed.
pub(crate) fn host_for_release() -> Result<()> {
    host(RELEASE)
}

/// The host's program, as it is meant to be deployed.
pub(crate) fn host_program() -> PathBuf {
    program(RELEASE)
}

fn program(profile: &str) -> PathBuf {
    target().join(profile).join("z-image-host")
}
