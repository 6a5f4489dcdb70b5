//! The project's own commands; `cargo xtask help` lists them.

mod bench;
mod build;
mod busy;
mod docs;
mod doctor;
mod fuzz;
mod golden;
mod lint;
mod node;
mod optimize;
mod python;
mod release;
mod setup;
mod shell;
mod simulate;
mod soak;
mod space;
mod test;
mod up;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::bench::BenchOptions;
use crate::build::BuildTarget;
use crate::doctor::DoctorOptions;
use crate::fuzz::FuzzOptions;
use crate::release::ReleaseOptions;
use crate::soak::SoakOptions;
use crate::test::Stage;
use crate::up::UpOptions;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Gets what is missing here: the wasm32-wasip2 target, Python packages, PostgreSQL.
    Setup,
    /// Builds what serves, for release.
    Build {
        /// Kind of host that is built for.
        #[arg(long, value_enum, default_value_t = BuildTarget::Spin)]
        target: BuildTarget,
    },
    /// Sets up, builds, and serves spin.toml on this machine.
    Up(UpOptions),
    /// Sets up, and runs every test.
    Test {
        /// Stages that are run; all, where nothing is named.
        #[arg(value_enum)]
        stages: Vec<Stage>,
        /// Twenty times as many simulated runs.
        #[arg(long)]
        soak: bool,
    },
    /// Builds the documents as a site, in target/book, and follows its links.
    Docs,
    /// Makes the files of a release, in target/dist.
    Release(ReleaseOptions),
    /// Looks at a running server from outside, and says what to change.
    Doctor(DoctorOptions),
    /// Looks for inputs from outside that break a property, for some time for each target.
    Fuzz(FuzzOptions),
    /// Builds, and sends very many requests of all kinds to hosts whose Spaces have faults at random.
    Soak(SoakOptions),
    /// Tells what is made of a Space: the functions found, the arguments that a request would send, the outputs.
    Space {
        /// The Space: owner/name or https://host, either with /endpoint behind it.
        space: OsString,
    },
    /// Compares the choice of Spaces with chance, and writes the table in docs/dispatch.md.
    Simulate,
    /// Builds, and measures beside others; a whole run writes docs/benchmarks.md.
    Bench(BenchOptions),
    /// Writes JavaScript, CSS and Python in the form that the lints ask for.
    Format,
    /// Builds, shows the differences between what goes out and tests/golden, and writes that anew.
    Golden,
    /// Builds, and takes the pictures in docs/studio with a real browser.
    Screenshots,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Setup => setup::all(),
        Task::Build { target } => target.build(),
        Task::Up(options) => up::up(options),
        Task::Docs => docs::docs(),
        Task::Release(options) => release::release(&options),
        Task::Doctor(options) => doctor::doctor(&options),
        Task::Test { stages, soak } => test::test(&stages, soak),
        Task::Fuzz(options) => fuzz::fuzz(&options),
        Task::Soak(options) => soak::soak(&options),
        Task::Space { space } => space::space(&space),
        Task::Simulate => simulate::simulate(),
        Task::Bench(options) => bench::bench(&options),
        Task::Format => lint::format(),
        Task::Golden => golden::golden(),
        Task::Screenshots => test::screenshots(),
    }
}
