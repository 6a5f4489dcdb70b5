//! Debian's packages, unpacked into a folder: nothing is installed, and no service starts.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::shell::run_quietly;

/// Unpacks a package into `folder`, which is emptied before.
pub(super) fn unpack(name: &str, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let packages = folder.join("packages");
    fs::create_dir_all(&packages)?;
    // The package goes into a folder that apt's own user may not enter; root downloads it then, which is all right.
    let arguments = ["-o", "APT::Sandbox::User=root", "download", name];
    run_quietly(Command::new("apt-get").args(arguments).current_dir(&packages))?;
    for entry in fs::read_dir(&packages)? {
        run_quietly(Command::new("dpkg-deb").arg("-x").arg(entry?.path()).arg(folder))?;
    }
    fs::remove_dir_all(&packages)?;
    Ok(())
}
