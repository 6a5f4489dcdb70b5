//! `cargo xtask docs`: the documents as a site, in `target/book`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::setup::tool::Tool;
use crate::shell::{root, run, say, target};

const MDBOOK: Tool =
    Tool { name: "mdbook", version: "0.5.4", arguments: &["--no-default-features", "--features", "search"] };
/// Address that a link out of `docs/` has on the site.
const SOURCE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/");

/// Builds the site and follows every link inside it.
pub(crate) fn docs() -> Result<()> {
    let mdbook = MDBOOK.program()?;
    let (sources, site) = (target().join("book-sources"), target().join("book"));
    if sources.exists() {
        fs::remove_dir_all(&sources)?;
    }
    copy(&root().join("docs"), &sources.join("docs"))?;
    fs::copy(root().join("book.toml"), sources.join("book.toml"))?;
    run(Command::new(mdbook).arg("build").arg(&sources).arg("--dest-dir").arg(&site))?;
    follow(&site)?;
    say(&format!("the site is in {}", site.display()));
    Ok(())
}

/// Copies a folder; in its pages, links out of it lead to the repository.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, place) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        if path.is_dir() {
            copy(&path, &place)?;
        } else if path.extension().is_some_and(|kind| kind == "md") {
            fs::write(place, outward(&fs::read_to_string(&path)?))?;
        } else {
            fs::copy(&path, place)?;
        }
    }
    Ok(())
}

/// A page as the site has it: links out of `docs/` lead to the repository, and why a block of code isn't run by a test
/// is left out.
fn outward(page: &str) -> String {
    let page = page.replace("](../", &format!("]({SOURCE}")).replace("]: ../", &format!("]: {SOURCE}"));
    let lines = page.lines().map(|line| match line.split_once(",ignore ") {
        Some((fence, _)) if fence.starts_with("```") => fence,
        _ => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// Fails where a page of the site links to a page or a place that isn't there.
fn follow(site: &Path) -> Result<()> {
    let (mut pages, mut count) = (0, 0);
    for entry in fs::read_dir(site)? {
        let path = entry?.path();
        // The one for printing has the contents of all.
        if path.extension().is_none_or(|kind| kind != "html") || path.ends_with("print.html") {
            continue;
        }
        pages += 1;
        let page = fs::read_to_string(&path)?;
        for link in targets(&page) {
            count += 1;
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { site.join(file) };
            ensure!(target.exists(), "{}: {link} leads nowhere", path.display());
            if !place.is_empty() && target.extension().is_some_and(|kind| kind == "html") {
                let text = fs::read_to_string(&target).with_context(|| format!("cannot read {}", target.display()))?;
                ensure!(text.contains(&format!("id=\"{place}\"")), "{}: {link} leads nowhere", path.display());
            }
        }
    }
    ensure!(pages > 10 && count > 100, "{pages} pages with {count} links are too few");
    say(&format!("{count} links on {pages} pages lead somewhere"));
    Ok(())
}

/// The links of a page that stay on the site.
fn targets(page: &str) -> impl Iterator<Item = &str> {
    let links = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    links.filter(|link| !link.contains("://") && !link.starts_with("mailto:") && !link.is_empty() && *link != "#")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_as_the_site_has_them() {
        let page = "[a](../deploy/Caddyfile), [b](tasks.md)\n[c]: ../tests/x.py \"t\"\n```sh,ignore needs Spin\n";
        let repository = env!("CARGO_PKG_REPOSITORY");
        assert_eq!(
            outward(page),
            format!(
                "[a]({repository}/blob/main/deploy/Caddyfile), [b](tasks.md)\n\
                 [c]: {repository}/blob/main/tests/x.py \"t\"\n```sh\n"
            )
        );
    }

    #[test]
    fn links_on_the_site_are_told_from_others() {
        let page = r##"<a href="tasks.html#x"><a href="https://a/"><a href="#here"><a href="mailto:x@y">"##;
        assert_eq!(targets(page).collect::<Vec<_>>(), ["tasks.html#x", "#here"]);
    }
}
