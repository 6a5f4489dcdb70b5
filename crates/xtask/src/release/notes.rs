//! The notes of a version, from the changelog.

/// The section of a version, without its heading; none where it is empty or not there.
pub(super) fn section(changelog: &str, version: &str) -> Option<String> {
    let mut lines = changelog.lines().skip_while(|line| !is_of(line, version));
    lines.next()?;
    let lines: Vec<_> = lines.take_while(|line| !line.starts_with("## ")).collect();
    let section = lines.join("\n").trim().to_owned();
    (!section.is_empty()).then_some(section + "\n")
}

/// True for the heading of that version: `## [1.2.3] - 2027-01-31`.
fn is_of(line: &str, version: &str) -> bool {
    line.strip_prefix("## [").and_then(|rest| rest.split_once(']')).is_some_and(|(name, _)| name == version)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "# Changelog\n\n## [Unreleased]\n\n## [1.10.0] - 2027-01-31\n\n### Added\n\n- A.\n\n\
                             ## [1.1.0] - 2027-01-01\n\n- B.\n";

    #[test]
    fn a_version_has_its_section_and_no_other() {
        assert_eq!(section(CHANGELOG, "1.10.0").unwrap(), "### Added\n\n- A.\n");
        assert_eq!(section(CHANGELOG, "1.1.0").unwrap(), "- B.\n");
        assert_eq!(section(CHANGELOG, "Unreleased"), None);
        assert_eq!(section(CHANGELOG, "1.1"), None);
    }
}
