//! Targets of the Markdown files: the files that they link to and the paths that they name are there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders whose paths are checked where a page names one in backticks.
const FOLDERS: [&str; 7] = ["src/", "tests/", "assets/", "docs/", "examples/", "crates/", "deploy/"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Markdown files of the root and of `docs/`.
fn pages() -> Vec<PathBuf> {
    let folders = [root().to_owned(), root().join("docs"), root().join("examples")];
    let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let mut pages: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    pages
}

/// Targets of the links to files, relative to the page.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains(':'))
}

/// Paths in backticks that begin with a folder of the repository.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|text| FOLDERS.iter().any(|folder| text.starts_with(folder)) && !text.contains([' ', '*', '{', '…']))
}

/// Places of a page that a link can lead to: its headings, as GitHub and mdBook name them.
fn places(text: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let headings = text.lines().filter(move |line| {
        is_code ^= line.starts_with("```");
        !is_code && line.starts_with('#')
    });
    let name = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_' | ' '));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
    };
    headings.map(name).collect()
}

#[test]
fn every_link_to_a_place_leads_to_a_heading() {
    let mut count = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()) {
            let Some((file, place)) = link.split_once('#').filter(|(file, _)| !file.contains(':')) else { continue };
            let target = if file.is_empty() { text.clone() } else { fs::read_to_string(beside(&page, file)).unwrap() };
            count += 1;
            assert!(places(&target).contains(place), "{}: {link}", page.display());
        }
    }
    assert!(count > 5, "{count} links to places");
    assert_eq!(places("# A `b` c: 7\n```\n# d\n```\n## E-f\n"), ["a-b-c-7".into(), "e-f".into()].into());
}

/// A path that a page names.
fn beside(page: &Path, path: &str) -> PathBuf {
    page.parent().unwrap().join(path)
}

#[test]
fn the_site_has_every_page() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let listed: BTreeSet<&str> = links(&summary).collect();
    let names = pages().into_iter().filter(|page| page.starts_with(root().join("docs")));
    let names: Vec<_> = names.map(|page| page.file_name().unwrap().to_string_lossy().into_owned()).collect();
    let missing: Vec<_> =
        names.iter().filter(|name| *name != "SUMMARY.md" && !listed.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "docs/SUMMARY.md lacks {missing:?}");
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    let mut count = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            count += 1;
            assert!(beside(&page, link).exists(), "{}: {link}", page.display());
        }
    }
    assert!(count > 20, "{count} links");
}

#[test]
fn every_path_that_the_guide_for_contributors_names_is_there() {
    let mut count = 0;
    for page in ["CONTRIBUTING.md", "README.md", "README.zh-CN.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        for path in paths(&text) {
            count += 1;
            assert!(root().join(path).exists(), "{page}: {path}");
        }
    }
    assert!(count > 30, "{count} paths");
}
