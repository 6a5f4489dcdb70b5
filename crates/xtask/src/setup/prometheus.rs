//! Prometheus for the tests of the figures: the machine's own, or Debian's package, unpacked into `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::package::unpack;
use crate::shell::{say, succeeds, target};

/// Programs: the server, and the one that checks what it would read.
const PROGRAMS: [&str; 2] = ["prometheus", "promtool"];
/// Debian's folder of them.
const PLACE: &str = "usr/bin";

/// Folder of the programs.
pub(crate) fn programs() -> Result<PathBuf> {
    let unpacked = target().join("prometheus").join(PLACE);
    if let Some(folder) = [Path::new("/").join(PLACE), unpacked.clone()].into_iter().find(|folder| is_usable(folder)) {
        return Ok(folder);
    }
    say("there is no Prometheus here; unpacking Debian's into target/prometheus");
    let advice = "there is no Prometheus for the tests; install it, as with `apt-get install prometheus`";
    unpack("prometheus", &target().join("prometheus")).context(advice)?;
    ensure!(
        is_usable(&unpacked),
        "Debian's Prometheus doesn't run here; install it, as with `apt-get install prometheus`"
    );
    Ok(unpacked)
}

fn is_usable(folder: &Path) -> bool {
    PROGRAMS.iter().all(|program| succeeds(Command::new(folder.join(program)).arg("--version")))
}
