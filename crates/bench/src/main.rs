//! Measures how fast and how small the component and its host are, beside others.
//!
//! Real Gradio servers answer in 10 to 60 ms and at most some hundred times a second, which would hide the component.
//! So the upstream here is an instant one ([`upstream`]), and each figure of the component stands beside those of
//! others in front of that upstream ([`contenders`]), in turn within one run. All share this machine's cores. A part
//! ([`parts`]) fails by itself; the others go on.

mod arguments;
mod calls;
mod clock;
mod contenders;
mod database;
mod figures;
mod host;
mod machine;
mod page;
mod parts;
mod process;
mod program;
mod stats;
mod upstream;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use serde_json::{Value, json};

use crate::arguments::{Arguments, Part};
use crate::figures::{Section, slower};
use crate::upstream::Upstream;

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("error: parts that failed: {failed}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, and returns the number of parts that failed.
async fn run(arguments: &Arguments) -> Result<usize> {
    machine::raise_limits();
    let earlier = arguments.compare.as_deref().map(read).transpose()?;
    if !arguments.anyway {
        machine::wait_until_idle().await?;
    }
    let machine = machine::describe(arguments)?;
    let state = std::env::temp_dir().join(format!("z-image-bench-{}", std::process::id()));
    let mut sections = Vec::new();
    let mut failed = 0;
    for part in arguments.parts() {
        println!("\n## {}\n", part.title());
        let section = measure(arguments, part, &state.join(format!("{part:?}"))).await;
        let section = section.inspect(|section| println!("{}", section.text));
        let section = section.inspect_err(|error| {
            eprintln!("{}: {error:#}", part.title());
            failed += 1;
        });
        sections.push((part, section.ok()));
    }
    // Left over, it does no harm.
    let _ = std::fs::remove_dir_all(&state);

    let figures = to_json(&machine, &sections);
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_vec_pretty(&figures)?)?;
    }
    let is_whole = Part::PAGE.iter().all(|part| sections.iter().any(|(measured, _)| measured == part));
    if let Some(path) = arguments.page.as_ref().filter(|_| is_whole && !arguments.quick) {
        sections.retain(|(part, _)| Part::PAGE.contains(part));
        std::fs::write(path, page::write(&machine, &sections))?;
        eprintln!("written: {}", path.display());
    }
    if let Some(earlier) = earlier {
        let slower = slower(&earlier, &figures)?;
        println!("\nWorse than before by more than a tenth: {}", slower.len());
        slower.iter().for_each(|line| println!("- {line}"));
    }
    Ok(failed)
}

async fn measure(arguments: &Arguments, part: Part, state: &Path) -> Result<Section> {
    match part {
        Part::Generations => parts::generations::measure(arguments, state).await,
        Part::Models => parts::models::measure(arguments, state).await,
        Part::Links => parts::links::measure(arguments, state).await,
        Part::Inline => parts::inline::measure(arguments, state).await,
        Part::Streams => parts::streams::measure(arguments, state).await,
        Part::Starts => parts::starts::measure(arguments, state).await,
        Part::Fairness => parts::fairness::measure(arguments, state).await,
        Part::Sizes => parts::sizes::measure(arguments),
        Part::Component => parts::component::measure(arguments, state).await,
        Part::Database | Part::Statements => {
            let details = database::measure(arguments, &Upstream::start().await?, state).await?;
            Ok(Section { details, ..Section::default() })
        }
    }
}

fn read(path: &Path) -> Result<Value> {
    let shown = || format!("cannot read {}", path.display());
    serde_json::from_slice(&std::fs::read(path).with_context(shown)?).with_context(shown)
}

fn to_json(machine: &[(&str, String)], sections: &[(Part, Option<Section>)]) -> Value {
    let mut figures = Vec::new();
    let mut details = serde_json::Map::new();
    for (part, section) in sections.iter().filter_map(|(part, section)| Some((part, section.as_ref()?))) {
        for figure in &section.figures {
            let mut figure = figure.to_json();
            if let Some(fields) = figure.as_object_mut() {
                fields.insert("part".to_owned(), part.title().into());
            }
            figures.push(figure);
        }
        if !section.details.is_null() {
            details.insert(part.title().to_owned(), section.details.clone());
        }
    }
    let machine: serde_json::Map<String, Value> =
        machine.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into())).collect();
    json!({"machine": machine, "figures": figures, "details": details})
}
