//! Embeds `assets/`: every file as it is, in brotli and in gzip where that is smaller, each with an entity tag made
//! from its bytes. The order is the names', so that the same files always make the same component.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
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

    let mut files = Vec::new();
    walk(&assets, "", &mut files)?;
    files.retain(|(name, _)| !name.starts_with(PARTS));
    files.sort();
    let mut table = String::from("&[\n");
    for (number, (name, path)) in files.iter().enumerate() {
        let bytes = if name == SHEET { join(&assets)?.into_bytes() } else { fs::read(path)? };
        let mut entry = format!("    File {{ path: {name:?}, variants: &[\n");
        for (coding, encoded) in [
            ("None", Some(bytes.clone())),
            ("Some(Coding::Brotli)", smaller(brotli(&bytes)?, &bytes)),
            ("Some(Coding::Gzip)", smaller(gzip(&bytes)?, &bytes)),
        ] {
            let Some(encoded) = encoded else { continue };
            let file = out.join(format!("{number}-{}", coding.replace(|c: char| !c.is_alphanumeric(), "")));
            fs::write(&file, &encoded)?;
            writeln!(
                entry,
                "        Variant {{ coding: {coding}, tag: {:?}, bytes: include_bytes!({file:?}) }},",
                tag(&encoded)
            )
            .map_err(io::Error::other)?;
        }
        table += &entry;
        table += "    ] },\n";
    }
    table += "]";
    fs::write(out.join("files.rs"), table)
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

fn smaller(encoded: Vec<u8>, original: &[u8]) -> Option<Vec<u8>> {
    (encoded.len() < original.len()).then_some(encoded)
}

fn brotli(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoded = Vec::new();
    let mut writer = brotli::CompressorWriter::new(&mut encoded, 1 << 16, 11, 22);
    writer.write_all(bytes)?;
    drop(writer);
    Ok(encoded)
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes)?;
    writer.finish()
}

/// A strong entity tag.
fn tag(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}
