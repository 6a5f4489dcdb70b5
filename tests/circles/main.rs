//! Order of the house: no circles of imports, no long files, no wide lines, one name for one thing, and docs that say
//! what a thing is.
//!
//! Exceptions are listed. A test fails as well where a listed exception is none any longer.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod modules;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use self::modules::{Edge, Modules};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// Circles of files, each by the use that closes it: from the first file of the second's items.
const FILE_CIRCLES: &[(&str, &str)] = &[];
/// Circles of rooms, each by the use that closes it.
const ROOM_CIRCLES: &[(&str, &str)] = &[];
/// Files of more than [`MOST_LINES`].
const LONG_FILES: &[&str] = &[];
/// Files and folders with lines of more than [`MOST_COLUMNS`].
const WIDE: &[&str] = &[];
/// Names of more than one type.
const DOUBLED: &[&str] = &[];
/// Rooms in which too many doc lines open with a question.
const ASKING: &[&str] = &[];

/// Lines of a source file.
const MOST_LINES: usize = 500;
/// Columns of a line.
const MOST_COLUMNS: usize = 120;
/// Percentage of doc lines that may open with a question.
const MOST_ASKING: usize = 2;

#[test]
fn no_files_use_each_other_in_a_circle() {
    let edges = Modules::read(Path::new(REPOSITORY)).edges();
    let links = edges.iter().map(|edge| (text(&edge.from), text(&edge.to), edge));
    check_circles(&links.collect::<Vec<_>>(), FILE_CIRCLES);
}

#[test]
fn no_rooms_use_each_other_in_a_circle() {
    let edges = Modules::read(Path::new(REPOSITORY)).edges();
    let links = edges.iter().map(|edge| (room(&edge.from), room(&edge.to), edge));
    check_circles(&links.filter(|(from, to, _)| from != to).collect::<Vec<_>>(), ROOM_CIRCLES);
}

#[test]
fn no_source_file_is_long() {
    let long = sources().into_iter().filter(|(_, source)| source.lines().count() > MOST_LINES);
    check("longer than allowed", &long.map(|(file, _)| file).collect(), LONG_FILES);
}

#[test]
fn no_line_is_wide() {
    let mut wide = BTreeMap::new();
    for file in files() {
        let source = fs::read_to_string(Path::new(REPOSITORY).join(&file)).unwrap();
        let lines = source.lines().zip(1..).filter(|(line, _)| is_wide(&file, line));
        let lines: Vec<usize> = lines.map(|(_, number)| number).collect();
        if !lines.is_empty() {
            wide.insert(file, lines);
        }
    }
    let is_within = |file: &str, name: &str| file == name || file.starts_with(&format!("{name}/"));
    let new: Vec<_> = wide.iter().filter(|(file, _)| !WIDE.iter().any(|name| is_within(file, name))).collect();
    assert!(new.is_empty(), "lines of more than {MOST_COLUMNS} columns: {new:#?}");
    let gone: Vec<_> = WIDE.iter().filter(|name| !wide.keys().any(|file| is_within(file, name))).collect();
    assert!(gone.is_empty(), "no longer wide, to be taken off the list: {gone:#?}");
}

/// True for a line that is too wide. What can't be broken doesn't count: links, rows of tables, references of Markdown,
/// inline tables of TOML.
fn is_wide(file: &str, line: &str) -> bool {
    let start = line.trim_start();
    let is_row = file.ends_with(".md") && (start.starts_with('|') || start.starts_with('[') && line.contains("]: "));
    let is_inline = file.ends_with(".toml") && line.contains('{');
    let words = line.split(' ').map(|word| if word.contains("://") { 0 } else { word.chars().count() + 1 });
    let is_long = line.chars().count() > MOST_COLUMNS && words.sum::<usize>() > MOST_COLUMNS + 1;
    is_long && !is_row && !is_inline
}

#[test]
fn no_name_is_that_of_two_types() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for module in Modules::read(Path::new(REPOSITORY)).all {
        for (name, line) in module.items {
            if let Some(line) = line {
                places.entry(name).or_default().push(format!("{}:{line}", text(&module.file)));
            }
        }
    }
    places.retain(|_, places| places.len() > 1);
    eprintln!("{places:#?}");
    check("names of two types", &places.into_keys().collect(), DOUBLED);
}

#[test]
fn docs_say_what_a_thing_is() {
    let (mut docs, mut asking) = (BTreeMap::<String, usize>::new(), BTreeMap::<String, Vec<String>>::new());
    let words = ["What", "How", "Whether", "Where", "Why", "Who", "When", "Which"];
    for (file, source) in sources() {
        let room = room(Path::new(&file));
        for (line, number) in source.lines().zip(1..) {
            let line = line.trim_start();
            let Some(doc) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else { continue };
            *docs.entry(room.clone()).or_default() += 1;
            if doc.split_whitespace().next().is_some_and(|first| words.contains(&first)) {
                asking.entry(room.clone()).or_default().push(format!("{file}:{number}:{doc}"));
            }
        }
    }
    asking.retain(|room, lines| lines.len() * 100 > docs[room] * MOST_ASKING);
    eprintln!("{asking:#?}");
    check("rooms whose docs ask", &asking.into_keys().collect(), ASKING);
}

/// Fails with what is `found` and not `known`, or known and not found.
fn check(what: &str, found: &BTreeSet<String>, known: &[&str]) {
    let known: BTreeSet<String> = known.iter().map(|name| (*name).to_owned()).collect();
    let (new, gone): (Vec<_>, Vec<_>) = (found.difference(&known).collect(), known.difference(found).collect());
    assert!(new.is_empty(), "{what}: {new:#?}");
    assert!(gone.is_empty(), "{what} no longer, to be taken off the list: {gone:#?}");
}

/// A use, from one node of a graph to another.
type Link<'a> = (String, String, &'a Edge);

/// Fails where a graph has other circles than those that the `known` uses close.
fn check_circles(links: &[Link<'_>], known: &[(&str, &str)]) {
    let is_known = |(from, to, _): &&Link<'_>| known.contains(&(from, to));
    let others: Vec<Link<'_>> = links.iter().filter(|link| !is_known(link)).cloned().collect();
    let new: String = circles(&others).iter().map(|circle| described(circle, &others)).collect();
    assert!(new.is_empty(), "circles, and the lines that make them:\n{new}");
    let circles = circles(links);
    let is_open = |(from, to): &&(&str, &str)| {
        let is_used = links.iter().any(|link| (link.0.as_str(), link.1.as_str()) == (*from, *to));
        !is_used || !circles.iter().any(|circle| circle.contains(*from) && circle.contains(*to))
    };
    let gone: Vec<_> = known.iter().filter(is_open).collect();
    assert!(gone.is_empty(), "close no circle any more, to be taken off the list: {gone:#?}");
}

/// A circle and the uses in it: of each two nodes the first.
fn described(circle: &BTreeSet<String>, links: &[Link<'_>]) -> String {
    let mut uses: BTreeMap<(&str, &str), Vec<&Edge>> = BTreeMap::new();
    for (from, to, edge) in links.iter().filter(|(from, to, _)| circle.contains(from) && circle.contains(to)) {
        uses.entry((from, to)).or_default().push(edge);
    }
    let lines = uses.iter().map(|((_, to), edges)| {
        let (first, others) = (edges[0], edges.len() - 1);
        format!("  {}:{} {} ({to}, and {others} more)\n", text(&first.from), first.line, first.path)
    });
    format!("{circle:?}\n{}", lines.collect::<String>())
}

/// Strongly connected components of more than one node.
fn circles(links: &[Link<'_>]) -> BTreeSet<BTreeSet<String>> {
    let mut reached: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to, _) in links {
        reached.entry(from).or_default().insert(to);
    }
    loop {
        let further =
            |nodes: &BTreeSet<&str>| nodes.iter().filter_map(|node| reached.get(node)).flatten().copied().collect();
        let next: BTreeMap<&str, BTreeSet<&str>> =
            reached.iter().map(|(node, nodes)| (*node, nodes | &further(nodes))).collect();
        if next == reached {
            break;
        }
        reached = next;
    }
    let reaches = |from: &str, to: &str| reached.get(from).is_some_and(|nodes| nodes.contains(to));
    let of_node =
        |node: &&str| reached[node].iter().filter(|other| reaches(other, node)).map(ToString::to_string).collect();
    reached.keys().map(of_node).filter(|circle: &BTreeSet<String>| circle.len() > 1).collect()
}

/// Folder or file at the top of `src` that a file belongs to.
fn room(file: &Path) -> String {
    let top = file.components().nth(1).unwrap();
    Path::new(&top).file_stem().unwrap().to_str().unwrap().to_owned()
}

fn text(file: &Path) -> String {
    file.to_str().unwrap().to_owned()
}

/// Rust files of the crate, with their contents.
fn sources() -> Vec<(String, String)> {
    let files = files().into_iter().filter(|file| file.starts_with("src/"));
    files.map(|file| (file.clone(), fs::read_to_string(Path::new(REPOSITORY).join(file)).unwrap())).collect()
}

/// Files that people write, relative to the repository.
fn files() -> Vec<String> {
    let (mut files, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    let extensions = ["rs", "md", "js", "css", "py", "toml"];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(REPOSITORY).join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = folder.join(&name);
            if entry.file_type().unwrap().is_dir() {
                let is_foreign =
                    name.starts_with('.') || ["target", "node_modules", "recorded"].contains(&name.as_str());
                if !is_foreign {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known)) {
                files.push(text(&path));
            }
        }
    }
    files.sort();
    files
}
