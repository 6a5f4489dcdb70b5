//! The tests that docs/security.md names are there, and what only the source can show.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use z_image_2api::generation::{Format, TargetFormat};
use z_image_2api::media::transcode::Converter;
use z_image_2api::platform::sim::World;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn source(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_tests_of_every_threat_are_there() {
    let page = source("docs/security.md");
    let (mut lines, mut count) = (0, 0);
    for line in page.lines().filter(|line| line.starts_with("| ") && line.ends_with("` |")) {
        lines += 1;
        for name in line.split('`').filter(|quoted| quoted.contains("::")) {
            count += 1;
            let (file, test) = name.split_once("::").unwrap();
            let source = source(file);
            let is_there = match Path::new(file).extension().and_then(|extension| extension.to_str()).unwrap() {
                "rs" => {
                    let is_listed = source.contains("properties! {")
                        && source.rsplit("properties! {").next().unwrap().split_whitespace().any(|word| word == test);
                    is_listed || source.contains(&format!("fn {test}("))
                }
                "py" => source.contains(&format!("def {test}(")),
                "js" => source.contains(&format!("test(\"{test}\"")),
                other => panic!("{name}: what is a test in a file of {other}?"),
            };
            assert!(is_there, "{name} is not there");
        }
    }
    assert!(lines >= 30 && count > 60, "{lines} lines, {count} tests");
}

/// Body of a function, up to the line that ends it.
fn body_of<'a>(source: &'a str, head: &str) -> &'a str {
    let start = source.find(head).unwrap_or_else(|| panic!("{head} is not there"));
    let indent = source[..start].rsplit('\n').next().unwrap().len()
        - source[..start].rsplit('\n').next().unwrap().trim_start().len();
    let end = source[start..].find(&format!("\n{}}}\n", " ".repeat(indent))).unwrap();
    &source[start..start + end]
}

#[test]
fn secrets_are_compared_in_constant_time() {
    let keys = source("src/http/keys.rs");
    let find = body_of(&keys, "pub fn find(");
    assert!(find.contains("ct_eq") && find.contains("fold("), "each key is compared, in constant time: {find}");
    for early in ["==", ".find(", ".any(", ".position(", ".contains(", "return", "?"] {
        assert!(!find.contains(early), "`{early}` may end early, or looks at a key: {find}");
    }
    let links = source("src/media/link.rs");
    let verify = body_of(&links, "pub fn verify<'a>(");
    let (before, after) = verify.split_once("verify_truncated_left(tag)").unwrap();
    assert!(!before.contains("VERSION") && !before.contains("expires"), "nothing is looked at before: {before}");
    assert!(after.contains("VERSION") && !verify.contains("== tag") && !verify.contains("tag =="), "{verify}");
    // Keys come as digests, and are looked at nowhere else.
    for path in rust_files("src") {
        let text = source(&path);
        let rooms_of_keys = [
            "src/http/keys.rs",
            "src/http/auth.rs",
            // Compares by the same function.
            "src/observe/metrics/access.rs",
            "src/settings/rows.rs",
            "src/settings/mod.rs",
        ];
        assert!(rooms_of_keys.contains(&&*path) || !text.contains("ApiKeys"), "{path} has to do with keys");
    }
}

#[test]
fn statements_are_constants() {
    let mut count = 0;
    assert!(source("src/store/statement.rs").contains("pub struct Statement(pub &'static str);"));
    for path in rust_files("src/store/statements") {
        let text = source(&path);
        for forbidden in ["format!", "push_str", "String"] {
            assert!(!text.contains(forbidden), "{path}: a statement is made with {forbidden}");
        }
        count += text.matches("pub const ").count() + text.matches("pub static ").count();
    }
    assert!(count > 30, "{count} statements");
}

fn rust_files(folder: &str) -> Vec<String> {
    let (mut files, mut folders) = (Vec::new(), vec![PathBuf::from(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

/// A PNG of that size whose header is right and whose data is that.
fn png(width: u32, height: u32, data: &[u8]) -> Bytes {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes()[..], &[8, 6, 0, 0, 0]].concat();
    for (kind, data) in [(b"IHDR", header.as_slice()), (b"IDAT", data), (b"IEND", &[])] {
        png.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
        png.extend(kind);
        png.extend(data);
        png.extend(crc(&[kind, data].concat()).to_be_bytes());
    }
    Bytes::from(png)
}

/// CRC of PNG (ISO 3309).
fn crc(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// True where an image is converted, neither refused nor left as it is.
fn is_read(bytes: Bytes, format: Format) -> bool {
    let world = World::new(1);
    let (converter, whole) = (Converter::new(&world.host()), bytes.clone());
    let wanted = TargetFormat { format: Format::Jpeg, quality: 90 };
    let outcome = world.run(async move { converter.convert(whole, format, wanted).await });
    outcome.is_ok_and(|made| made != (format, bytes))
}

#[test]
fn an_image_of_too_many_pixels_is_not_read() {
    // Zeros as zlib has them, in a stored block: what is there is short, what is promised is not.
    let data = [0x78, 1, 1, 4, 0, 0xfb, 0xff, 0, 0, 0, 0, 0, 4, 0, 1];
    for (width, height) in [(100_000, 100_000), (u32::MAX, u32::MAX), (4097, 1), (1, 1 << 30), (0, 0), (6000, 5000)] {
        assert!(!is_read(png(width, height, &data), Format::Png), "{width} by {height}");
    }
    let mut webp = b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0".to_vec();
    webp.extend([0xff; 6]);
    webp.extend(b"VP8L\0\0\0\0");
    assert!(!is_read(Bytes::from(webp), Format::Webp));
}
