//! Time that the component adds to calls of every kind.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::starts::fresh_instances;
use crate::arguments::Arguments;
use crate::calls::{Call, Caller};
use crate::clock::now;
use crate::figures::{Figure, Section};
use crate::host::{KEY, SLOTS, ServingHost};
use crate::stats::Samples;
use crate::upstream::Upstream;

/// Measures.
pub(crate) async fn measure(arguments: &Arguments, state: &Path) -> Result<Section> {
    let upstream = Upstream::start().await?;
    let host = ServingHost::start(arguments, &upstream.url, state, SLOTS, &[], None).await?;
    let caller = Caller::new(&upstream.url, &host.url, KEY);
    let mut section = Section::table(&["at once", "call", "p50 ms", "p99 ms", "added p50 ms", "per second"]);
    let mut generations = Vec::new();
    for at_once in [1, 8, 64] {
        let calls = if at_once == 1 { 60 } else { at_once * 8 };
        generations.extend(compare(&caller, at_once, calls, arguments.or_quick(10, 2), &mut section).await?);
    }

    let health = saturate(&caller, Call::Health, 64, Duration::from_secs(arguments.or_quick(5, 1))).await?;
    section.say(&format!("`GET /healthz`, 64 at once: {health:.0} requests/s"));
    section.figures.push(Figure::higher("healthz", health, "/s"));
    for (name, call) in [("healthz", Call::Health), ("generation", Call::GenerateUrl)] {
        let samples = fresh_instances(&caller, call, arguments.or_quick(9, 3)).await?;
        let p50 = samples.quantile(0.5);
        section.say(&format!("First request on a fresh instance, {name}: p50 {p50:.2} ms (of {})", samples.len()));
        section.figures.push(Figure::lower(format!("fresh instance, {name}"), p50, "ms"));
    }
    section.details = json!({"generations": generations});
    Ok(section)
}

/// Makes each call in turn, in rounds, so that whatever slows the machine slows them all.
async fn compare(
    caller: &Caller,
    at_once: usize,
    calls: usize,
    rounds: usize,
    section: &mut Section,
) -> Result<Vec<Value>> {
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
        let [at_once_shown, p50_shown, p99_shown] = [at_once.to_string(), format!("{p50:.2}"), format!("{p99:.2}")];
        section.row(&[&at_once_shown, call.name(), &p50_shown, &p99_shown, &shown, &format!("{per_second:.0}")]);
        figures.push(json!({
            "at_once": at_once, "call": call.name(), "p50_ms": p50, "p99_ms": p99,
            "added_p50_ms": added, "per_second": per_second,
        }));
    }
    Ok(figures)
}

/// Requests per second with `at_once` of them on the way all the time.
async fn saturate(caller: &Caller, call: Call, at_once: usize, time: Duration) -> Result<f64> {
    caller.many(call, at_once, at_once * 4).await?;
    Ok(caller.for_time(call, at_once, time).await?.per_second)
}
