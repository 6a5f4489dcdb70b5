//! `docs/clients.md` claims nothing that no test has tried.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Folder of the manual, whose links are relative to it.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");

fn manual() -> String {
    fs::read_to_string(Path::new(FOLDER).join("clients.md")).unwrap()
}

/// The tests that the manual names: a file and a name each, by the reference that its marks use.
fn references(manual: &str) -> BTreeMap<&str, (&str, &str)> {
    let definitions = manual.lines().filter(|line| line.starts_with('['));
    definitions
        .map(|line| {
            let read = || {
                let (reference, target) = line.strip_prefix('[')?.split_once("]: ")?;
                let (file, name) = target.split_once(" \"")?;
                Some((reference, (file, name.strip_suffix('"')?)))
            };
            read().unwrap_or_else(|| panic!("no reference to a test: {line}"))
        })
        .collect()
}

/// True where a file has a test of that name, in the form that its kind of file has them.
fn has_test(file: &str, name: &str) -> bool {
    let text = fs::read_to_string(Path::new(FOLDER).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    match Path::new(file).extension().and_then(|extension| extension.to_str()) {
        Some("py") => text.contains(&format!("\ndef {name}(")),
        Some("js") => ['\'', '"'].iter().any(|quote| text.contains(&format!("\ntest({quote}{name}{quote}, "))),
        Some("json") => {
            let calls: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
            calls.iter().any(|call| call.get("name").is_some_and(|own| own == name))
        }
        _ => panic!("what kind of tests are in {file}?"),
    }
}

#[test]
fn every_test_that_the_manual_names_is_there() {
    let manual = manual();
    let missing: Vec<_> = references(&manual).into_values().filter(|(file, name)| !has_test(file, name)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(!has_test("../tests/node/vercel.test.js", "a chat that nobody tried"));
}

#[test]
fn every_mark_leads_to_a_test_and_every_reference_is_used() {
    let manual = manual();
    let used: BTreeSet<&str> =
        manual.split("][").skip(1).filter_map(|rest| rest.split_once(']')).map(|(reference, _)| reference).collect();
    assert_eq!(used, references(&manual).into_keys().collect());
    assert_eq!(manual.matches('✓').count(), manual.matches("[✓][").count(), "a mark without a reference");
}

#[test]
fn every_cell_of_the_table_is_filled() {
    let manual = manual();
    let rows: Vec<Vec<&str>> = manual
        .lines()
        .skip_while(|line| !line.starts_with("| client |"))
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let (heads, clients) = (rows.first().unwrap(), rows.get(2..).unwrap());
    assert_eq!((heads.len(), clients.len()), (9, 20));
    for cells in clients {
        let name = cells.first().unwrap();
        assert_eq!(cells.len(), heads.len(), "{name}");
        assert!(cells.iter().skip(1).all(|cell| *cell == "–" || cell.starts_with("[✓][")), "{name}");
    }
}
