//! A PostgreSQL server for the tests: the machine's own, or Debian's packages, unpacked into `target/`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::shell::{run_quietly, say, succeeds, target};

/// Programs that make and run a server.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_ctl"];
/// Debian's folder of them, with one for each version, which PATH doesn't name.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Folder of the server's programs.
pub(crate) fn programs() -> Result<PathBuf> {
    if let Some(folder) = installed().into_iter().find(|folder| is_usable(folder)) {
        return Ok(folder);
    }
    let folder = target().join("postgres");
    let programs = folder.join("bin");
    if is_usable(&programs) {
        return Ok(programs);
    }
    say("there is no PostgreSQL server here; unpacking Debian's into target/postgres");
    unpack(&folder)
        .and_then(|()| wrap(&folder, &programs))
        .context("there is no PostgreSQL server for the tests; install it, as with `apt-get install postgresql`")?;
    Ok(programs)
}

fn is_usable(folder: &Path) -> bool {
    PROGRAMS.iter().all(|program| succeeds(Command::new(folder.join(program)).arg("--version")))
}

/// Folders that may have the machine's own, the newest of Debian's first.
#[allow(clippy::disallowed_methods, reason = "PATH says where programs are")]
fn installed() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_server = |folder: &PathBuf| folder.join("initdb").exists();
    std::env::split_paths(&path).filter(has_server).chain(versions(Path::new(DEBIAN))).collect()
}

/// The folders of programs below `/usr/lib/postgresql`, the newest version's first.
fn versions(folder: &Path) -> Vec<PathBuf> {
    let mut versions: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
    versions.sort_by_key(|entry| entry.file_name().to_string_lossy().parse::<u32>().unwrap_or_default());
    versions.into_iter().rev().map(|entry| entry.path().join("bin")).collect()
}

/// Unpacks the server, and the libraries that this machine lacks.
fn unpack(folder: &Path) -> Result<()> {
    let simulated = ["--simulate", "--no-install-recommends", "install", "postgresql"];
    let said = run_quietly(Command::new("apt-get").args(simulated))?;
    let wanted = wanted(&said);
    ensure!(!wanted.is_empty(), "apt-get knows no package of the server");
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let packages = folder.join("packages");
    fs::create_dir_all(&packages)?;
    // The packages go into a folder that apt's own user may not enter; root downloads them then, which is all right.
    let mut download = Command::new("apt-get");
    download.args(["-o", "APT::Sandbox::User=root", "download"]).args(wanted).current_dir(&packages);
    run_quietly(&mut download)?;
    for entry in fs::read_dir(&packages)? {
        run_quietly(Command::new("dpkg-deb").arg("-x").arg(entry?.path()).arg(folder.join("root")))?;
    }
    fs::remove_dir_all(&packages)?;
    Ok(())
}

/// Packages, each with its version, out of the lines `Inst NAME (VERSION …)` of a simulated installation: the server
/// and the libraries that it is linked with. Its compiler of queries and its scripts in Perl aren't needed.
fn wanted(said: &str) -> Vec<String> {
    let is_server = |name: &str| {
        name.strip_prefix("postgresql-").is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let is_library = |name: &str| {
        let unneeded = ["libllvm", "libz3", "libc-", "libperl"].iter().any(|prefix| name.starts_with(prefix));
        name.starts_with("lib") && !unneeded && !name.ends_with("-perl")
    };
    let packages = said.lines().filter_map(|line| {
        let line = line.strip_prefix("Inst ")?;
        let name = line.split_whitespace().next()?;
        let version = line.split_once('(')?.1.split_whitespace().next()?;
        (is_server(name) || is_library(name)).then(|| format!("{name}={version}"))
    });
    packages.collect()
}

/// Puts scripts into `programs` that run what was unpacked: its libraries lie where the loader doesn't look by itself.
fn wrap(folder: &Path, programs: &Path) -> Result<()> {
    let unpacked = versions(&folder.join("root").join(DEBIAN.trim_start_matches('/')));
    let unpacked = unpacked.first().context("the packages hold no server")?;
    let version = unpacked.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    fs::create_dir_all(programs)?;
    for program in PROGRAMS {
        let script = format!(
            "#!/bin/sh\nroot=$(dirname \"$(readlink -f \"$0\")\")/../root\n\
             for folder in \"$root\"/usr/lib/*-linux-gnu* \"$root\"/lib/*-linux-gnu*; do\n  \
             LD_LIBRARY_PATH=$folder${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\ndone\nexport LD_LIBRARY_PATH\n\
             exec \"$root{DEBIAN}/{version}/bin/{program}\" \"$@\"\n"
        );
        let file = programs.join(program);
        fs::write(&file, script)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        run_quietly(Command::new(&file).arg("--version"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_and_its_libraries_are_wanted() {
        let said = "Reading package lists...\nInst perl-base [5.36.0-7] (5.36.0-8 Debian:12 [amd64])\n\
                    Inst libjson-perl (4.10000-1 Debian:12 [all])\nInst libllvm14 (1:14.0.6-12 Debian:12 [amd64])\n\
                    Inst libpq5 (15.18-0+deb12u1 Debian-Security:12 [amd64])\n\
                    Inst postgresql-common (248 Debian:12 [all])\n\
                    Inst postgresql-client-15 (15.18-0+deb12u1 Debian:12 [amd64])\n\
                    Inst postgresql-15 (15.18-0+deb12u1 Debian:12 [amd64])\nInst postgresql (15+248 Debian:12 [all])\n\
                    Conf postgresql-15 (15.18-0+deb12u1 Debian:12 [amd64])\n";
        assert_eq!(wanted(said), ["libpq5=15.18-0+deb12u1", "postgresql-15=15.18-0+deb12u1"]);
    }
}
