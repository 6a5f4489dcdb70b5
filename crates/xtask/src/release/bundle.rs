//! Archives, bills of materials and checksums.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use super::shown;
use crate::setup::tool::Tool;
use crate::shell::{root, run_quietly, say};

const CYCLONEDX: Tool = Tool { name: "cargo-cyclonedx", version: "0.5.9", arguments: &[] };
/// Name of the files that it writes beside each package's manifest.
const BILL: &str = "z-image-bill";
/// Name of the file of checksums.
const SUMS: &str = "SHA256SUMS";

/// A file in an archive.
pub(super) struct Entry {
    from: PathBuf,
    to: String,
}

impl Entry {
    pub(super) fn new(from: PathBuf, to: &str) -> Self {
        Self { from, to: to.to_owned() }
    }
}

/// Writes an archive whose files lie in `folder`.
pub(super) fn archive(file: &Path, folder: &str, entries: &[Entry]) -> Result<()> {
    let beside = file.with_extension("d");
    for entry in entries {
        let place = beside.join(folder).join(&entry.to);
        fs::create_dir_all(place.parent().context("a file has a folder")?)?;
        fs::copy(&entry.from, &place).with_context(|| format!("cannot copy {}", shown(&entry.from).display()))?;
    }
    run_quietly(Command::new("tar").arg("-czf").arg(file).arg("-C").arg(&beside).arg(folder))?;
    fs::remove_dir_all(&beside)?;
    Ok(())
}

/// Writes the bill of materials of the package in that folder, for a target.
pub(super) fn bill_of_materials(package: &str, target: &str, file: &Path) -> Result<()> {
    let mut program = Command::new(CYCLONEDX.program()?);
    program.args(["cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5", "--target", target]);
    let made = run_quietly(program.args(["--override-filename", BILL]).current_dir(root()));
    let written = made.and_then(|_| {
        let own = root().join(package).join(format!("{BILL}.json"));
        let bill = fs::read_to_string(own).with_context(|| format!("{package} has no bill of materials"))?;
        fs::write(file, elsewhere(&bill, &root())).context("cannot write it")
    });
    // It writes one for each package of the workspace.
    let folders = [".", "crates"].map(|folder| fs::read_dir(root().join(folder)));
    for folder in folders.into_iter().flatten().flatten().flatten().map(|entry| entry.path()).chain([root()]) {
        drop(fs::remove_file(folder.join(format!("{BILL}.json"))));
    }
    written?;
    say(&format!("{} lists what is inside", file.file_name().unwrap_or_default().to_string_lossy()));
    Ok(())
}

/// The bill without this machine's path to the workspace.
fn elsewhere(bill: &str, root: &Path) -> String {
    bill.replace(&format!("file://{}", root.display()), "file://")
}

/// Writes the checksums of a folder's files, in the form of `sha256sum`, and returns them.
pub(super) fn checksums(folder: &Path) -> Result<String> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    let mut sums = String::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        ensure!(file.is_file() && name != SUMS, "{name} is no part of a release");
        let sum = Sha256::digest(fs::read(&file)?).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        writeln!(sums, "{sum}  {name}")?;
    }
    fs::write(folder.join(SUMS), &sums)?;
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_says_nothing_of_the_machine() {
        let bill = r#"{"bom-ref": "path+file:///home/me/x/crates/a#b@1"}"#;
        assert_eq!(elsewhere(bill, Path::new("/home/me/x")), r#"{"bom-ref": "path+file:///crates/a#b@1"}"#);
    }

    #[test]
    fn an_archive_unpacks_and_checksums_are_those_of_sha256sum() {
        let folder = std::env::temp_dir().join(format!("z-image-release-{}", std::process::id()));
        let (dist, out) = (folder.join("dist"), folder.join("out"));
        fs::create_dir_all(&dist).unwrap();
        fs::create_dir_all(&out).unwrap();
        fs::write(folder.join("a"), "abc").unwrap();
        let entries = [Entry::new(folder.join("a"), "b/c"), Entry::new(folder.join("a"), "d")];
        archive(&dist.join("x-1.tar.gz"), "x-1", &entries).unwrap();
        run_quietly(Command::new("tar").arg("-xzf").arg(dist.join("x-1.tar.gz")).arg("-C").arg(&out)).unwrap();
        assert_eq!(fs::read_to_string(out.join("x-1/b/c")).unwrap(), "abc");
        assert_eq!(fs::read_to_string(out.join("x-1/d")).unwrap(), "abc");
        fs::remove_file(dist.join("x-1.tar.gz")).unwrap();
        fs::write(dist.join("abc"), "abc").unwrap();
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  abc\n";
        assert_eq!(checksums(&dist).unwrap(), sum);
        assert!(checksums(&dist).is_err(), "there is a file of checksums already");
        fs::remove_dir_all(&folder).unwrap();
    }
}
