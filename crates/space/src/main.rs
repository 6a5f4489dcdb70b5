//! Report on what the component makes of a Space: its discoveries, a request's arguments, and what it would
//! take the outputs for. Nothing is made: only the Space's two descriptions are fetched, by `curl`.

mod fetch;
mod report;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use z_image_2api::gradio::config::Config;
use z_image_2api::gradio::discovery::signature::Info;
use z_image_2api::gradio::space::Space;

use crate::fetch::fetch;
use crate::report::Report;

/// Tells what the component makes of a Space.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask space", bin_name = "cargo xtask space")]
struct Arguments {
    /// The Space: owner/name or https://host, either with /endpoint behind it.
    space: String,
}

fn main() -> Result<()> {
    let space = Space::parse(&Arguments::parse().space)?;
    let described = fetch(&space.origin().url("/config"))?;
    println!("{} answered {} with {} bytes", space.origin().url("/config"), described.status, described.body.len());
    if described.status != 200 {
        bail!("the Space doesn't answer as Gradio does: it may be asleep, private or gone");
    }
    let config = Config::parse(space.origin(), &described.body).context("what it answered can't be used")?;
    let url = config.base.url("/info");
    let answered = fetch(&url)?;
    println!("{url} answered {} with {} bytes", answered.status, answered.body.len());
    let info = match serde_json::from_slice(&answered.body) {
        Ok(info) if answered.status == 200 => info,
        _ => {
            println!("Without it, the labels have to do.");
            Info::default()
        }
    };
    let report = Report { space: &space, config: &config, info: &info }.to_string();
    // What a Space says is nothing for a terminal to obey.
    print!("{}", report.replace(|c: char| c.is_control() && c != '\n', "�"));
    Ok(())
}
