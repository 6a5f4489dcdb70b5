//! `cargo xtask doctor`: a running server, seen from outside.
//!
//! It asks as a client does, through whatever stands before the server, and says of each fault what to change. One
//! small image is made as a task, which shows whether events come one by one, links lead back, and the database works.

mod checks;
mod curl;
mod task;

use std::fmt;

use anyhow::{Result, bail};
use clap::Args;

use self::curl::Server;

/// Options of `cargo xtask doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorOptions {
    /// Address of the server, as its clients have it, without /v1.
    #[arg(long, value_name = "URL")]
    url: String,
    /// API key.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Makes no image, and so looks at no stream, link or task.
    #[arg(long)]
    no_image: bool,
    /// Time that the image may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    wait: u64,
}

/// Result of a check.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    level: Level,
    about: &'static str,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// As it should be.
    Fine,
    /// Worth knowing.
    Note,
    /// To be changed.
    Fault,
}

impl Finding {
    fn fine(about: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Fine, about, text: text.into() }
    }

    fn note(about: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Note, about, text: text.into() }
    }

    fn fault(about: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Fault, about, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Fine => "ok",
            Level::Note => "note",
            Level::Fault => "FAULT",
        };
        write!(f, "{level:<6}{:<9}{}", self.about, self.text)
    }
}

/// Looks at the server, prints what was found, and fails where something is to be changed.
pub(crate) fn doctor(options: &DoctorOptions) -> Result<()> {
    let server = Server::new(&options.url, options.key.as_deref())?;
    let mut faults = 0;
    let mut report = |findings: &[Finding]| {
        for finding in findings {
            println!("{finding}");
            faults += u32::from(finding.level == Level::Fault);
        }
        faults == 0
    };
    // Where it can't be reached, or lets nobody in, the rest says nothing.
    if report(&[checks::reach(&server)]) && report(&[checks::key(&server)]) {
        report(&[checks::transport(&server), checks::cors(&server)?, checks::bodies(&server)?]);
        report(&checks::spaces(&server)?);
        if options.no_image {
            report(&[Finding::note("image", "none was made: streams, links and tasks were not looked at")]);
        } else {
            report(&task::follow(&server, options.wait)?);
        }
    }
    if faults > 0 {
        bail!("{faults} to be changed");
    }
    println!("all is well");
    Ok(())
}
