//! The page of all figures.

use crate::arguments::Part;
use crate::figures::Section;

const INTRODUCTION: &str = "# Benchmarks

Written by `cargo xtask bench`. The built components run in the bundled host as it is released, in front of a Space that
answers at once, so the figures say what the component and its host cost. Others stand in front of the same Space and
have their turn within rounds, so that whatever slows the machine slows all. Callers, Space and contenders share the
processors.
";

/// The page: a section for each part, `None` for one that failed.
pub(crate) fn write(machine: &[(&str, String)], sections: &[(Part, Option<Section>)]) -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n## The machine\n\n| | |\n|---|---|\n");
    for (name, value) in machine {
        page.push_str(&format!("| {name} | {value} |\n"));
    }
    page.push_str("\n## Goals\n\n| figure | goal | measured | of the goal | met |\n|---|---|---|---|---|\n");
    for (part, section) in sections {
        for row in section.iter().flat_map(|section| &section.figures).filter_map(|figure| figure.row()) {
            page.push_str(&format!("| {}: {}\n", part.title(), row.trim_start_matches("| ")));
        }
    }
    for (part, section) in sections {
        page.push_str(&format!("\n## {}\n\n", part.title()));
        page.push_str(section.as_ref().map_or("Not measured: this part failed.\n", |section| &section.text));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figure;

    #[test]
    fn goals_come_first_and_failures_are_told() {
        let mut section = Section::table(&["a"]);
        section.row(&["1"]);
        section.figures = vec![Figure::higher("rate", 4.0, "/s").goal(2.0), Figure::higher("other", 1.0, "/s")];
        let page = write(&[("Rust", "1.95".to_owned())], &[(Part::Models, Some(section)), (Part::Links, None)]);
        assert!(page.contains("| Rust | 1.95 |\n\n## Goals\n"));
        assert!(
            page.contains("|---|---|---|---|---|\n| The list of models: rate | ≥ 2 /s | 4.00 /s | 2.00 | yes |\n\n")
        );
        assert!(
            page.contains("## The list of models\n\n| a |\n|---|\n| 1 |\n\n## Images by their links\n\nNot measured")
        );
    }
}
