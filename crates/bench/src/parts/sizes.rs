//! Sizes of the components.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::arguments::Arguments;
use crate::figures::{Figure, Section};

/// Most kilobytes, by the component's name in the manifest.
const MOST: [(&str, f64); 2] = [("api", 1536.0), ("studio", 300.0)];

/// Measures.
pub(crate) fn measure(arguments: &Arguments) -> Result<Section> {
    let mut section = Section::table(&["component", "KB"]);
    for (name, kilobytes) in all(&arguments.manifest)? {
        section.row(&[&name, &format!("{kilobytes:.0}")]);
        let goal = MOST.iter().find(|(of, _)| *of == name).map(|(_, most)| *most);
        section.figures.push(Figure { goal, ..Figure::lower(name, kilobytes, "KB") });
    }
    Ok(section)
}

/// Sizes of the manifest's components, in kilobytes of a thousand bytes.
#[allow(clippy::cast_precision_loss, reason = "files are far below 2^52 bytes")]
fn all(manifest: &Path) -> Result<Vec<(String, f64)>> {
    let table: toml::Table = std::fs::read_to_string(manifest)?.parse()?;
    let components = table.get("component").and_then(toml::Value::as_table).context("no component in the manifest")?;
    let folder = manifest.parent().unwrap_or(Path::new("."));
    let size = |(name, component): (&String, &toml::Value)| {
        let source = component.get("source").and_then(toml::Value::as_str).context("a component without a source")?;
        let bytes = std::fs::metadata(folder.join(source))?.len();
        Ok((name.clone(), (bytes as f64 / 1000.0).ceil()))
    };
    components.iter().map(size).collect()
}
