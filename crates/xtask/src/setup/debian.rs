//! The target's standard library, built from Debian's packages.
//!
//! Where rustup has nowhere to download from but Debian's archive is at hand, `rust-src` holds the very sources of a
//! Rust release, with all that they depend on, and `wasi-libc` the C library beneath. Rust's own compiler can build the
//! one and link the other. Nothing on the machine is changed but the toolchain's folder for the target, and no
//! privileges are needed: `apt-get` works on lists and caches of our own, and its signatures are checked as always.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::TARGET;
use crate::shell::{run, run_quietly, say, succeeds, target};

/// Suites that may hold a Rust release, beside those that the machine has. One that isn't there is passed over.
const SUITES: [&str; 5] = ["bookworm-backports", "trixie", "trixie-backports", "forky", "sid"];
/// `wasi-libc` packages before this have no wasm32-wasip2.
const LEAST_WASI_LIBC: &str = "0.0~git20260129";

/// Builds the library and puts it into `library`.
pub(crate) fn install(library: &Path) -> Result<()> {
    let version = rust_version()?;
    let work = target().join("setup");
    let apt = Apt::new(&work.join("apt"))?;
    say(&format!("reading Debian's package lists for rust-src {version} and wasi-libc"));
    apt.update();
    let rust_src = apt
        .newest("rust-src", |candidate| candidate.starts_with(&format!("{version}+")))?
        .with_context(|| format!("none of Debian's suites has rust-src {version}, the sources of this compiler"))?;
    let wasi_libc = apt
        .newest("wasi-libc", |candidate| at_least(candidate, LEAST_WASI_LIBC))?
        .with_context(|| format!("none of Debian's suites has wasi-libc {LEAST_WASI_LIBC} or newer"))?;

    let root = work.join("root");
    say(&format!("downloading rust-src {rust_src} and wasi-libc {wasi_libc}"));
    for (name, version) in [("rust-src", &rust_src), ("wasi-libc", &wasi_libc)] {
        let package = apt.download(name, version)?;
        fs::create_dir_all(&root)?;
        run_quietly(Command::new("dpkg-deb").arg("-x").args([&package, &root]))?;
    }
    let sources = root.join(format!("usr/src/rustc-{version}/library"));
    let built = build(&sources, &work.join("build"))?;
    put(&built, &root.join("usr/lib").join(TARGET), library)?;
    fs::remove_dir_all(&work).context("cannot tidy up")?;
    say(&format!("the target {TARGET} is there"));
    Ok(())
}

/// The version of the compiler, such as `1.95.0`.
fn rust_version() -> Result<String> {
    let said = run_quietly(Command::new("rustc").arg("--version"))?;
    let version = said.split_whitespace().nth(1).context("rustc tells no version")?;
    Ok(version.to_owned())
}

/// Builds the standard library from `sources`, and returns the folder of its `.rlib` files.
fn build(sources: &Path, out: &Path) -> Result<PathBuf> {
    say("building the standard library, about a minute");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "--release", "--target", TARGET, "--features", "panic-unwind,backtrace"])
        .arg("--manifest-path")
        .arg(sources.join("sysroot/Cargo.toml"))
        .env("CARGO_TARGET_DIR", out)
        // The library uses features that only a compiler's own library may.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("__CARGO_DEFAULT_LIB_METADATA", "z-image-2api")
        // Without the bitcode, a component could not be linked with `lto = true`.
        .env("RUSTFLAGS", "-Zforce-unstable-if-unmarked -Cembed-bitcode=yes")
        .env("CARGO_PROFILE_RELEASE_LTO", "thin")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    run(&mut cargo)?;
    Ok(out.join(TARGET).join("release/deps"))
}

/// Puts the libraries where the compiler looks for them. `libstd` comes last: its being there says that all is.
fn put(built: &Path, libc: &Path, library: &Path) -> Result<()> {
    let contained = library.join("self-contained");
    fs::create_dir_all(&contained).with_context(|| format!("cannot write to {}", library.display()))?;
    for name in ["crt1-command.o", "crt1-reactor.o", "libc.a"] {
        fs::copy(libc.join(name), contained.join(name)).with_context(|| format!("wasi-libc has no {name}"))?;
    }
    let mut libraries: Vec<PathBuf> = fs::read_dir(built)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    libraries.retain(|path| path.extension() == Some(OsStr::new("rlib")));
    libraries.sort_by_key(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libstd-")));
    for path in libraries {
        let name = path.file_name().unwrap_or_default();
        fs::copy(&path, library.join(name))?;
    }
    Ok(())
}

/// `apt`, with lists and caches of our own.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn new(folder: &Path) -> Result<Self> {
        if !succeeds(Command::new("apt-get").arg("--version")) {
            bail!("this machine has no apt-get");
        }
        for part in ["lists/partial", "cache/archives/partial", "packages"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let mut sources = String::new();
        let mirror = mirror()?;
        for suite in SUITES {
            writeln!(sources, "deb [signed-by={KEYRING}] {mirror} {suite} main")?;
        }
        fs::write(folder.join("sources.list"), sources)?;
        Ok(Self { folder: folder.to_owned() })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (option, value) in [
            ("Dir::Etc::SourceList", self.folder.join("sources.list")),
            ("Dir::Etc::SourceParts", PathBuf::from("/dev/null")),
            ("Dir::State::Lists", self.folder.join("lists")),
            ("Dir::State::Status", PathBuf::from("/dev/null")),
            ("Dir::Cache", self.folder.join("cache")),
        ] {
            command.arg("-o").arg(format!("{option}={}", value.display()));
        }
        // The packages go into a folder that apt's own user may not enter; root downloads them then, which is all
        // right.
        command.args(["-o", "APT::Sandbox::User=root"]);
        command
    }

    /// Reads the lists. A suite that isn't there, or that the machine's keys don't vouch for, is passed over.
    fn update(&self) {
        succeeds(self.command("apt-get").args(["update", "-o", "Acquire::Languages=none"]));
    }

    /// The newest version of a package that is `fit`.
    fn newest(&self, name: &str, fit: impl Fn(&str) -> bool) -> Result<Option<String>> {
        let said = run_quietly(self.command("apt-cache").args(["madison", name]))?;
        let versions = said.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim);
        Ok(versions
            .filter(|version| fit(version))
            .reduce(|best, next| if at_least(next, best) { next } else { best })
            .map(str::to_owned))
    }

    fn download(&self, name: &str, version: &str) -> Result<PathBuf> {
        let packages = self.folder.join("packages");
        run_quietly(self.command("apt-get").args(["download", &format!("{name}={version}")]).current_dir(&packages))?;
        let mut files = fs::read_dir(&packages)?.flatten().map(|entry| entry.path());
        let prefix = format!("{name}_");
        files
            .find(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&prefix)))
            .with_context(|| format!("apt-get downloaded no {name}"))
    }
}

/// Debian's own keys.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where this machine gets Debian's packages from, by its own apt's sources, in either of their two formats.
fn mirror() -> Result<String> {
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let files = [PathBuf::from("/etc/apt/sources.list")].into_iter().chain(parts);
    let texts: Vec<_> = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
    let mirror = texts.iter().find_map(|text| mirror_in(text));
    mirror.context("this machine's apt has no source of Debian's packages")
}

/// The archive that a list of sources names: a URL whose path ends with `/debian`.
fn mirror_in(sources: &str) -> Option<String> {
    let lines = sources.lines().map(str::trim_start).filter(|line| !line.starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace).map(|word| word.trim_end_matches('/'));
    words.find(|word| word.contains("://") && word.ends_with("/debian")).map(str::to_owned)
}

/// Whether a version isn't older than another, by Debian's rules.
fn at_least(version: &str, least: &str) -> bool {
    succeeds(Command::new("dpkg").args(["--compare-versions", version, "ge", least]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_found_in_both_formats_of_sources() {
        let stanza = "Types: deb\n# http://old.example/debian\nURIs: http://mirror.example/debian/\nSuites: bookworm\n";
        assert_eq!(mirror_in(stanza).as_deref(), Some("http://mirror.example/debian"));
        let line = "deb [arch=amd64] https://mirror.example/debian bookworm main\n";
        assert_eq!(mirror_in(line).as_deref(), Some("https://mirror.example/debian"));
        assert_eq!(mirror_in("deb http://mirror.example/debian-security bookworm-security main\n"), None);
        assert_eq!(mirror_in("# deb http://mirror.example/debian bookworm main\n"), None);
    }
}
