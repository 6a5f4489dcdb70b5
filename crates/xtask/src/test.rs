//! `cargo xtask test`: every test there is.

use std::ffi::OsString;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::shell::{cargo, root, run, say, succeeds};
use crate::{build, busy, lint, node, python, setup};

type Stage = (&'static str, fn(u32) -> Result<()>);

/// How many runs of each kind there are in the simulated world.
const RUNS: u32 = 2_500;

const STAGES: [Stage; 5] =
    [("lint", lint), ("unit", unit), ("host", host), ("e2e", end_to_end), ("busy", |_| busy::busy())];

/// Runs all stages, or those that are named; the first that fails ends it.
pub(crate) fn test(arguments: &[OsString]) -> Result<()> {
    let (soak, names): (Vec<_>, Vec<_>) = arguments.iter().partition(|argument| *argument == "--soak");
    let runs = if soak.is_empty() { RUNS } else { 20 * RUNS };
    let known = || STAGES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    if let Some(unknown) = names.iter().find(|name| !STAGES.iter().any(|(stage, _)| ***name == **stage)) {
        bail!("no such stage: {}. There are: {}", unknown.to_string_lossy(), known());
    }
    setup::target()?;
    let mut times = Vec::new();
    for (name, stage) in STAGES {
        if names.is_empty() || names.iter().any(|wanted| *wanted == name) {
            say(&format!("stage {name}"));
            let begun = now();
            stage(runs).with_context(|| format!("the stage {name} failed"))?;
            times.push((name, begun.elapsed()));
        }
    }
    let shown = |(name, time): &(&str, Duration)| format!("{name} {} s", time.as_secs());
    say(&format!("all is well: {}", times.iter().map(shown).collect::<Vec<_>>().join(", ")));
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a program's own stopwatch")]
fn now() -> Instant {
    Instant::now()
}

/// Formatting, lints on both targets and of the other languages, and the rules for dependencies.
fn lint(_: u32) -> Result<()> {
    lint::others()?;
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    // For release, so that what is checked and what is built share wasmtime's build scripts.
    run(&mut cargo(&["clippy", "--release", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let wasm = ["clippy", "--release", "--locked", "--target", setup::TARGET];
    run(cargo(&wasm).args(["-p", "z-image-2api", "-p", "z-image-fileserver", "--", "-D", "warnings"]))?;
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
fn host(_: u32) -> Result<()> {
    build::all()?;
    let mut test = cargo(&["test", "--release", "--locked", "--package", "z-image-host"]);
    run(test.env("POSTGRES_BIN", setup::postgres::programs()?))
}

/// The built components in the host, against real Spaces, with real clients.
fn end_to_end(_: u32) -> Result<()> {
    build::all()?;
    run(&mut pytest(&[])?)
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
    pytest.env("CLIENTS_PYTHON", python::clients()?.python());
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
