//! Running other programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The components' target.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Reports what is being done.
pub(crate) fn say(text: &str) {
    eprintln!("[xtask] {text}");
}

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    // crates/xtask is two folders below it.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map_or_else(PathBuf::new, Path::to_owned)
}

/// Folder of everything that is built.
#[allow(clippy::disallowed_methods, reason = "Cargo's own variable")]
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// `cargo`, in the workspace's folder.
#[allow(clippy::disallowed_methods, reason = "Cargo's own variables")]
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root()).args(arguments);
    // Cargo sets these for this program. Some build scripts look at them and would run again whenever a build is not
    // started from here.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// Runs it, with its output in sight.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("cannot run {shown}"))?;
    if !status.success() {
        bail!("{shown} failed: {status}");
    }
    Ok(())
}

/// Runs it without a word, and shows what it said only if it fails.
pub(crate) fn run_quietly(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{shown} failed: {}\n{}", output.status, String::from_utf8_lossy(&said));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs it quietly; true where it succeeds.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Does both at once.
pub(crate) fn side_by_side<A: Send, B>(
    first: impl FnOnce() -> Result<A> + Send,
    second: impl FnOnce() -> Result<B>,
) -> Result<(A, B)> {
    std::thread::scope(|scope| {
        let first = scope.spawn(first);
        let second = second();
        let first = first.join().unwrap_or_else(|_| bail!("a step panicked"));
        Ok((first?, second?))
    })
}
