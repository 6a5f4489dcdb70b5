//! The style sheet, which the build joins from its parts.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../build/comments.rs"]
mod comments;

use std::fs;
use std::path::Path;

use z_image_fileserver::files::FILES;

#[test]
fn the_style_sheet_is_one_file_with_all_its_parts() {
    let sheet = FILES.iter().find(|file| file.path == "/studio.css").expect("there is a style sheet");
    let bytes = sheet.variants.first().unwrap().content.bytes();
    let text = std::str::from_utf8(&bytes).unwrap();
    assert!(!text.contains("@import"), "the page would wait for what is imported");
    assert!(!FILES.iter().any(|file| file.path.starts_with("/css/")), "parts aren't served");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/css");
    let parts: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(parts.len() > 10);
    for part in parts {
        let rules = comments::uncommented(&fs::read_to_string(&part).unwrap());
        assert_eq!(text.matches(rules.as_str()).count(), 1, "{}", part.display());
    }
}

#[test]
fn comments_with_lines_of_their_own_stay_behind() {
    let code = "/** A\n * b\n */\nconst a = 1; // c\n\n  // d\n  /* e */\n/** @type {T} */ (a).b();\n/*\nf */ c();\n";
    assert_eq!(comments::uncommented(code), "const a = 1; // c\n/** @type {T} */ (a).b();\nc();\n");
    let template = "const t = `a\n// b\n\n/* c */ \\`\n`;\n// d\n";
    assert_eq!(comments::uncommented(template), "const t = `a\n// b\n\n/* c */ \\`\n`;\n");
}
