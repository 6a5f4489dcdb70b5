//! Fetching a Space's descriptions.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// An answer.
pub(crate) struct Answer {
    /// Status code of HTTP.
    pub(crate) status: u16,
    /// The whole body.
    pub(crate) body: Vec<u8>,
}

/// GETs a URL without following redirects, as the component does.
pub(crate) fn fetch(url: &impl std::fmt::Display) -> Result<Answer> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "60", "--max-filesize", "8388608"]);
    let answer = curl.args(["--write-out", "\n%{http_code}", "--", &url.to_string()]).output();
    let answer = answer.context("curl is needed to ask the Space")?;
    if !answer.status.success() {
        bail!("{url}: {}", String::from_utf8_lossy(&answer.stderr).trim());
    }
    let mut body = answer.stdout;
    let at = body.iter().rposition(|byte| *byte == b'\n').context("curl told no status")?;
    let status = String::from_utf8_lossy(&body.split_off(at)).trim().parse().context("curl told no status")?;
    Ok(Answer { status, body })
}
