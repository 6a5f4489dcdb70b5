//! `cargo xtask golden`: the files that say what goes out, written anew.

use anyhow::Result;

use crate::shell::run;
use crate::{build, test};

/// Builds, shows what goes out otherwise than tests/golden has it, and rewrites that.
pub(crate) fn golden() -> Result<()> {
    build::all()?;
    run(&mut test::pytest(&["-s", "--update-golden", "-k", "golden"])?)
}
