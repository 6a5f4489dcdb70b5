//! `cargo xtask space`: what the component makes of a Space, for a report on it.

use std::ffi::OsString;

use anyhow::Result;

use crate::shell::{cargo, run};

/// Asks the Space for its descriptions, and tells what is made of them.
pub(crate) fn space(space: &OsString) -> Result<()> {
    run(cargo(&["run", "--quiet", "--locked", "--package", "z-image-space", "--"]).arg(space))
}
