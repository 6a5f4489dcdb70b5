//! The project's own commands.
//!
//! ```text
//! cargo xtask setup                 get what is missing: the wasm target, the tests' Python packages and servers
//! cargo xtask build                 build the components and the host
//! cargo xtask up [--demo] […]       set up, build, and serve
//! cargo xtask test [STAGE…]         set up, and run every test, or those stages
//! cargo xtask simulate              hold the choice of Spaces against chance, into docs/dispatch.md
//! cargo xtask bench [ARGUMENT…]     build, and measure
//! cargo xtask format                write JavaScript, CSS and Python in the form that the lints ask for
//! cargo xtask golden                build, show what goes out otherwise than tests/golden says, and write that
//! cargo xtask screenshots           build, and take the pictures in docs/studio
//! ```

mod build;
mod busy;
mod golden;
mod lint;
mod node;
mod python;
mod setup;
mod shell;
mod simulate;
mod test;
mod up;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  setup             Gets what is missing here: the wasm32-wasip2 target, Python packages, PostgreSQL.
  build             Builds the components and the host, for release.
  up [OPTION…]      Sets up, builds, and serves spin.toml on this machine.
      --demo                  with a real Gradio Space on loopback, and a new key
      --listen ADDR           [default: 127.0.0.1:3000]
      --variable KEY=VALUE    sets a variable of spin.toml; repeatable
      --state-dir DIR         where the databases lie [default: .spin]
      --runtime-config-file FILE  what stands behind the manifest's names, as in Spin
  test [STAGE…]     Sets up, and runs every test. Stages: lint, unit, host, e2e, busy.
      --soak                  with twenty times as many simulated runs
  simulate          Holds the choice of Spaces against chance, and writes the table in docs/dispatch.md.
  bench [ARG…]      Builds, and measures; arguments go to the benchmark (component, database,
                    --quick, --json FILE).
  format            Writes JavaScript, CSS and Python in the form that the lints ask for.
  golden            Builds, shows what goes out otherwise than tests/golden has it, and rewrites that.
  screenshots       Builds, and takes the pictures in docs/studio with a real browser.
";

fn main() -> ExitCode {
    match run(std::env::args_os().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Vec<OsString>) -> Result<()> {
    if arguments.is_empty() {
        bail!("no command\n\n{USAGE}");
    }
    let command = arguments.remove(0);
    match command.to_str() {
        Some("setup") => setup::all(),
        Some("build") => build::all(),
        Some("up") => up::up(arguments),
        Some("test") => test::test(&arguments),
        Some("simulate") => simulate::simulate(),
        Some("bench") => build::bench(&arguments),
        Some("format") => lint::format(),
        Some("golden") => golden::golden(),
        Some("screenshots") => test::screenshots(),
        Some("--help" | "-h" | "help") => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("no such command: {}\n\n{USAGE}", command.to_string_lossy()),
    }
}
