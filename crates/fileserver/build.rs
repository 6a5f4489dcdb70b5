//! Embeds `assets/`: every file as it is, in brotli and in gzip where that is smaller, each with an entity tag made
//! from its bytes. The order is the names', so that the same files always make the same component.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

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
    files.sort();
    let mut table = String::from("&[\n");
    for (number, (name, path)) in files.iter().enumerate() {
        let bytes = fs::read(path)?;
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
