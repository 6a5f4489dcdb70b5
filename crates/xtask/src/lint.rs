//! Lints of everything that isn't Rust: the studio, the tests, the examples and the documents.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::shell::{root, run};
use crate::{node, python};

/// Longest line, in characters, in every language.
const COLUMNS: usize = 120;
/// Longest file of JavaScript, Python, CSS or Rust, in lines.
const LINES: usize = 500;
/// Folders that hold text of ours.
const FOLDERS: [&str; 9] = [".github", "assets", "crates", "docs", "examples", "fuzz", "src", "tests", "wit"];
/// Folders below those that hold what others wrote, or what programs wrote.
const SKIPPED: [&str; 6] = ["node_modules", "__pycache__", "target", "golden", "recorded", "corpus"];
/// Endings of files whose lines and length are held to the limits.
const CODE: [&str; 7] = ["css", "js", "mjs", "py", "rs", "sh", "ts"];

/// Runs biome, the type check of the studio's JavaScript, ruff, and the check of lines.
pub(crate) fn others() -> Result<()> {
    node::packages()?;
    run(node::test_program("biome").args(["ci", "--error-on-warnings"]).current_dir(root()))?;
    run(node::test_program("tsc").args(["--noEmit", "--project", "tsconfig.json"]).current_dir(root()))?;
    let python = python::lint()?;
    let ruff = |arguments: &[&str]| {
        let mut command = Command::new(python.python());
        command.args(["-m", "ruff"]).args(arguments).current_dir(root());
        command
    };
    run(&mut ruff(&["check", "--no-cache"]))?;
    run(&mut ruff(&["format", "--no-cache", "--check"]))?;
    lines()
}

/// Rewrites JavaScript, CSS and Python in the form that [`others`] asks for.
pub(crate) fn format() -> Result<()> {
    node::packages()?;
    run(node::test_program("biome").args(["check", "--write"]).current_dir(root()))?;
    let python = python::lint()?;
    for arguments in [["check", "--fix"], ["format", "--quiet"]] {
        run(Command::new(python.python()).args(["-m", "ruff"]).args(arguments).arg("--no-cache").current_dir(root()))?;
    }
    Ok(())
}

/// Fails with a list of the lines and files that are too long.
fn lines() -> Result<()> {
    let mut complaints = String::new();
    for folder in FOLDERS {
        look_through(&root().join(folder), &mut complaints)?;
    }
    for entry in fs::read_dir(root())? {
        let path = entry?.path();
        if path.is_file() {
            look_at(&path, &mut complaints)?;
        }
    }
    ensure!(complaints.is_empty(), "too long:\n{complaints}");
    Ok(())
}

fn look_through(folder: &Path, complaints: &mut String) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    let mut entries: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                look_through(&path, complaints)?;
            }
        } else {
            look_at(&path, complaints)?;
        }
    }
    Ok(())
}

fn look_at(path: &Path, complaints: &mut String) -> Result<()> {
    let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
    let is_code = CODE.contains(&ending.as_str());
    if !is_code && ending != "md" {
        return Ok(());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let shown = path.strip_prefix(root()).unwrap_or(path).display();
    for (number, line) in text.lines().enumerate() {
        if line.chars().count() > COLUMNS && !is_excused(line, is_code) {
            writeln!(complaints, "{shown}:{}: {} columns", number + 1, line.chars().count())?;
        }
    }
    if is_code && text.lines().count() > LINES {
        writeln!(complaints, "{shown}: {} lines", text.lines().count())?;
    }
    Ok(())
}

/// True for a line that can't be broken: a row of a table or a link's definition in Markdown, a word that is too long
/// itself, one with a URL.
fn is_excused(line: &str, is_code: bool) -> bool {
    let is_row = !is_code && (line.trim_start().starts_with('|') || line.starts_with('[') && line.contains("]: "));
    let has_long_word = line.split_whitespace().any(|word| word.chars().count() > COLUMNS / 2);
    is_row || has_long_word || line.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_broken_is_excused() {
        let words = "word ".repeat(30);
        assert!(!is_excused(&words, false) && !is_excused(&words, true));
        let row = format!("| {words} |");
        assert!(is_excused(&row, false) && !is_excused(&row, true));
        assert!(is_excused(&format!("{words} https://example.com/"), true));
        assert!(is_excused(&format!("{words} {}", "x".repeat(61)), false));
    }
}
