//! The host's list of statements.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// The list that a host writes (`--statement-log`).
pub(crate) struct StatementList {
    path: PathBuf,
    /// Lines that were read before.
    read: usize,
}

/// A statement that an instance has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) instance: u64,
    /// Its first words.
    pub(crate) name: String,
}

impl StatementList {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, read: 0 }
    }

    /// Statements that were begun since the last look.
    pub(crate) fn look(&mut self) -> Result<Vec<Ran>> {
        let text = std::fs::read_to_string(&self.path)?;
        let ran = text.lines().skip(self.read).map(parse).collect::<Result<Vec<_>>>()?;
        self.read += ran.len();
        Ok(ran)
    }
}

fn parse(line: &str) -> Result<Ran> {
    let mut parts = line.splitn(4, ' ');
    let (instance, statement) = (parts.next(), parts.nth(2));
    let instance = instance.context("an empty line")?.parse()?;
    Ok(Ran { instance, name: name(statement.context("a line without a statement")?) })
}

/// Its action, in its first words: up to where it says with what.
fn name(statement: &str) -> String {
    let words = statement.split(' ').take(6).collect::<Vec<_>>().join(" ");
    let end = [" (", " = $", ", SUM", " VALUES"].iter().filter_map(|end| words.find(end)).min();
    words.get(..end.unwrap_or(words.len())).unwrap_or_default().trim_end_matches(',').to_owned()
}

/// Number of times that each ran, the most frequent first.
pub(crate) fn by_name(ran: &[Ran]) -> Vec<(&str, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for one in ran {
        *counts.entry(&one.name).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_an_instance_and_a_statement() {
        let ran = parse("12 1764028800123456 sqlite UPDATE lease SET expires = $1 WHERE holder = $2").unwrap();
        assert_eq!(ran, Ran { instance: 12, name: "UPDATE lease SET expires".to_owned() });
        let insert = parse("1 5 postgres INSERT INTO image (id, owner) VALUES ($1, $2)").unwrap();
        assert_eq!(insert.name, "INSERT INTO image");
        let ran = [ran.clone(), insert, ran];
        assert_eq!(by_name(&ran), [("UPDATE lease SET expires", 2), ("INSERT INTO image", 1)]);
        assert!(parse("x").is_err());
    }
}
