//! `cargo xtask test`: every test there is.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::shell::{TARGET, cargo, root, run, say, side_by_side, succeeds};
use crate::{build, busy, lint, node, python, setup};

/// Simulated runs of each kind.
const RUNS: u32 = 1_000;

/// A stage of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// Formatting, lints, and the rules for dependencies.
    Lint,
    /// Everything that runs natively, the simulated world among it.
    Unit,
    /// The bundled host.
    Host,
    /// The built components in the host, against real Spaces, with real clients.
    E2e,
    /// Those of them that wait for something, while the machine has more to do.
    Busy,
}

impl Stage {
    fn run(self, runs: u32) -> Result<()> {
        match self {
            Self::Lint => lint(),
            Self::Unit => unit(runs),
            Self::Host => host(),
            Self::E2e => end_to_end(),
            Self::Busy => busy::busy(),
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Runs these stages, or all where none is named; the first that fails ends it.
pub(crate) fn test(stages: &[Stage], soak: bool) -> Result<()> {
    let runs = if soak { 20 * RUNS } else { RUNS };
    setup::target()?;
    let mut times = Vec::new();
    for stage in Stage::value_variants().iter().filter(|stage| stages.is_empty() || stages.contains(stage)) {
        let name = stage.name();
        say(&format!("stage {name}"));
        let begun = now();
        stage.run(runs).with_context(|| format!("the stage {name} failed"))?;
        times.push(format!("{name} {} s", begun.elapsed().as_secs()));
    }
    say(&format!("all is well: {}", times.join(", ")));
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a program's own stopwatch")]
fn now() -> Instant {
    Instant::now()
}

/// Formatting, lints on both targets, and the rules for dependencies.
fn lint() -> Result<()> {
    lint::others()?;
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    // For release, so that what is checked and what is built share wasmtime's build scripts.
    run(&mut cargo(&["clippy", "--release", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let wasm = ["clippy", "--release", "--locked", "--target", TARGET];
    run(cargo(&wasm).args(["-p", "z-image-2api", "-p", "z-image-fileserver", "--", "-D", "warnings"]))?;
    let plain = ["-p", "z-image-2api", "--no-default-features", "--features", "wasi", "--", "-D", "warnings"];
    run(cargo(&wasm).args(plain))?;
    run(cargo(&wasm).args(["-p", "z-image-2api", "--features", "otel", "--", "-D", "warnings"]))?;
    if succeeds(&mut cargo(&["deny", "--version"])) {
        return run(&mut cargo(&["deny", "--offline", "--workspace", "check", "bans", "licenses", "sources"]));
    }
    say("cargo-deny is not installed here: bans, licenses and sources are not checked");
    Ok(())
}

/// Everything that runs natively, the simulated world among it.
fn unit(runs: u32) -> Result<()> {
    let mut test = cargo(&["test", "--locked", "--workspace", "--exclude", "z-image-host"]);
    test.env("POSTGRES_BIN", setup::postgres::programs()?);
    run(test.env("SIMULATED_RUNS", runs.to_string()))
}

/// The host, for release, as wasmtime is compiled only once then.
fn host() -> Result<()> {
    build::for_host_tests()?;
    let mut test = cargo(&["test", "--release", "--locked", "--package", "z-image-host"]);
    run(test.env("POSTGRES_BIN", setup::postgres::programs()?))
}

/// The built components in the host, against real Spaces, with real clients. Most of the files wait more than they
/// compute, and run side by side. Those marked `timed` follow, which a busy machine would fail.
fn end_to_end() -> Result<()> {
    side_by_side(build::for_tests, || pytest(&[]))?;
    run(&mut pytest(&at_once("3", "not slow and not timed"))?)?;
    run(&mut pytest(&at_once("2", "not slow and timed"))?)
}

/// Arguments of pytest that run those tests, so many files at a time.
fn at_once<'a>(files: &'a str, tests: &'a str) -> [&'a str; 7] {
    ["-m", tests, "--numprocesses", files, "--dist", "loadfile", "--no-loadscope-reorder"]
}

/// pytest over the end-to-end tests, with everything that they need set up.
pub(crate) fn pytest(arguments: &[&str]) -> Result<Command> {
    let python = python::tests()?;
    let mut pytest = Command::new(python.python());
    pytest.args(["-m", "pytest", "-q", "--timeout", "120", "-p", "no:cacheprovider"]).args(arguments);
    pytest.arg(root().join("tests/e2e"));
    for generation in [4, 5] {
        pytest.env(format!("GRADIO{generation}_PYTHON"), python::gradio(generation)?.python());
    }
    pytest.env("POSTGRES_BIN", setup::postgres::programs()?);
    pytest.env("PROMETHEUS_BIN", setup::prometheus::programs()?);
    pytest.env("CLIENTS_PYTHON", python::clients()?.python());
    pytest.env("SCHEMATHESIS_PYTHON", python::schemathesis()?.python());
    node::packages()?;
    pytest.env("CHROMIUM", node::chromium()?);
    pytest.current_dir(root()).env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(pytest)
}

/// Takes the pictures of the studio in docs/studio.
pub(crate) fn screenshots() -> Result<()> {
    build::all()?;
    node::packages()?;
    let mut program = Command::new(python::tests()?.python());
    program.arg(root().join("tests/e2e/screenshots.py")).env("CHROMIUM", node::chromium()?);
    run(program.current_dir(root()).env("PYTHONDONTWRITEBYTECODE", "1"))
}
