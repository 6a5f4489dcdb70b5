//! Measures what the database costs: how much of a generation's time and throughput goes to it, when it is empty and
//! when it is full, with the history and without, with limits and without; and how many statements it is asked.
//!
//! Variants run in turn within rounds, so that whatever slows this machine slows all of them, and what is reported
//! is the median of the rounds' ratios.

mod fill;
mod list;
mod server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use self::fill::{Amount, Database, connect};
use self::list::{StatementList, by_name};
pub(crate) use self::server::NOBODY;
use self::server::Server;
use crate::arguments::{Arguments, Part};
use crate::calls::{Call, Caller};
use crate::clock::now;
use crate::host::{KEY, ServingHost};
use crate::stats::{Round, Samples, median, quantile};
use crate::upstream::Upstream;

/// Number of slots of the Space.
const SLOTS: usize = 64;
const IMAGES: usize = 200_000;
const TASKS: usize = 10_000;
/// Time after which an idle instance is gone, and has given back what it held.
const IDLE: Duration = Duration::from_millis(1_600);

/// Measurements on one engine.
struct Engine<'a> {
    arguments: &'a Arguments,
    upstream: &'a Upstream,
    folder: PathBuf,
    /// `None` for SQLite.
    server: Option<Server>,
}

/// A host with a database of its own.
struct Variant {
    name: &'static str,
    call: Call,
    host: ServingHost,
    caller: Caller,
    database: Database,
}

/// Set-up of a variant: its name, call, and variables.
type Setup = (&'static str, Call, &'static [&'static str]);

/// Those that are compared with the first.
const SETUPS: [Setup; 6] = [
    ("empty", Call::GenerateUrl, &[]),
    ("full", Call::GenerateUrl, &[]),
    ("empty, history off", Call::GenerateUrl, &["history=off"]),
    ("empty, requests_per_minute", Call::GenerateUrl, &["requests_per_minute=1000000"]),
    ("empty, jobs_per_key", Call::GenerateUrl, &["jobs_per_key=500"]),
    ("empty, Idempotency-Key", Call::GenerateOnce, &[]),
];

/// Measures all engines that this machine has.
pub(crate) async fn measure(arguments: &Arguments, upstream: &Upstream, state: &Path) -> Result<Value> {
    let mut figures = serde_json::Map::new();
    let sqlite = Engine { arguments, upstream, folder: state.join("sqlite"), server: None };
    figures.insert("sqlite".into(), sqlite.measure().await?);
    let folder = state.join("postgres");
    match Server::start(&folder).await? {
        Some(server) => {
            let postgres = Engine { arguments, upstream, folder, server: Some(server) };
            figures.insert("postgres".into(), postgres.measure().await?);
        }
        None => println!("\nThere is no PostgreSQL server here; POSTGRES_BIN names the folder of its programs."),
    }
    Ok(figures.into())
}

impl Engine<'_> {
    fn name(&self) -> &'static str {
        if self.server.is_some() { "PostgreSQL" } else { "SQLite" }
    }

    async fn measure(&self) -> Result<Value> {
        println!("\n### {}", self.name());
        if !self.arguments.has(Part::Database) {
            return Ok(json!({"statements": self.count().await?}));
        }
        let generations = self.compare().await?;
        let statements = self.count().await?;
        let locked = self.wait_for_none().await?;
        Ok(json!({"generations": generations, "statements": statements, "locked": locked}))
    }

    /// A host with an empty database; its statements are listed where that is asked for.
    async fn start(&self, number: usize, setup: &Setup, list: Option<&Path>) -> Result<Variant> {
        let (name, call, variables) = *setup;
        let state = self.folder.join(number.to_string());
        let mut variables: Vec<String> = variables.iter().map(|variable| (*variable).to_owned()).collect();
        let database = match &self.server {
            None => Database::Sqlite(state.join("sqlite_db.db")),
            Some(server) => {
                let database = format!("bench_{number}");
                connect(&server.url("postgres")).await?.batch_execute(&format!("CREATE DATABASE {database}")).await?;
                let url = server.url(&database);
                variables.push("database=postgres".to_owned());
                variables.push(format!("database_url={url}"));
                variables.push(format!("database_host={}", server.allowed()));
                Database::Postgres(url)
            }
        };
        let host = ServingHost::start(self.arguments, &self.upstream.url, &state, SLOTS, &variables, list).await?;
        let caller = Caller::new(&self.upstream.url, &host.url, KEY);
        Ok(Variant { name, call, host, caller, database })
    }

    /// Throughput and times of generations, as many variants in turn as there are.
    async fn compare(&self) -> Result<Vec<Value>> {
        let mut variants = Vec::new();
        for (number, setup) in SETUPS.iter().enumerate() {
            let variant = self.start(number, setup, None).await?;
            variant.caller.many(variant.call, 1, 4).await?;
            if variant.name == "full" {
                variant.fill(&Amount { images: IMAGES, tasks: TASKS }).await?;
            }
            variants.push(variant);
        }
        println!("\n| at once | database | p50 ms | p99 ms | per second | of the first's throughput | of its p99 |");
        println!("|---|---|---|---|---|---|---|");
        let mut figures = Vec::new();
        for at_once in [1, 8, 64] {
            let rounds = self.arguments.rounds.unwrap_or(if self.arguments.quick { 3 } else { 15 });
            figures.extend(self.rounds(&variants, at_once, rounds).await?);
        }
        println!(
            "\nMedians of the rounds; ratios are those of a round, with their quartiles. full: {IMAGES} remembered \
             images, {TASKS} tasks, half of them unfinished."
        );
        Ok(figures)
    }

    async fn rounds(&self, variants: &[Variant], at_once: usize, rounds: usize) -> Result<Vec<Value>> {
        let calls = if at_once == 1 { 256 } else { at_once.max(16) * 32 };
        let calls = calls.min(1536);
        let mut measured: Vec<Vec<Round>> = variants.iter().map(|_| Vec::new()).collect();
        for round in 0..=rounds {
            let mut turns: Vec<_> = variants.iter().zip(&mut measured).collect();
            if round % 2 == 1 {
                turns.reverse();
            }
            for (variant, measured) in turns {
                // Instances have died meanwhile.
                variant.caller.many(variant.call, at_once, at_once.max(8)).await?;
                let begun = now();
                let mut samples = Samples::default();
                samples.extend(variant.caller.many(variant.call, at_once, calls).await?);
                let spent = begun.elapsed();
                // The first round brings caches and tables to where they stay.
                if round > 0 {
                    measured.push(Round::of(&samples, spent));
                }
            }
        }
        let first = measured.first().context("nothing was measured")?;
        let mut figures = Vec::new();
        for (variant, own) in variants.iter().zip(&measured) {
            let ratios = |of: fn(&Round) -> f64| -> Vec<f64> {
                own.iter().zip(first).map(|(own, first)| of(own) / of(first)).collect()
            };
            let (p50, p99, per_second) =
                (median(own, |round| round.p50), median(own, |round| round.p99), median(own, |round| round.per_second));
            let (throughput, late) = (ratios(|round| round.per_second), ratios(|round| round.p99));
            let shown = |ratios: &[f64]| {
                let [low, middle, high] = [0.25, 0.5, 0.75].map(|part| quantile(ratios, part));
                format!("{middle:.2} ({low:.2} to {high:.2})")
            };
            println!(
                "| {at_once} | {} | {p50:.2} | {p99:.2} | {per_second:.0} | {} | {} |",
                variant.name,
                shown(&throughput),
                shown(&late)
            );
            figures.push(json!({
                "at_once": at_once, "database": variant.name, "p50_ms": p50, "p99_ms": p99, "per_second": per_second,
                "throughput_ratio": quantile(&throughput, 0.5), "p99_ratio": quantile(&late, 0.5),
            }));
        }
        Ok(figures)
    }

    /// Statements of an instance's start, and of generations on instances as they come and go.
    async fn count(&self) -> Result<Value> {
        println!(
            "\n| statements with | at an instance's start | of them before its first answer | \
             for each generation: 1 at once | 8 | 64 |"
        );
        println!("|---|---|---|---|---|---|");
        let mut figures = serde_json::Map::new();
        let mut details = Vec::new();
        for (number, setup) in SETUPS.iter().enumerate().filter(|(_, setup)| setup.0 != "full") {
            let path = self.folder.join(format!("statements-{number}"));
            std::fs::create_dir_all(&self.folder)?;
            let variant = self.start(20 + number, setup, Some(&path)).await?;
            let mut list = StatementList::new(path);
            // The tables, what the Space can do, and its slots are there afterwards.
            variant.caller.many(variant.call, 8, 512).await?;
            tokio::time::sleep(IDLE * 3).await;
            list.look()?;
            variant.caller.many(variant.call, 1, 1).await?;
            let before = list.look()?;
            tokio::time::sleep(IDLE * 3).await;
            let beside = list.look()?;
            let mut line = format!("| {} | {} | {} |", setup.0, before.len() + beside.len(), before.len());
            let names = |ran: &[list::Ran]| ran.iter().map(|ran| ran.name.clone()).collect::<Vec<_>>();
            details.push(format!(
                "{}, one generation: before its answer {}; beside and after it {}",
                setup.0,
                names(&before).join(" · "),
                names(&beside).join(" · ")
            ));
            let mut each = Vec::new();
            for at_once in [1, 8, 64] {
                let calls = if self.arguments.quick { 512 } else { 2048 };
                variant.caller.many(variant.call, at_once, calls).await?;
                tokio::time::sleep(IDLE * 3).await;
                let ran = list.look()?;
                #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
                let ratio = ran.len() as f64 / calls as f64;
                line.push_str(&format!(" {ratio:.3} |"));
                let instances = ran.iter().map(|ran| ran.instance).collect::<std::collections::BTreeSet<_>>().len();
                let counts = by_name(&ran);
                let counts: Vec<_> = counts.iter().map(|(name, count)| format!("{count} × {name}")).collect();
                details.push(format!(
                    "{}, {calls} generations, {at_once} at once, {instances} instances: {}",
                    setup.0,
                    counts.join(" · ")
                ));
                each.push(json!({"at_once": at_once, "for_each": ratio, "instances": instances, "counts": counts}));
            }
            println!("{line}");
            let start = json!({"before_answer": names(&before), "after": names(&beside)});
            figures.insert(setup.0.into(), json!({"start": start, "generations": each}));
        }
        println!();
        for detail in details {
            println!("- {detail}");
        }
        Ok(figures.into())
    }

    /// Shows that answers wait for no statement on an instance that holds a slot: they come while the database hangs.
    async fn wait_for_none(&self) -> Result<Value> {
        const PAUSE: Duration = Duration::from_millis(40);
        const HANGS: Duration = Duration::from_secs(2);
        let variant = self.start(40, &SETUPS[0], None).await?;
        variant.caller.many(variant.call, 1, 4).await?;
        tokio::time::sleep(IDLE).await;
        let begun = now();
        let database = variant.database.clone();
        let mut lock = None;
        let (mut usual, mut hanging) = (Samples::default(), Samples::default());
        // Fewer than an instance answers in its life.
        for number in 0..110 {
            if number == 30 {
                let database = database.clone();
                lock = Some((now(), tokio::spawn(async move { database.lock(HANGS).await })));
                tokio::time::sleep(PAUSE).await;
            }
            let hangs = lock.as_ref().is_some_and(|(begun, _)| begun.elapsed() < HANGS);
            let times = variant.caller.many(variant.call, 1, 1).await?;
            if hangs {
                hanging.extend(times)
            } else {
                usual.extend(times)
            }
            tokio::time::sleep(PAUSE).await;
        }
        let (_, lock) = lock.context("the database was never locked")?;
        lock.await??;
        ensure!(begun.elapsed() > HANGS, "the database hung for longer than was measured");
        let [p50, most, usually] = [hanging.quantile(0.5), hanging.quantile(1.0), usual.quantile(0.5)];
        println!(
            "\nThe database hangs for {} s while one warm instance makes {} images, one after the other: p50 {p50:.2} \
             ms, at most {most:.2} ms (without that, p50 {usually:.2} ms).",
            HANGS.as_secs(),
            hanging.len()
        );
        Ok(json!({"p50_ms": p50, "most_ms": most, "usual_p50_ms": usually}))
    }
}

impl Variant {
    /// Fills the database with rows like those that the component writes.
    async fn fill(&self, amount: &Amount) -> Result<()> {
        self.caller.many(Call::Task, 1, 1).await?;
        let begun = now();
        for table in ["SELECT id FROM image", "SELECT id FROM task WHERE work = 0"] {
            while self.database.text(table).await?.is_none() {
                ensure!(begun.elapsed() < Duration::from_secs(60), "the component has written nothing: {table}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        self.database.fill(amount).await.with_context(|| format!("cannot fill the database of {}", self.host.url))
    }
}
