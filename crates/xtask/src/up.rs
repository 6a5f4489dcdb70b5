//! `cargo xtask up`: serving on this machine.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use crate::build;
use crate::python::{self, Environment};
use crate::shell::{root, say, side_by_side};

/// Options of `cargo xtask up`.
#[derive(Debug, Args)]
pub(crate) struct UpOptions {
    /// Serves with a real Gradio Space on loopback, and a new key.
    #[arg(long)]
    demo: bool,
    /// Address to listen on [default: 127.0.0.1:3000].
    #[arg(long, value_name = "ADDR")]
    listen: Option<OsString>,
    /// Sets a variable of spin.toml. Repeatable.
    #[arg(long = "variable", value_name = "KEY=VALUE")]
    variables: Vec<OsString>,
    /// Folder of the databases [default: .spin].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Runtime configuration: what stands behind the manifest's names, as in Spin.
    #[arg(long, value_name = "FILE")]
    runtime_config_file: Option<PathBuf>,
}

/// Sets up, builds and serves, until a signal stops it.
pub(crate) fn up(options: UpOptions) -> Result<()> {
    let arguments = options.host_arguments()?;
    let python = || options.demo.then(python::space).transpose();
    let (python, program) = side_by_side(python, build::quickly)?;
    let mut host = Command::new(program);
    host.current_dir(root()).arg("--manifest").arg(root().join("spin.toml")).args(arguments);
    if let Some(python) = python {
        return demo(host, &python, options.api_keys());
    }
    // In place of this process, so that whoever stops this one stops the host.
    Err(host.exec()).context("cannot start the host")
}

impl UpOptions {
    /// Arguments of the host.
    fn host_arguments(&self) -> Result<Vec<OsString>> {
        let mut arguments = Vec::new();
        for variable in &self.variables {
            arguments.extend(["--variable".into(), variable.clone()]);
        }
        if let Some(address) = &self.listen {
            arguments.extend(["--listen".into(), address.clone()]);
        }
        for (flag, path) in [("--state-dir", &self.state_dir), ("--runtime-config-file", &self.runtime_config_file)] {
            if let Some(path) = path {
                // The host runs in the workspace's folder.
                arguments.extend([flag.into(), std::path::absolute(path)?.into_os_string()]);
            }
        }
        Ok(arguments)
    }

    /// Keys that the command line sets.
    fn api_keys(&self) -> Option<&str> {
        self.variables.iter().rev().find_map(|variable| variable.to_str()?.strip_prefix("api_keys="))
    }
}

/// Serves with a real Gradio Space on loopback behind it.
fn demo(mut host: Command, python: &Environment, api_keys: Option<&str>) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    ctrlc::set_handler({
        let stop = Arc::clone(&stop);
        move || stop.store(true, Ordering::Relaxed)
    })?;

    say("starting a Gradio Space");
    let mut space = Command::new(python.python());
    space.arg(root().join("tests/space/app.py"));
    let (space, line) = ChildProcess::start("the Space", space, "Space at ", &stop)?;

    // A key from the command line is already among the host's arguments.
    let key = match api_keys {
        Some(keys) => keys.split(',').next().unwrap_or_default().trim().to_owned(),
        None => {
            let key = random_key()?;
            host.args(["--variable", &format!("api_keys={key}")]);
            key
        }
    };
    host.args(["--variable", &format!("spaces=z-image-turbo={line}"), "--variable", &format!("extra_host={line}")]);
    let (host, url) = ChildProcess::start("the host", host, "Serving ", &stop)?;
    println!("Serving {url}");
    println!("{}", instructions(&url, &key));

    let mut running = [host, space];
    while !stop.load(Ordering::Relaxed) {
        for child in &mut running {
            if let Some(status) = child.process.try_wait()? {
                bail!("{} has ended: {status}", child.name);
            }
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    Ok(())
}

fn instructions(url: &str, key: &str) -> String {
    format!(
        r#"
  Page       {url}/
  Base URL   {url}/v1
  API key    {key}

An image, into fox.webp:

curl -sS {url}/v1/images/generations \
  -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \
  -d '{{"prompt": "a red fox in the snow", "size": "1024x1024"}}' |
  python3 -c 'import base64, json, sys
image = json.load(sys.stdin)["data"][0]["b64_json"]
open("fox.webp", "wb").write(base64.b64decode(image))'

Stop with Ctrl-C."#
    )
}

/// A program that has said that it is ready, and gets a SIGTERM when this goes out of scope.
struct ChildProcess {
    name: &'static str,
    process: Child,
}

impl ChildProcess {
    /// Starts `command` and waits for the line that begins with `ready`; the rest of that line comes back too.
    fn start(name: &'static str, mut command: Command, ready: &str, stop: &AtomicBool) -> Result<(Self, String)> {
        let mut process = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {name}"))?;
        let stdout = process.stdout.take().context("no standard output")?;
        let running = Self { name, process };
        let mut lines = BufReader::new(stdout).lines();
        for line in lines.by_ref() {
            let line = line?;
            if let Some(rest) = line.strip_prefix(ready) {
                let rest = rest.to_owned();
                // What it says later is passed on.
                std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| println!("{line}")));
                return Ok((running, rest));
            }
            if stop.load(Ordering::Relaxed) {
                bail!("stopped");
            }
            println!("{line}");
        }
        bail!("{name} ended before it was ready")
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| matches!(self.process.try_wait(), Ok(None))) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.process.wait();
    }
}

/// A key that nobody can guess.
fn random_key() -> Result<String> {
    let mut bytes = [0; 24];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().fold("sk-".to_owned(), |key, byte| format!("{key}{byte:02x}")))
}
