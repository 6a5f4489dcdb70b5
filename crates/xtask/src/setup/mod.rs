//! Getting what is missing. Each step looks first, says what it does, and does nothing twice.

mod debian;
pub(crate) mod nginx;
mod package;
pub(crate) mod postgres;
pub(crate) mod prometheus;
pub(crate) mod tool;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::shell::{TARGET, root, run_quietly, say, succeeds};
use crate::{node, python};

/// Everything that the commands need.
pub(crate) fn all() -> Result<()> {
    target()?;
    python::tests()?;
    for generation in [4, 5] {
        python::gradio(generation)?;
    }
    postgres::programs()?;
    prometheus::programs()?;
    python::clients()?;
    python::schemathesis()?;
    python::lint()?;
    node::packages()?;
    node::chromium()?;
    Ok(())
}

/// The standard library for [`TARGET`].
pub(crate) fn target() -> Result<()> {
    let library = library()?;
    let is_there = |prefix: &str| {
        std::fs::read_dir(&library)
            .is_ok_and(|entries| entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(prefix)))
    };
    let is_whole = || is_there("libstd-") && library.join("self-contained/libc.a").exists();
    if is_whole() {
        return Ok(());
    }
    say(&format!("the target {TARGET} is missing; asking rustup for it"));
    // rustup believes its own records, which may say that a target is there when its files are not.
    if succeeds(Command::new("rustup").args(["target", "add", TARGET])) && is_whole() {
        return Ok(());
    }
    say("rustup cannot give it here; building it from Debian's sources of the same Rust version");
    debian::install(&library).with_context(|| {
        format!(
            "the target {TARGET} could not be set up. By hand: `rustup target add {TARGET}` where rustup can download, \
             or put that target's standard library into {}",
            library.display()
        )
    })
}

/// Folder of the target's libraries.
fn library() -> Result<PathBuf> {
    let sysroot = run_quietly(Command::new("rustc").args(["--print", "sysroot"]).current_dir(root()))?;
    Ok(PathBuf::from(sysroot.trim()).join("lib/rustlib").join(TARGET).join("lib"))
}
