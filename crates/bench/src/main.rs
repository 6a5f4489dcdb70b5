//! Measures what the component adds to a Gradio call.
//!
//! Real Gradio servers answer in 10 to 60 ms and at most some hundred times a second, which would hide the component.
//! So the upstream here is an instant one ([`upstream`]), and each figure of the component stands beside the same calls
//! made to that upstream directly, in turn within one run: what is left is the component and its host. All three share
//! this machine's cores.

mod arguments;
mod calls;
mod clock;
mod database;
mod host;
mod stats;
mod upstream;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use serde_json::{Value, json};

use crate::arguments::{Arguments, Part};
use crate::calls::{Call, Caller};
use crate::clock::now;
use crate::host::{KEY, SLOTS, ServingHost};
use crate::stats::Samples;
use crate::upstream::Upstream;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let upstream = Upstream::start().await?;
    let state = std::env::temp_dir().join(format!("z-image-bench-{}", std::process::id()));
    let figures = measure_all(&arguments, &upstream, &state).await;
    // Left over, it does no harm.
    let _ = std::fs::remove_dir_all(&state);
    let figures = figures?;
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_vec_pretty(&figures)?)?;
    }
    Ok(())
}

async fn measure_all(arguments: &Arguments, upstream: &Upstream, state: &Path) -> Result<Value> {
    let mut figures = serde_json::Map::new();
    if arguments.has(Part::Component) {
        let host = ServingHost::start(arguments, &upstream.url, &state.join("component"), SLOTS, &[], None).await?;
        figures = measure(arguments, upstream, &host.url).await?;
    }
    if arguments.has(Part::Database) || arguments.has(Part::Statements) {
        figures.insert("database".into(), database::measure(arguments, upstream, state).await?);
    }
    Ok(figures.into())
}

async fn measure(arguments: &Arguments, upstream: &Upstream, host: &str) -> Result<serde_json::Map<String, Value>> {
    let caller = Caller::new(&upstream.url, host, KEY);
    let mut figures = serde_json::Map::new();

    println!("\n| component | size |\n|---|---|");
    let mut sizes = serde_json::Map::new();
    for (name, size) in sizes_of_components(&arguments.manifest)? {
        println!("| {name} | {} KB |", size.div_ceil(1000));
        sizes.insert(name, size.into());
    }
    figures.insert("component_bytes".into(), sizes.into());

    println!("\n| at once | call | p50 ms | p99 ms | added p50 ms | per second |\n|---|---|---|---|---|---|");
    let mut generations = Vec::new();
    for at_once in [1, 8, 64] {
        let rounds = if arguments.quick { 2 } else { 10 };
        let calls = if at_once == 1 { 60 } else { at_once * 8 };
        generations.extend(compare(&caller, at_once, calls, rounds).await?);
    }
    figures.insert("generations".into(), generations.into());

    let seconds = Duration::from_secs(if arguments.quick { 1 } else { 5 });
    let health = saturate(&caller, Call::Health, 64, seconds).await?;
    println!("\n`GET /healthz`, 64 at once: {health:.0} requests/s");
    figures.insert("healthz_per_second".into(), health.into());

    let fresh = if arguments.quick { 3 } else { 9 };
    for (name, call) in [("healthz", Call::Health), ("generation", Call::GenerateUrl)] {
        let samples = fresh_instance(&caller, call, fresh).await?;
        println!("First request on a fresh instance, {name}: p50 {:.2} ms (of {fresh})", samples.quantile(0.5));
        figures.insert(format!("fresh_instance_{name}_ms"), samples.quantile(0.5).into());
    }
    Ok(figures)
}

/// Makes each call in turn, in rounds, so that whatever slows the machine slows them all.
async fn compare(caller: &Caller, at_once: usize, calls: usize, rounds: usize) -> Result<Vec<Value>> {
    let kinds = [Call::DirectUrl, Call::GenerateUrl, Call::DirectFile, Call::GenerateBase64];
    for call in kinds {
        caller.many(call, at_once, calls.min(64)).await?;
    }
    let mut samples = [(); 4].map(|()| Samples::default());
    let mut spent = [Duration::ZERO; 4];
    for _ in 0..rounds {
        for ((call, samples), spent) in kinds.into_iter().zip(&mut samples).zip(&mut spent) {
            let begun = now();
            samples.extend(caller.many(call, at_once, calls).await?);
            *spent += begun.elapsed();
        }
    }
    let mut figures = Vec::new();
    let mut direct = 0.0;
    for ((call, samples), spent) in kinds.into_iter().zip(&samples).zip(spent) {
        let (p50, p99) = (samples.quantile(0.5), samples.quantile(0.99));
        let per_second = samples.per_second(spent);
        let added = match call {
            Call::DirectUrl | Call::DirectFile => {
                direct = p50;
                None
            }
            _ => Some(p50 - direct),
        };
        let shown = added.map_or_else(|| "–".to_owned(), |added| format!("{added:.2}"));
        println!("| {at_once} | {} | {p50:.2} | {p99:.2} | {shown} | {per_second:.0} |", call.name());
        figures.push(json!({
            "at_once": at_once, "call": call.name(), "p50_ms": p50, "p99_ms": p99,
            "added_p50_ms": added, "per_second": per_second,
        }));
    }
    Ok(figures)
}

/// Requests per second with `at_once` of them on the way all the time.
async fn saturate(caller: &Caller, call: Call, at_once: usize, seconds: Duration) -> Result<f64> {
    caller.many(call, at_once, at_once * 4).await?;
    let begun = now();
    let mut samples = Samples::default();
    while begun.elapsed() < seconds {
        samples.extend(caller.many(call, at_once, at_once * 50).await?);
    }
    Ok(samples.per_second(begun.elapsed()))
}

/// Single requests, each after the instance of the one before has been dropped.
async fn fresh_instance(caller: &Caller, call: Call, count: usize) -> Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..count {
        // The host drops an instance after a second of idleness.
        tokio::time::sleep(Duration::from_millis(1300)).await;
        samples.extend(caller.many(call, 1, 1).await?);
    }
    Ok(samples)
}

fn sizes_of_components(manifest: &Path) -> Result<Vec<(String, u64)>> {
    let table: toml::Table = std::fs::read_to_string(manifest)?.parse()?;
    let components = table.get("component").and_then(toml::Value::as_table).context("no component in the manifest")?;
    let folder = manifest.parent().unwrap_or(Path::new("."));
    let size = |(name, component): (&String, &toml::Value)| {
        let source = component.get("source").and_then(toml::Value::as_str).context("a component without a source")?;
        Ok((name.clone(), std::fs::metadata(folder.join(source))?.len()))
    };
    components.iter().map(size).collect()
}
