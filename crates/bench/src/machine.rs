//! The machine, how busy it is, and the versions of what runs on it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::arguments::Arguments;
use crate::clock::now;
use crate::contenders::worker;

/// Processes that want to run, for each processor, with which a machine counts as busy.
const BUSY: f64 = 0.5;
/// Time in which what was built just before is forgotten: the kernel counts over a minute.
const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until the machine has nothing else to do; an error where that takes too long.
pub(crate) async fn wait_until_idle() -> Result<()> {
    let begun = now();
    let most = BUSY * processors()?;
    let mut told = false;
    while load()? > most {
        if begun.elapsed() > PATIENCE {
            bail!(
                "this machine is busy: a load of {:.1}, where {most:.1} is the most for figures that mean something; \
                 --anyway measures all the same",
                load()?
            );
        }
        if !told {
            eprintln!("waiting for the load of {:.1} to fall below {most:.1}", load()?);
            told = true;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    Ok(())
}

/// Lets this process and those that it starts open as many descriptors as they may: a thousand streams are more than
/// the usual limit.
pub(crate) fn raise_limits() {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it may not be raised, it stays as it is.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Processes that wanted to run within the last minute.
pub(crate) fn load() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    text.split_whitespace().next().and_then(|load| load.parse().ok()).context("/proc/loadavg has no number")
}

#[allow(clippy::cast_precision_loss, reason = "processors are few")]
fn processors() -> Result<f64> {
    Ok(std::thread::available_parallelism()?.get() as f64)
}

/// Processor, load and versions, as lines of the page: the name of each, and what it is.
pub(crate) fn describe(arguments: &Arguments) -> Result<Vec<(&'static str, String)>> {
    let mut lines = vec![
        ("processor", format!("{}, {} of them", model(), processors()?)),
        ("load at the beginning", format!("{:.2}", load()?)),
    ];
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    lines.push(("Linux", kernel.trim().to_owned()));
    let first_word = |text: String| text.split_whitespace().nth(1).unwrap_or_default().to_owned();
    lines.extend(said(Path::new("rustc"), "--version").map(first_word).map(|version| ("Rust", version)));
    let lock = arguments.manifest.parent().unwrap_or(Path::new(".")).join("Cargo.lock");
    lines.extend(locked(&std::fs::read_to_string(lock).unwrap_or_default()).map(|version| ("wasmtime", version)));
    lines.extend(arguments.worker.as_deref().and_then(worker::version).map(|version| ("workerd", version)));
    let python = arguments.litellm.as_deref().and_then(|program| Some(program.parent()?.join("python")));
    let version = "import importlib.metadata as m; print('litellm', m.version('litellm'))";
    let output = python.and_then(|python| output(Command::new(python).args(["-c", version])));
    lines.extend(output.map(first_word).map(|version| ("LiteLLM", version)));
    let nginx = arguments.nginx.as_deref().and_then(|program| said(program, "-v"));
    lines.extend(nginx.and_then(|said| Some(("nginx", said.rsplit_once('/')?.1.trim().to_owned()))));
    Ok(lines)
}

/// Name of the processor.
fn model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    line.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

fn said(program: &Path, argument: &str) -> Option<String> {
    output(Command::new(program).arg(argument))
}

/// Everything that a program says.
fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// wasmtime's version in Cargo's list.
fn locked(list: &str) -> Option<String> {
    let (_, rest) = list.split_once("name = \"wasmtime\"\nversion = \"")?;
    Some(rest.split('"').next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locked_version_is_read() {
        let list = "[[package]]\nname = \"wasmtime-a\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"wasmtime\"\n\
                    version = \"48.0.8\"\nsource = \"x\"\n";
        assert_eq!(locked(list).as_deref(), Some("48.0.8"));
        assert!(load().is_ok() && processors().unwrap() >= 1.0);
    }
}
