//! Building the components and the host.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::optimize;
use crate::setup;
use crate::shell::{TARGET, cargo, run, run_quietly, say, side_by_side, target};

/// The components' packages, and what they are built into.
const COMPONENTS: [(&str, &str); 2] =
    [("z-image-2api", "z_image_2api.wasm"), ("z-image-fileserver", "z_image_fileserver.wasm")];

/// The component for hosts that have WASI and nothing else.
pub(crate) const PLAIN: &str = "z_image_2api_wasi.wasm";
/// The component that sends spans.
const WITH_SPANS: &str = "z_image_2api_otel.wasm";
/// Server that has as little, for tests.
const PLAIN_HOST: &str = "plain_wasi";

/// Kind of host that is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BuildTarget {
    /// Spin, and the bundled host, which is built too.
    Spin,
    /// Spin with `--experimental-wasi-otel`: a component that sends spans, and starts nowhere else.
    Otel,
    /// WASI 0.3 and nothing else, such as `wasmtime serve`: one component with the studio inside.
    Wasi,
}

impl BuildTarget {
    /// Builds what serves there, as it is meant to be deployed.
    pub(crate) fn build(self) -> Result<()> {
        match self {
            Self::Spin => all(),
            Self::Otel => with_spans(),
            Self::Wasi => plain(),
        }
    }
}

/// Profile of a host that is meant to be deployed.
const RELEASE: &str = "release";
/// Profile of a host that is there soon.
const DEV_HOST: &str = "dev-host";

/// Builds everything that serves, as it is meant to be deployed.
pub(crate) fn all() -> Result<()> {
    setup::target()?;
    served(&["build"])
}

/// Builds everything that serves, as soon as can be, and returns the host's program. The components aren't optimized
/// across crates nor made smaller; the host is one for release where there was one before, or else one whose build is
/// short.
pub(crate) fn quickly() -> Result<PathBuf> {
    let profile = if program(RELEASE).exists() { RELEASE } else { DEV_HOST };
    let components = || {
        setup::target()?;
        let at_once = ["--config", "profile.release.lto=\"off\""];
        components(|build| run_quietly(build.args(at_once)).map(drop))?;
        say("the components are built");
        Ok(())
    };
    // A profile of its own has a folder of its own, so that neither build waits for the other.
    side_by_side(components, || build_host(&["build"], profile))?;
    Ok(program(profile))
}

/// Builds the component for hosts that have WASI and nothing else.
pub(crate) fn plain() -> Result<()> {
    setup::target()?;
    say("building the component for hosts that have WASI and nothing else");
    variant("wasi", &["--no-default-features", "--features", "wasi"], PLAIN)
}

/// Builds the component that sends spans.
fn with_spans() -> Result<()> {
    setup::target()?;
    say("building the component that sends spans");
    variant("otel", &["--features", "otel"], WITH_SPANS)
}

/// Builds the component with another choice of features into `file`. Cargo's file has the name of the usual one, so it
/// is made in a `folder` of its own.
fn variant(folder: &str, features: &[&str], file: &str) -> Result<()> {
    let own = target().join(folder);
    run(component("z-image-2api").arg("--locked").args(features).arg("--target-dir").arg(&own))?;
    let folder = target().join(TARGET).join("release");
    fs::create_dir_all(&folder)?;
    let built = own.join(TARGET).join("release/z_image_2api.wasm");
    fs::copy(&built, folder.join(file)).with_context(|| format!("cannot copy {}", built.display()))?;
    optimize_components(&[file])
}

/// Builds everything for the end-to-end tests, the component for plain hosts and a server for it among it.
pub(crate) fn for_tests() -> Result<()> {
    beside_plain(&["build", "--bins", "--example", PLAIN_HOST])
}

/// Builds the same, and the host's own tests.
pub(crate) fn for_host_tests() -> Result<()> {
    beside_plain(&["test", "--no-run"])
}

fn beside_plain(host: &[&str]) -> Result<()> {
    setup::target()?;
    // The one for plain hosts has a folder of its own, so that neither build waits for the other.
    side_by_side(plain, || served(host)).map(drop)
}

/// Builds the components and, by that command of cargo's, the host. The components are optimized meanwhile, which keeps
/// one processor busy.
fn served(host: &[&str]) -> Result<()> {
    components(run)?;
    side_by_side(|| optimize_components(&COMPONENTS.map(|(_, file)| file)), || build_host(host, RELEASE)).map(drop)
}

fn components(run: impl Fn(&mut Command) -> Result<()>) -> Result<()> {
    say("building the components");
    for (package, _) in COMPONENTS {
        run(component(package).arg("--locked"))?;
    }
    Ok(())
}

/// Build of a component's package: of the component alone, since cargo optimizes nothing across crates where it makes
/// a library too.
fn component(package: &str) -> Command {
    let mut build = cargo(&["rustc", "--config", ".cargo/component.toml", "--target", TARGET, "--release"]);
    build.args(["--package", package, "--lib", "--crate-type", "cdylib"]);
    build
}

fn optimize_components(files: &[&str]) -> Result<()> {
    if !optimize::is_possible() {
        say("npm is not installed here: the components are not optimized, and a fifth larger");
        return Ok(());
    }
    let folder = target().join(TARGET).join("release");
    for file in files {
        let path = folder.join(file);
        optimize::optimize(&path, &folder.join("optimized"))?;
        let size = fs::metadata(&path)?.len();
        say(&format!("{file}: {} KB", size.div_ceil(1000)));
    }
    Ok(())
}

fn build_host(command: &[&str], profile: &str) -> Result<()> {
    say("building the host; the first time, wasmtime takes some minutes");
    run(cargo(command).args(["--profile", profile, "--locked", "--package", "z-image-host"]))
}

/// Settings of a host that is given to others: optimized as a whole, which makes a generation a tenth faster and takes
/// minutes.
const AS_A_WHOLE: [&str; 5] =
    ["build", "--config", "profile.release.lto=\"fat\"", "--config", "profile.release.codegen-units=1"];

/// Builds the components, and the host as it is released.
pub(crate) fn for_release() -> Result<()> {
    setup::target()?;
    served(&AS_A_WHOLE)
}

/// Builds the host alone, as it is released.
pub(crate) fn host_for_release() -> Result<()> {
    build_host(&AS_A_WHOLE, RELEASE)
}

/// The host's program, as it is meant to be deployed.
pub(crate) fn host_program() -> PathBuf {
    program(RELEASE)
}

fn program(profile: &str) -> PathBuf {
    target().join(profile).join("z-image-host")
}
