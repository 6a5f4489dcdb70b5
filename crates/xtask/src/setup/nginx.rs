//! nginx for the benchmark: the machine's own, or Debian's package, unpacked into `target/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::shell::{run_quietly, say, succeeds, target};

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
    unpack(&target().join("nginx")).context("there is no nginx; install it, as with `apt-get install nginx-light`")?;
    ensure!(is_usable(&unpacked), "Debian's nginx doesn't run here; install it, as with `apt-get install nginx-light`");
    Ok(unpacked)
}

fn is_usable(program: &Path) -> bool {
    succeeds(Command::new(program).arg("-v"))
}

/// Unpacks the package, of which nothing is installed: no service starts.
fn unpack(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let packages = folder.join("packages");
    fs::create_dir_all(&packages)?;
    // The package goes into a folder that apt's own user may not enter; root downloads it then, which is all right.
    let arguments = ["-o", "APT::Sandbox::User=root", "download", "nginx"];
    run_quietly(Command::new("apt-get").args(arguments).current_dir(&packages))?;
    for entry in fs::read_dir(&packages)? {
        run_quietly(Command::new("dpkg-deb").arg("-x").arg(entry?.path()).arg(folder))?;
    }
    fs::remove_dir_all(&packages)?;
    Ok(())
}
