//! The end-to-end tests that wait for something, once more on a machine that is busy with other things.

use std::process::Command;

use anyhow::Result;

use crate::shell::{root, run, side_by_side};
use crate::{build, test};

/// Runs the tests marked `busy` while every processor is kept busy.
pub(crate) fn busy() -> Result<()> {
    let (_, pytest) = side_by_side(build::all, || test::pytest(&["-m", "busy"]))?;
    let mut loaded = Command::new(pytest.get_program());
    loaded.arg(root().join("tests/e2e/load.py")).arg(pytest.get_program()).args(pytest.get_args());
    loaded.envs(pytest.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(root());
    run(&mut loaded)
}
