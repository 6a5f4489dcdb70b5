//! Node's packages and a browser: the JavaScript clients that are tested, and what optimizes the components.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};

use crate::shell::{root, run_quietly, say, succeeds};

/// The oldest Node that the clients run on.
const OLDEST: u32 = 20;
/// Names of browsers of Chromium's kind.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Folder that names the packages of the tests.
const TESTS: &str = "tests/node";

/// Installs the tests' packages, where they aren't there as they should be.
pub(crate) fn packages() -> Result<()> {
    install(TESTS)
}

/// Installs the packages that `folder` names, where they aren't there as they should be.
pub(crate) fn install(folder: &str) -> Result<()> {
    let version = run_quietly(Command::new("node").args(["--print", "process.versions.node"]))
        .context("there is no Node here; install Node 20 or newer")?;
    let major = version.split('.').next().and_then(|major| major.trim().parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST) {
        bail!("Node {} is too old; install Node {OLDEST} or newer", version.trim());
    }
    // Components that are built side by side both want the same.
    static ONE_AFTER_THE_OTHER: Mutex<()> = Mutex::new(());
    let _turn = ONE_AFTER_THE_OTHER.lock();
    let folder = root().join(folder);
    let wanted = fs::read_to_string(folder.join("package-lock.json")).context("cannot read package-lock.json")?;
    let stamp = folder.join("node_modules/.installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    say(&format!("installing Node's packages into {}", folder.join("node_modules").display()));
    run_quietly(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&folder))?;
    fs::write(&stamp, wanted)?;
    Ok(())
}

/// A program of the packages that `folder` names.
pub(crate) fn program(folder: &str, name: &str) -> Command {
    Command::new(root().join(folder).join("node_modules/.bin").join(name))
}

/// A program of the tests' packages.
pub(crate) fn test_program(name: &str) -> Command {
    program(TESTS, name)
}

/// A browser: the machine's own, or Debian's, which is installed where this machine lets us.
pub(crate) fn chromium() -> Result<PathBuf> {
    if let Some(found) = found() {
        return Ok(found);
    }
    say("there is no Chromium here; installing Debian's");
    let as_root = succeeds(Command::new("sh").args(["-c", "test \"$(id -u)\" = 0"]));
    let apt = |arguments: &[&str]| {
        let mut command = if as_root { Command::new("apt-get") } else { Command::new("sudo") };
        if !as_root {
            command.args(["-n", "apt-get"]);
        }
        run_quietly(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    // Old lists name packages that the archive no longer has. That one of several sources can't be read is no reason to
    // give up.
    drop(apt(&["update"]));
    let installed = apt(&["install", "-y", "--no-install-recommends", "chromium"]);
    match (installed, found()) {
        (_, Some(found)) => Ok(found),
        (Err(error), None) => Err(error.context("Chromium is needed for the tests; install it by hand")),
        (Ok(_), None) => bail!("Debian's chromium is installed, and yet not in PATH"),
    }
}

#[allow(clippy::disallowed_methods, reason = "a program's own search path")]
fn found() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    BROWSERS.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| Path::is_file(file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_are_locked_to_contents_and_not_to_a_registry() {
        for folder in [TESTS, "crates/xtask/node", "crates/bench/node"] {
            let lock = fs::read_to_string(root().join(folder).join("package-lock.json")).unwrap();
            assert!(!lock.contains("\"resolved\"") && !lock.contains("registry"));
            let packages = lock.matches("\"node_modules/").count();
            assert_eq!(lock.matches("\"integrity\": \"sha512-").count(), packages);
        }
    }
}
