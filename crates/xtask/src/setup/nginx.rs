//! nginx for the benchmark: the machine's own, or Debian's package, unpacked into `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::package::unpack;
use crate::shell::{say, succeeds, target};

/// Debian's place of it, which a plain user's PATH lacks.
const PLACE: &str = "usr/sbin/nginx";

/// The program.
pub(crate) fn program() -> Result<PathBuf> {
    let unpacked = target().join("nginx").join(PLACE);
    let known = [PathBuf::from("nginx"), Path::new("/").join(PLACE), unpacked.clone()];
    if let Some(program) = known.into_iter().find(|program| is_usable(program)) {
        return Ok(program);
    }
    say("there is no nginx here; unpacking Debian's into target/nginx");
    unpack("nginx", &target().join("nginx"))
        .context("there is no nginx; install it, as with `apt-get install nginx-light`")?;
    ensure!(is_usable(&unpacked), "Debian's nginx doesn't run here; install it, as with `apt-get install nginx-light`");
    Ok(unpacked)
}

fn is_usable(program: &Path) -> bool {
    succeeds(Command::new(program).arg("-v"))
}
