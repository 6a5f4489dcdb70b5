//! Starts: of the host, until it answers, and of instances, until the first answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::arguments::Arguments;
use crate::calls::{Call, Caller};
use crate::clock::now;
use crate::figures::{Figure, Section, shown};
use crate::host::{KEY, SLOTS, ServingHost, command};
use crate::program::Program;
use crate::stats::Samples;
use crate::upstream::Upstream;

/// Seconds that the host should take at most, with its compiled components kept.
const HOST: f64 = 0.3;
/// Milliseconds that a fresh instance's first answer should take at most.
const INSTANCE: f64 = 5.0;

/// Measures.
pub(crate) async fn measure(arguments: &Arguments, state: &Path) -> Result<Section> {
    let upstream = Upstream::start().await?;
    let mut section = Section::table(&["", "p50", "of"]);
    let count = arguments.or_quick(5, 2);

    let application = Application::copied(arguments, &state.join("application"))?;
    let mut cold = Samples::default();
    for number in 0..arguments.or_quick(2, 1) {
        application.forget()?;
        cold.extend(vec![application.start(&upstream, &state.join(format!("cold-{number}"))).await?]);
    }
    let mut warm = Samples::default();
    for number in 0..count {
        warm.extend(vec![application.start(&upstream, &state.join(format!("warm-{number}"))).await?]);
    }
    let all = [("host, nothing compiled yet", cold, None), ("host, components compiled before", warm, Some(HOST))];
    for (name, samples, goal) in all {
        let seconds = samples.quantile(0.5) / 1000.0;
        section.row(&[name, &format!("{} s", shown(seconds)), &samples.len().to_string()]);
        section.figures.push(Figure { goal, ..Figure::lower(name, seconds, "s") });
    }

    let host = ServingHost::start(arguments, &upstream.url, &state.join("host"), SLOTS, &[], None).await?;
    let caller = Caller::new(&upstream.url, &host.url, KEY);
    caller.many(Call::GenerateUrl, 1, 8).await?;
    let calls = [
        ("first answer of a fresh instance, `GET /healthz`", Call::Health),
        ("first answer of a fresh instance, a generation", Call::GenerateUrl),
    ];
    for (name, call) in calls {
        let samples = fresh_instances(&caller, call, count * 2).await?;
        let p50 = samples.quantile(0.5);
        section.row(&[name, &format!("{} ms", shown(p50)), &samples.len().to_string()]);
        section.figures.push(Figure::lower(name, p50, "ms").goal(INSTANCE));
    }
    section.say(
        "The host's time is that from its start as a process to its first answer to `GET /healthz`. An instance is \
         dropped after a second without requests; each first answer is that to a request after such a second.",
    );
    Ok(section)
}

/// Single requests, each after the instance of the one before has been dropped.
pub(crate) async fn fresh_instances(caller: &Caller, call: Call, count: usize) -> Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..count {
        // The host drops an instance after a second of idleness.
        tokio::time::sleep(Duration::from_millis(1300)).await;
        samples.extend(caller.many(call, 1, 1).await?);
    }
    Ok(samples)
}

/// The application in a folder of its own, with what the host keeps of it beside.
struct Application<'a> {
    arguments: &'a Arguments,
    folder: PathBuf,
    sources: Vec<PathBuf>,
}

impl<'a> Application<'a> {
    fn copied(arguments: &'a Arguments, folder: &Path) -> Result<Self> {
        let table: toml::Table = fs::read_to_string(&arguments.manifest)?.parse()?;
        let components = table.get("component").and_then(toml::Value::as_table).context("no component")?;
        let sources = components.values().filter_map(|component| component.get("source")?.as_str());
        let from = arguments.manifest.parent().unwrap_or(Path::new("."));
        let sources: Vec<PathBuf> = sources.map(|source| from.join(source)).collect();
        ensure!(sources.iter().all(|source| source.starts_with(from)), "a component lies outside of the folder");
        Ok(Self { arguments, folder: folder.to_owned(), sources })
    }

    /// Makes the folder anew, with nothing in it but the manifest and the components.
    fn forget(&self) -> Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        let from = self.arguments.manifest.parent().unwrap_or(Path::new("."));
        for source in self.sources.iter().chain([&self.arguments.manifest]) {
            let to = self.folder.join(source.strip_prefix(from)?);
            fs::create_dir_all(to.parent().context("a file has a folder")?)?;
            fs::copy(source, to)?;
        }
        Ok(())
    }

    /// Time from the start of the host to its first answer.
    async fn start(&self, upstream: &Upstream, state: &Path) -> Result<Duration> {
        let manifest = self.folder.join(self.arguments.manifest.file_name().context("a manifest has a name")?);
        let mut command = command(self.arguments, &manifest, state, &upstream.url, SLOTS);
        // What wasmtime keeps lies there.
        command.env("XDG_CACHE_HOME", self.folder.join("cache"));
        let begun = now();
        let program = Program::announced(&mut command).await?;
        Caller::new(&upstream.url, &program.url, KEY).many(Call::Health, 1, 1).await?;
        Ok(begun.elapsed())
    }
}
