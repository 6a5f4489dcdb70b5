//! A Redis server for the tests: the machine's own, or Debian's package, unpacked into `target/`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::shell::{run_quietly, say, succeeds, target};

/// The packages: the server, its program, and the libraries that few machines have already.
const PACKAGES: [&str; 4] = ["redis-server", "redis-tools", "libjemalloc2", "liblzf1"];

/// The server's program.
pub(crate) fn server() -> Result<PathBuf> {
    if succeeds(Command::new("redis-server").arg("--version")) {
        return Ok(PathBuf::from("redis-server"));
    }
    let folder = target().join("redis");
    let program = folder.join("redis-server");
    if succeeds(Command::new(&program).arg("--version")) {
        return Ok(program);
    }
    say("there is no redis-server here; unpacking Debian's into target/redis");
    unpack(&folder)
        .context("there is no redis-server for the tests; install it, as with `apt-get install redis-server`")?;
    // Its libraries lie beside it, where the loader doesn't look by itself.
    let script = "#!/bin/sh\nhere=$(dirname \"$0\")\nLD_LIBRARY_PATH=$(echo \"$here\"/root/usr/lib/*-linux-gnu*) exec \"$here/root/usr/bin/redis-server\" \"$@\"\n";
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    run_quietly(Command::new(&program).arg("--version"))?;
    Ok(program)
}

fn unpack(folder: &std::path::Path) -> Result<()> {
    let packages = folder.join("packages");
    fs::create_dir_all(&packages)?;
    run_quietly(Command::new("apt-get").arg("download").args(PACKAGES).current_dir(&packages))?;
    for entry in fs::read_dir(&packages)? {
        run_quietly(Command::new("dpkg-deb").arg("-x").arg(entry?.path()).arg(folder.join("root")))?;
    }
    Ok(())
}
