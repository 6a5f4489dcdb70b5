//! Optimizing the components with Binaryen's `wasm-opt`.
//!
//! A component holds core modules (the [component binary format]); `wasm-opt` knows those only. The one with the
//! component's own code is taken out, optimized and put back.
//!
//! [component binary format]: https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::node;
use crate::shell::{run_quietly, succeeds};

/// Length of a binary's magic number and version.
const PREAMBLE: usize = 8;
/// Number of a component's section that is a core module.
const CORE_MODULE: u8 = 1;
/// Features that Rust's `wasm32-wasip2` has by default, and every host of components too.
const FEATURES: [&str; 7] = [
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// True if there is what it needs.
pub(crate) fn is_possible() -> bool {
    succeeds(Command::new("npm").arg("--version"))
}

/// Optimizes the component `file` in place. What came of the same bytes before is taken from `kept`.
pub(crate) fn optimize(file: &Path, kept: &Path) -> Result<()> {
    let built = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let name = file.file_name().context("a component has a name")?;
    let (before, after) = (kept.join(name).with_extension("built"), kept.join(name));
    if !fs::read(&before).is_ok_and(|known| known == built) || !after.exists() {
        fs::create_dir_all(kept)?;
        drop(fs::remove_file(&before));
        fs::write(&after, optimized(&built, &after)?)?;
        fs::write(&before, &built)?;
    }
    // Cargo's own copy is the same file under another name, and stays as it is.
    fs::remove_file(file)?;
    fs::copy(&after, file)?;
    Ok(())
}

/// The component with its largest module optimized. Files in between lie beside `after`.
fn optimized(component: &[u8], after: &Path) -> Result<Vec<u8>> {
    let sections = sections(component)?;
    let modules = sections.iter().filter(|section| section.id == CORE_MODULE);
    let largest = modules.max_by_key(|module| module.content.len()).context("the component has no module")?;
    let (from, to) = (after.with_extension("module"), after.with_extension("smaller"));
    fs::write(&from, component.get(largest.content.clone()).unwrap_or_default())?;
    node::install("crates/xtask/node")?;
    let mut program = node::program("crates/xtask/node", "wasm-opt");
    run_quietly(program.arg("-Oz").args(FEATURES).arg(&from).arg("-o").arg(&to))?;
    let module = fs::read(&to)?;
    let mut bytes = component.get(..largest.whole.start).unwrap_or_default().to_vec();
    bytes.push(CORE_MODULE);
    write_length(&mut bytes, module.len());
    bytes.extend(module);
    bytes.extend(component.get(largest.whole.end..).unwrap_or_default());
    Ok(bytes)
}

/// A section of a binary.
struct Section {
    id: u8,
    whole: Range<usize>,
    content: Range<usize>,
}

fn sections(binary: &[u8]) -> Result<Vec<Section>> {
    let mut sections = Vec::new();
    let mut at = PREAMBLE;
    while let Some(id) = binary.get(at) {
        let (length, begin) = read_length(binary, at + 1)?;
        let end = begin + length;
        if end > binary.len() {
            bail!("a section ends behind the component");
        }
        sections.push(Section { id: *id, whole: at..end, content: begin..end });
        at = end;
    }
    Ok(sections)
}

/// Reads an unsigned LEB128 number. Returns it and the place behind it.
fn read_length(bytes: &[u8], mut at: usize) -> Result<(usize, usize)> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let byte = bytes.get(at).context("a number has no end")?;
        at += 1;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((number, at));
        }
    }
    bail!("a number is too long")
}

fn write_length(bytes: &mut Vec<u8>, mut number: usize) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_they_are_written() {
        for number in [0, 1, 127, 128, 300, 65_535, 2_511_005, 100_000_000] {
            let mut bytes = vec![7];
            write_length(&mut bytes, number);
            assert_eq!(read_length(&bytes, 1).unwrap(), (number, bytes.len()));
        }
        assert!(read_length(&[0x80], 0).is_err() && read_length(&[0xff; 9], 0).is_err());
    }

    #[test]
    fn sections_are_found() {
        let binary = [b"\0asm\x0d\0\x01\0".as_slice(), &[1, 2, 9, 9, 0, 1, 5]].concat();
        let found: Vec<_> =
            sections(&binary).unwrap().into_iter().map(|section| (section.id, section.content)).collect();
        assert_eq!(found, [(1, 10..12), (0, 14..15)]);
        assert!(sections(&binary[..11]).is_err());
    }
}
