//! `cargo xtask bench`: how fast and how small everything is, beside others.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::shell::{TARGET, cargo, root, run, run_quietly, say, target};
use crate::{build, node, python, setup};

/// Names of the parts: those of the page, and behind them those that only their names start.
const PARTS: [&str; 11] = [
    "generations",
    "models",
    "links",
    "inline",
    "streams",
    "starts",
    "fairness",
    "sizes",
    "component",
    "database",
    "statements",
];
/// Folder of the worker that is compared with.
const WORKER: &str = "crates/bench/node";

/// Extent of a measurement.
#[derive(Debug, Args)]
pub(crate) struct BenchOptions {
    /// Parts that are measured [default: all but component, database and statements].
    #[arg(value_parser = PossibleValuesParser::new(PARTS))]
    parts: Vec<String>,
    /// Takes a fraction of the time, for fewer samples, and writes no page.
    #[arg(long)]
    quick: bool,
    /// Writes the figures there too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Figures of an earlier run, by --json: prints what got slower by more than a tenth.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Measures even where the machine is busy with other things.
    #[arg(long)]
    anyway: bool,
    /// Rounds of the comparison of databases.
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
}

/// Builds everything and measures it; a whole run writes docs/benchmarks.md.
pub(crate) fn bench(options: &BenchOptions) -> Result<()> {
    build::for_release()?;
    run(&mut cargo(&["build", "--release", "--locked", "--package", "z-image-bench"]))?;
    let mut bench = Command::new(target().join("release/z-image-bench"));
    bench.arg("--host").arg(build::host_program()).arg("--manifest").arg(root().join("spin.toml"));
    bench.arg("--page").arg(root().join("docs/benchmarks.md"));

    let wants = |parts: &[&str]| options.parts.is_empty() || options.parts.iter().any(|part| parts.contains(&&**part));
    let mut other = |parts: &[&str], option: &str, get: fn() -> Result<PathBuf>| {
        if !wants(parts) {
            return;
        }
        match get() {
            Ok(path) => {
                bench.arg(option).arg(path);
            }
            Err(error) => say(&format!("left out, {option}: {error:#}")),
        }
    };
    other(&["generations", "models"], "--worker", worker);
    other(&["generations"], "--litellm", || Ok(python::litellm()?.program("litellm")));
    other(&["generations", "models"], "--hello", hello);
    other(&["links"], "--nginx", setup::nginx::program);

    for (is_set, flag) in [(options.quick, "--quick"), (options.anyway, "--anyway")] {
        bench.args(is_set.then_some(flag));
    }
    for (file, option) in [(&options.json, "--json"), (&options.compare, "--compare")] {
        if let Some(file) = file {
            bench.arg(option).arg(file);
        }
    }
    if let Some(rounds) = options.rounds {
        bench.args(["--rounds", &rounds.to_string()]);
    }
    run(bench.args(&options.parts))
}

/// The worker that does what the component does on Cloudflare's runtime, with its packages.
fn worker() -> Result<PathBuf> {
    node::install(WORKER)?;
    Ok(root().join(WORKER))
}

/// The component that does as little as can be, built as ours are.
fn hello() -> Result<PathBuf> {
    let folder = target().join("bench-hello");
    let mut build = cargo(&["build", "--release", "--locked", "--target", TARGET, "--config", ".cargo/component.toml"]);
    build.args(["--manifest-path", "crates/bench/hello/Cargo.toml"]).arg("--target-dir").arg(&folder);
    run_quietly(&mut build)?;
    Ok(folder.join(TARGET).join("release/hello.wasm"))
}
