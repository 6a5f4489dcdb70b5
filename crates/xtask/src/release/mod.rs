//! `cargo xtask release`: what a release consists of, in `target/dist`. Publishing is the workflow's,
//! `.github/workflows/release.yml`.
//!
//! An archive of the components and one of the host unpack into the same folder, in which the host finds `spin.toml`
//! and that the components. Beside them lie each component by itself, bills of materials, the notes and the checksums.

mod bundle;
mod notes;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};

use self::bundle::{Entry, archive, bill_of_materials, checksums};
use crate::build::{self, PLAIN};
use crate::shell::{TARGET, root, run_quietly, say, target};

/// Version of this release.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The components that spin.toml names.
const COMPONENTS: [&str; 2] = ["z_image_2api.wasm", "z_image_fileserver.wasm"];

/// Options of `cargo xtask release`.
#[derive(Debug, Args)]
pub(crate) struct ReleaseOptions {
    /// Asks for neither a tag nor a section of the changelog, and goes without what isn't built.
    #[arg(long)]
    dry_run: bool,
    /// Builds nothing: everything is there.
    #[arg(long)]
    no_build: bool,
    /// Leaves the bills of materials out.
    #[arg(long)]
    no_sbom: bool,
    /// Part that is made; all, where nothing is named.
    #[arg(long, value_enum)]
    part: Vec<Part>,
}

/// A part of a release, which a machine of its own may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The components, for every machine.
    Components,
    /// The host, for machines like this one.
    Host,
    /// The notes.
    Notes,
}

impl ReleaseOptions {
    fn has(&self, part: Part) -> bool {
        self.part.is_empty() || self.part.contains(&part)
    }
}

/// Makes the parts of a release.
pub(crate) fn release(options: &ReleaseOptions) -> Result<()> {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md"))?;
    let notes = notes::section(&changelog, VERSION);
    let notes = if options.dry_run { notes.or_else(|| notes::section(&changelog, "Unreleased")) } else { notes };
    let notes = notes.with_context(|| format!("CHANGELOG.md says nothing of {VERSION}"))?;
    let manifest = fs::read_to_string(root().join("spin.toml"))?;
    ensure!(manifest.contains(&format!("\nversion = \"{VERSION}\"\n")), "spin.toml is not of version {VERSION}");
    if !options.dry_run {
        is_tagged()?;
    }
    if !options.no_build {
        if options.has(Part::Components) {
            build::for_release()?;
            build::plain()?;
        } else {
            build::host_for_release()?;
        }
    }
    let dist = target().join("dist");
    if dist.exists() {
        fs::remove_dir_all(&dist)?;
    }
    fs::create_dir_all(&dist)?;
    if options.has(Part::Components) {
        components(&dist, options)?;
    }
    if options.has(Part::Host) {
        host(&dist, options)?;
    }
    if options.has(Part::Notes) {
        fs::write(dist.join("NOTES.md"), notes)?;
    }
    for line in checksums(&dist)?.lines() {
        println!("{line}");
    }
    say(&format!("version {VERSION} is in {}", dist.display()));
    Ok(())
}

/// The tag of this version is on what is built, and nothing else is.
fn is_tagged() -> Result<()> {
    let git = |arguments: &[&str]| run_quietly(Command::new("git").args(arguments).current_dir(root()));
    let tags = git(&["tag", "--points-at", "HEAD"])?;
    ensure!(tags.lines().any(|tag| tag == format!("v{VERSION}")), "HEAD has no tag v{VERSION}");
    ensure!(git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty(), "there are changes beside the commit");
    Ok(())
}

fn components(dist: &Path, options: &ReleaseOptions) -> Result<()> {
    let folder = target().join(TARGET).join("release");
    let mut entries = documents();
    entries.push(Entry::new(root().join("spin.toml"), "spin.toml"));
    entries.push(Entry::new(root().join("deploy/runtime-config.toml"), "runtime-config.toml"));
    for file in COMPONENTS {
        let path = folder.join(file);
        ensure!(path.exists(), "{} is not there: cargo xtask build", path.display());
        fs::copy(&path, dist.join(file))?;
        entries.push(Entry::new(path, &format!("target/{TARGET}/release/{file}")));
    }
    let plain = folder.join(PLAIN);
    if plain.exists() {
        fs::copy(plain, dist.join(PLAIN))?;
    } else {
        ensure!(options.dry_run, "{PLAIN} is not there: cargo xtask build --target wasi");
        say(&format!("{PLAIN} is not there, and left out"));
    }
    archive(&dist.join(format!("{}-components.tar.gz", folder_name())), &folder_name(), &entries)?;
    if !options.no_sbom {
        bill_of_materials(".", TARGET, &dist.join(format!("{}.cdx.json", folder_name())))?;
        let name = format!("z-image-fileserver-{VERSION}.cdx.json");
        bill_of_materials("crates/fileserver", TARGET, &dist.join(name))?;
    }
    Ok(())
}

fn host(dist: &Path, options: &ReleaseOptions) -> Result<()> {
    let machine = machine()?;
    let program = build::host_program();
    ensure!(program.exists(), "{} is not there: cargo xtask build", program.display());
    let mut entries = documents();
    entries.push(Entry::new(program, "z-image-host"));
    entries.push(Entry::new(root().join("deploy/z-image-2api.service"), "z-image-2api.service"));
    archive(&dist.join(format!("z-image-host-{VERSION}-{machine}.tar.gz")), &folder_name(), &entries)?;
    if !options.no_sbom {
        bill_of_materials("crates/host", &machine, &dist.join(format!("z-image-host-{VERSION}-{machine}.cdx.json")))?;
    }
    Ok(())
}

/// Folder that both archives unpack into.
fn folder_name() -> String {
    format!("z-image-2api-{VERSION}")
}

fn documents() -> Vec<Entry> {
    ["LICENSE", "README.md", "CHANGELOG.md"].map(|name| Entry::new(root().join(name), name)).into()
}

/// Target of programs that are built here.
fn machine() -> Result<String> {
    let said = run_quietly(Command::new("rustc").arg("-vV"))?;
    let target = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(target.context("rustc doesn't name its host")?.to_owned())
}

/// A path of the workspace, for its messages.
fn shown(path: &Path) -> PathBuf {
    path.strip_prefix(root()).unwrap_or(path).to_owned()
}
