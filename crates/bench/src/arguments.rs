//! Arguments of the benchmark.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures what the component adds to a Gradio call.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// The host's program.
    #[arg(long)]
    pub(crate) host: PathBuf,
    /// The application's manifest.
    #[arg(long)]
    pub(crate) manifest: PathBuf,
    /// Writes the figures there too.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Takes a tenth of the time, for a tenth as many samples.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Rounds of the comparison of databases: 15, or 3 for a tenth of the time.
    #[arg(long)]
    pub(crate) rounds: Option<usize>,
    /// Parts that are measured; all, where nothing is named.
    #[arg(value_enum)]
    pub(crate) parts: Vec<Part>,
}

/// A part of what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Time that the component adds to a call.
    Component,
    /// Cost of the database.
    Database,
    /// Statements that the database is asked: a part of its cost.
    Statements,
}

impl Arguments {
    /// `part` is to be measured.
    pub(crate) fn has(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }
}
