//! `cargo xtask soak`: very many requests, with faults, to the built component; nothing may be left after them.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::shell::{root, run};
use crate::{build, python, setup};

/// Size of a soak.
#[derive(Debug, Args)]
pub(crate) struct SoakOptions {
    /// Number of requests.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    requests: u32,
    /// Minutes after which no more requests are made.
    #[arg(long, value_name = "N", default_value_t = 60)]
    minutes: u32,
    /// Seed of everything that is random [default: another each time].
    #[arg(long, value_name = "N")]
    seed: Option<u32>,
}

/// Builds everything and soaks it; the figures are printed, and what is wrong fails it.
pub(crate) fn soak(options: &SoakOptions) -> Result<()> {
    build::all()?;
    let mut program = Command::new(python::tests()?.python());
    program.arg(root().join("tests/e2e/soak.py"));
    program.args(["--requests", &options.requests.to_string(), "--minutes", &options.minutes.to_string()]);
    if let Some(seed) = options.seed {
        program.args(["--seed", &seed.to_string()]);
    }
    program.env("POSTGRES_BIN", setup::postgres::programs()?).env("PYTHONDONTWRITEBYTECODE", "1");
    run(program.current_dir(root()))
}
