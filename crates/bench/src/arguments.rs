//! Arguments of the benchmark.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures how fast and how small the component and its host are, beside others.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// The host's program.
    #[arg(long)]
    pub(crate) host: PathBuf,
    /// The application's manifest.
    #[arg(long)]
    pub(crate) manifest: PathBuf,
    /// Page that a whole run writes.
    #[arg(long)]
    pub(crate) page: Option<PathBuf>,
    /// Folder of the worker for Cloudflare's runtime, with its packages.
    #[arg(long)]
    pub(crate) worker: Option<PathBuf>,
    /// LiteLLM's program.
    #[arg(long)]
    pub(crate) litellm: Option<PathBuf>,
    /// The component that does as little as can be.
    #[arg(long)]
    pub(crate) hello: Option<PathBuf>,
    /// nginx's program.
    #[arg(long)]
    pub(crate) nginx: Option<PathBuf>,
    /// Writes the figures there too.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Figures of an earlier run, by --json: prints what got slower by more than a tenth.
    #[arg(long)]
    pub(crate) compare: Option<PathBuf>,
    /// Takes a fraction of the time, for fewer samples, and writes no page.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Measures even where the machine is busy with other things.
    #[arg(long)]
    pub(crate) anyway: bool,
    /// Rounds of the comparison of databases: 15, or 3 for a tenth of the time.
    #[arg(long)]
    pub(crate) rounds: Option<usize>,
    /// Parts that are measured: those of the page, where nothing is named.
    #[arg(value_enum)]
    pub(crate) parts: Vec<Part>,
}

/// A part of what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Generations, beside a worker, LiteLLM's proxy and a direct call.
    Generations,
    /// `GET /v1/models`, beside a worker and a component that says hello.
    Models,
    /// Images by their links, beside nginx.
    Links,
    /// Images in base64.
    Inline,
    /// Streams that wait, and events of progress.
    Streams,
    /// Starts of the host and of instances.
    Starts,
    /// Times where far more wait than a Space has slots.
    Fairness,
    /// Sizes of the components.
    Sizes,
    /// Time that the component adds to calls of every kind. Not on the page.
    Component,
    /// Cost of the database. Not on the page.
    Database,
    /// Statements that the database is asked: a part of its cost.
    Statements,
}

impl Part {
    /// Parts of the page, in its order.
    pub(crate) const PAGE: [Self; 8] = [
        Self::Generations,
        Self::Models,
        Self::Links,
        Self::Inline,
        Self::Streams,
        Self::Starts,
        Self::Fairness,
        Self::Sizes,
    ];

    /// Heading on the page.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Generations => "Generations",
            Self::Models => "The list of models",
            Self::Links => "Images by their links",
            Self::Inline => "Images in base64",
            Self::Streams => "Streams",
            Self::Starts => "Starts",
            Self::Fairness => "More callers than slots",
            Self::Sizes => "Sizes",
            Self::Component => "What the component adds",
            Self::Database | Self::Statements => "The database",
        }
    }
}

impl Arguments {
    /// `part` is named.
    pub(crate) fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// Parts to be measured.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let mut parts = if self.parts.is_empty() { Part::PAGE.to_vec() } else { self.parts.clone() };
        if self.has(Part::Database) {
            parts.retain(|part| *part != Part::Statements);
        }
        parts
    }

    /// The number, or that for a quick run.
    pub(crate) fn or_quick<T>(&self, number: T, quick: T) -> T {
        if self.quick { quick } else { number }
    }
}
