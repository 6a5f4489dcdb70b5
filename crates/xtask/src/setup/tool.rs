//! Programs from crates.io, each in a folder of its own inside `target/`.

use std::path::PathBuf;

use anyhow::Result;

use crate::shell::{cargo, run, say, target};

/// A program of crates.io, in the version that everybody has.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// More of `cargo install`'s arguments.
    pub(crate) arguments: &'static [&'static str],
}

impl Tool {
    /// The program, installed where it isn't there yet.
    pub(crate) fn program(&self) -> Result<PathBuf> {
        let folder = target().join("tools").join(format!("{}-{}", self.name, self.version));
        let program = folder.join("bin").join(self.name);
        if !program.exists() {
            say(&format!("installing {} {} from crates.io", self.name, self.version));
            let mut install = cargo(&["install", self.name, "--version", self.version, "--locked"]);
            run(install.args(self.arguments).arg("--root").arg(&folder))?;
        }
        Ok(program)
    }
}
