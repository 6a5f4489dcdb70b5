//! Embeds `assets/`, code without its comments: every file in gzip where that is smaller, else as it is, with entity
//! tags made from the bytes of both. The order is the names', so that the same files always make the same component.

#[path = "build/comments.rs"]
mod comments;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Path in URLs of the style sheet, which is nothing but imports of its parts.
const SHEET: &str = "/studio.css";
/// Folder of the parts, which aren't served themselves.
const PARTS: &str = "/css/";

#[allow(clippy::disallowed_methods, reason = "Cargo's own variables")]
fn variable(name: &str) -> io::Result<String> {
    std::env::var(name).map_err(io::Error::other)
}

fn main() -> io::Result<()> {
    let assets = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../../assets");
    let out = PathBuf::from(variable("OUT_DIR")?);
    println!("cargo::rerun-if-changed={}", assets.display());
    println!("cargo::rerun-if-changed=build");

    let mut files = Vec::new();
    walk(&assets, "", &mut files)?;
    files.retain(|(name, _)| !name.starts_with(PARTS));
    files.sort();
    let (mut kept_files, mut table) = (String::new(), String::from("&[\n"));
    for (number, (name, path)) in files.iter().enumerate() {
        let bytes = if name == SHEET { join(&assets)?.into_bytes() } else { fs::read(path)? };
        let bytes = match path.extension().and_then(|extension| extension.to_str()) {
            Some("js" | "css") => {
                comments::uncommented(&String::from_utf8(bytes).map_err(io::Error::other)?).into_bytes()
            }
            _ => bytes,
        };
        let compressed = gzip(&bytes)?;
        let is_smaller = compressed.len() < bytes.len();
        let kept = out.join(number.to_string());
        fs::write(&kept, if is_smaller { &compressed } else { &bytes })?;
        writeln!(kept_files, "static KEPT_{number}: &[u8] = include_bytes!({kept:?});").map_err(io::Error::other)?;
        let (plain, length) = (tag(&bytes), bytes.len());
        let entry = if is_smaller {
            let coded = tag(&compressed);
            format!(
                "    File {{ path: {name:?}, variants: &[
        Variant {{
            coding: None,
            tag: {plain:?},
            content: Content::Inflated {{ gzip: KEPT_{number}, length: {length} }},
        }},
        Variant {{ coding: Some(Coding::Gzip), tag: {coded:?}, content: Content::Kept(KEPT_{number}) }},\n"
            )
        } else {
            format!(
                "    File {{ path: {name:?}, variants: &[
        Variant {{ coding: None, tag: {plain:?}, content: Content::Kept(KEPT_{number}) }},\n"
            )
        };
        table += &entry;
        table += "    ] },\n";
    }
    table += "]";
    fs::write(out.join("files.rs"), format!("{{\n{kept_files}{table}\n}}"))
}

/// The style sheet, with its parts in the place of their imports: a page that followed those would wait for each. A
/// part that is not imported fails the build.
fn join(assets: &Path) -> io::Result<String> {
    let sheet = fs::read_to_string(assets.join(SHEET.trim_start_matches('/')))?;
    let mut joined = String::new();
    let mut parts = Vec::new();
    for line in sheet.lines() {
        if let Some(part) = line.strip_prefix("@import \"").and_then(|rest| rest.strip_suffix("\";")) {
            joined += &fs::read_to_string(assets.join(part))?;
            parts.push(assets.join(part));
        } else {
            joined += line;
        }
        joined.push('\n');
    }
    for entry in fs::read_dir(assets.join(PARTS.trim_matches('/')))? {
        let path = entry?.path();
        if parts.iter().filter(|part| **part == path).count() != 1 {
            return Err(io::Error::other(format!("{} must be imported once by {SHEET}", path.display())));
        }
    }
    Ok(joined)
}

/// All files below `folder`, each with its path in URLs.
fn walk(folder: &Path, below: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{below}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            println!("cargo::rerun-if-changed={}", entry.path().display());
            walk(&entry.path(), &name, files)?;
        } else {
            files.push((name, entry.path()));
        }
    }
    Ok(())
}

/// The file in gzip, as small as it gets.
fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoded = Vec::new();
    zopfli::compress(zopfli::Options::default(), zopfli::Format::Gzip, bytes, &mut encoded)?;
    Ok(encoded)
}

/// A strong entity tag.
fn tag(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}
