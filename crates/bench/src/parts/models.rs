//! `GET /v1/models`: what it costs to answer at all.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::arguments::Arguments;
use crate::calls::{Call, Caller};
use crate::contenders::{Contender, Contest, hello, worker};
use crate::figures::{Figure, Section, shown};
use crate::host::{KEY, SLOTS, ServingHost};
use crate::program::Program;
use crate::stats::median;
use crate::upstream::Upstream;

const OURS: &str = "z-image-2api";
const WORKER: &str = "worker on workerd, a constant list";
const HELLO: &str = "hello world on the same host";
const AT_ONCE: usize = 64;
/// Throughput that ours should have of the worker's.
const OF_THE_WORKER: f64 = 3.0;
/// Throughput that ours should have of the hello world's.
const OF_HELLO: f64 = 0.7;

/// Measures.
pub(crate) async fn measure(arguments: &Arguments, state: &Path) -> Result<Section> {
    let upstream = Upstream::start().await?;
    let ours = ServingHost::start(arguments, &upstream.url, &state.join("ours"), SLOTS, &[], None).await?;
    let contender = |name, url: &str, program| Contender {
        name,
        caller: Caller::new(&upstream.url, url, KEY),
        call: Call::Models,
        _program: program,
    };
    let mut contenders = vec![contender(OURS, &ours.url, None)];
    let mut add = |name, program: Result<Program>| match program {
        Ok(program) => {
            let url = program.url.clone();
            contenders.push(contender(name, &url, Some(program)));
        }
        Err(error) => eprintln!("{name}: {error:#}"),
    };
    if let Some(folder) = &arguments.worker {
        add(WORKER, worker::start(folder, &upstream.url).await);
    }
    if let Some(component) = &arguments.hello {
        add(HELLO, hello::start(&arguments.host, component, &upstream.url, &state.join("hello")).await);
    }

    let (rounds, time) = arguments.or_quick((6, Duration::from_millis(800)), (2, Duration::from_millis(300)));
    let contest = Contest::hold(&mut contenders, AT_ONCE, rounds, time).await?;
    let mut section = Section::table(&["", "p50 ms", "p99 ms", "per second", "ours, of it"]);
    contest.rounds(OURS).context("ours failed")?;
    for (name, goal) in [(OURS, None), (WORKER, Some(OF_THE_WORKER)), (HELLO, Some(OF_HELLO))] {
        let (Some(rounds), Some(ratio)) = (contest.rounds(name), contest.ratio(OURS, name, |round| round.per_second))
        else {
            section.row(&[name, "not measured", "", "", ""]);
            continue;
        };
        let [p50, p99, per_second] = [
            median(rounds, |round| round.p50),
            median(rounds, |round| round.p99),
            median(rounds, |round| round.per_second),
        ];
        section.row(&[name, &shown(p50), &shown(p99), &shown(per_second), &shown(ratio)]);
        let figure = if name == OURS { Figure::higher } else { Figure::others };
        section.figures.push(figure(name, per_second, "/s"));
        if let Some(goal) = goal {
            section.figures.push(Figure::higher(format!("throughput, of that of: {name}"), ratio, "").goal(goal));
        }
    }
    section.say(&format!("`GET /v1/models` with a key, {AT_ONCE} at once."));
    Ok(section)
}
