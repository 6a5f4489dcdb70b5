//! The component for hosts that have WASI and nothing else, as it is built.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use wasmparser::{Parser, Payload};

/// Names that a component imports, and those that it exports.
fn imports_and_exports(component: &[u8]) -> [Vec<String>; 2] {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    // Number of modules and components around what is read.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                exports.extend(section.into_iter().map(|export| export.unwrap().name.name.to_owned()));
            }
            _ => {}
        }
    }
    [imports, exports]
}

fn built(file: &str) -> [Vec<String>; 2] {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/wasm32-wasip2/release").join(file);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}: is it built?", path.display()));
    imports_and_exports(&bytes)
}

#[test]
fn the_component_for_plain_hosts_imports_wasi_and_nothing_else() {
    let [imports, exports] = built("z_image_2api_wasi.wasm");
    assert!(imports.iter().any(|name| name == "wasi:http/client@0.3.0"), "{imports:?}");
    let others: Vec<_> = imports.iter().filter(|name| !name.starts_with("wasi:")).collect();
    assert!(others.is_empty(), "{others:?}");
    // Of these, `wasmtime serve` has what a program on the command line may have, and no configuration or store.
    for kind in ["wasi:config", "wasi:keyvalue", "wasi:http/outgoing-handler"] {
        assert!(!imports.iter().any(|name| name.starts_with(kind)), "{imports:?}");
    }
    assert_eq!(exports, ["wasi:http/handler@0.3.0"]);
}

#[test]
fn the_component_for_spin_imports_what_spin_has() {
    let [imports, exports] = built("z_image_2api.wasm");
    for name in ["spin:variables/variables@", "spin:sqlite/sqlite@", "spin:postgres/postgres@"] {
        assert!(imports.iter().any(|import| import.starts_with(name)), "{name} isn't in {imports:?}");
    }
    assert!(exports.iter().any(|name| name == "wasi:http/handler@0.3.0"), "{exports:?}");
}
