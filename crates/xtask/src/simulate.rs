//! `cargo xtask simulate`: how the choice of Spaces does against others, in the simulated world.

use std::fs;

use anyhow::{Context as _, Result};

use crate::shell::{cargo, root, run_quietly, say};

const BEGIN: &str = "<!-- simulated -->\n";
const END: &str = "<!-- /simulated -->";

/// Measures, and writes the table in the manual.
pub(crate) fn simulate() -> Result<()> {
    say("running 900 towns of Spaces with four instances; this takes some minutes");
    let mut test = cargo(&["test", "--release", "--locked", "--test", "simulated"]);
    let printed = run_quietly(test.args(["--", "--ignored", "--nocapture", "towns::comparison"]))?;
    let table: Vec<&str> = printed.lines().filter(|line| line.starts_with('|')).collect();
    let table = table.join("\n");
    println!("{table}");
    let path = root().join("docs/dispatch.md");
    let manual = fs::read_to_string(&path)?;
    let (before, rest) = manual.split_once(BEGIN).context("docs/dispatch.md has no place for the table")?;
    let (_, after) = rest.split_once(END).context("docs/dispatch.md has no end of the table's place")?;
    fs::write(&path, format!("{before}{BEGIN}{table}\n{END}{after}"))?;
    Ok(())
}
