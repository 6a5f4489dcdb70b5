//! Generations answered with a link, beside others in front of the same instant Space.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::arguments::Arguments;
use crate::calls::{Call, Caller};
use crate::contenders::{Contender, Contest, hello, litellm, worker};
use crate::figures::{Figure, Section, shown};
use crate::host::{KEY, ServingHost};
use crate::program::Program;
use crate::stats::median;
use crate::upstream::Upstream;

const OURS: &str = "z-image-2api";
const WITHOUT_HISTORY: &str = "z-image-2api, `history=off`";
const WORKER: &str = "worker on workerd";
const LITELLM: &str = "LiteLLM's proxy";
const BARE: &str = "a bare component on the same host";
const DIRECT: &str = "direct: join and data";
/// Slots of the Space: as many as there are calls at once.
const SLOTS: usize = 64;
/// Throughput that ours should have of the worker's, by calls at once.
const OF_THE_WORKER: [(usize, f64); 2] = [(8, 3.0), (32, 3.0)];
/// Median time that ours should have of the worker's, one call after the other.
const TIME_OF_THE_WORKER: f64 = 0.6;
/// Milliseconds that ours may add to a direct call, one after the other: to the median, and to the 99th percentile.
const ADDED: [f64; 2] = [0.5, 2.0];

/// Measures.
pub(crate) async fn measure(arguments: &Arguments, state: &Path) -> Result<Section> {
    let upstream = Upstream::start().await?;
    let caller = |url: &str| Caller::new(&upstream.url, url, KEY);
    let off = ["history=off".to_owned()];
    let ours = ServingHost::start(arguments, &upstream.url, &state.join("ours"), SLOTS, &[], None).await?;
    let without = ServingHost::start(arguments, &upstream.url, &state.join("without"), SLOTS, &off, None).await?;
    let contender = |name, url: &str, call, program| Contender { name, caller: caller(url), call, _program: program };
    let mut contenders = vec![
        contender(DIRECT, &upstream.url, Call::DirectUrl, None),
        contender(OURS, &ours.url, Call::GenerateUrl, None),
        contender(WITHOUT_HISTORY, &without.url, Call::GenerateUrl, None),
    ];
    let mut missing = Vec::new();
    let mut other = |name, program: Option<Result<Program>>| match program {
        Some(Ok(program)) => {
            let url = program.url.clone();
            contenders.push(contender(name, &url, Call::GenerateUrl, Some(program)));
        }
        Some(Err(error)) => {
            eprintln!("{name}: {error:#}");
            missing.push(name);
        }
        None => missing.push(name),
    };
    let started = match &arguments.worker {
        Some(folder) => Some(worker::start(folder, &upstream.url).await),
        None => None,
    };
    other(WORKER, started);
    let started = match &arguments.hello {
        Some(component) => Some(hello::start(&arguments.host, component, &upstream.url, &state.join("bare")).await),
        None => None,
    };
    other(BARE, started);
    let started = match &arguments.litellm {
        Some(program) => Some(litellm::start(program, &upstream.url, &state.join("litellm")).await),
        None => None,
    };
    other(LITELLM, started);

    let mut section =
        Section::table(&["at once", "", "p50 ms", "p99 ms", "per second", "of the worker's", "p50 of the worker's"]);
    let names: Vec<&str> = contenders.iter().map(|contender| contender.name).collect();
    let (rounds, time) = arguments.or_quick((8, Duration::from_millis(800)), (2, Duration::from_millis(300)));
    for at_once in [1, 8, 32, 64] {
        let contest = Contest::hold(&mut contenders, at_once, rounds, time).await?;
        tell(&mut section, &contest, &names, at_once)?;
    }
    section.say(
        "All answer with a link. A ratio is the median of the rounds' ratios. The worker does what the component does \
         for a generation and nothing else (crates/bench/node/worker.js); miniflare serves it on workerd. The \
         bare component does as little, by Spin's SDK (crates/bench/hello), so it shows what this host leaves to any \
         component; it looks at no key. LiteLLM's \
         proxy speaks no Gradio: it passes `POST /v1/images/generations` on to an instant images API of OpenAI's form, \
         with a process for each processor, so its figures are those of a proxy for one request, where the others make \
         two to the Space.",
    );
    for name in missing {
        section.say(&format!("Left out, since it could not be set up here: {name}."));
    }
    Ok(section)
}

fn tell(section: &mut Section, contest: &Contest, names: &[&str], at_once: usize) -> Result<()> {
    let ours = contest.rounds(OURS).context("ours failed")?;
    for name in names {
        let Some(rounds) = contest.rounds(name) else {
            section.row(&[&at_once.to_string(), *name, "failed", "", "", "", ""]);
            continue;
        };
        let [p50, p99, per_second] = [
            median(rounds, |round| round.p50),
            median(rounds, |round| round.p99),
            median(rounds, |round| round.per_second),
        ];
        let throughput = contest.ratio(name, WORKER, |round| round.per_second);
        let time = contest.ratio(name, WORKER, |round| round.p50);
        let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "–".to_owned(), shown);
        section.row(&[
            &at_once.to_string(),
            *name,
            &shown(p50),
            &shown(p99),
            &shown(per_second),
            &ratio(throughput),
            &ratio(time),
        ]);
        let figures = &mut section.figures;
        let is_ours = [OURS, WITHOUT_HISTORY].contains(name);
        let lower = if is_ours { Figure::lower } else { Figure::others };
        let higher = if is_ours { Figure::higher } else { Figure::others };
        figures.push(lower(format!("{name}, {at_once} at once: p50"), p50, "ms"));
        figures.push(lower(format!("{name}, {at_once} at once: p99"), p99, "ms"));
        figures.push(higher(format!("{name}, {at_once} at once"), per_second, "/s"));
        if *name == OURS {
            let goal = OF_THE_WORKER.iter().find(|(of, _)| *of == at_once).map(|(_, goal)| *goal);
            figures.extend(throughput.map(|ratio| Figure {
                goal,
                ..Figure::higher(format!("{at_once} at once: throughput, of the worker's"), ratio, "")
            }));
            let goal = (at_once == 1).then_some(TIME_OF_THE_WORKER);
            figures.extend(time.map(|ratio| Figure {
                goal,
                ..Figure::lower(format!("{at_once} at once: p50, of the worker's"), ratio, "")
            }));
        }
    }
    if at_once == 1 {
        let direct = contest.rounds(DIRECT).context("the direct calls failed")?;
        let [p50, p99] = ADDED;
        let added = median(ours, |round| round.p50) - median(direct, |round| round.p50);
        section.figures.push(Figure::lower("1 at once: added to a direct call, p50", added, "ms").goal(p50));
        let added = median(ours, |round| round.p99) - median(direct, |round| round.p99);
        section.figures.push(Figure::lower("1 at once: added to a direct call, p99", added, "ms").goal(p99));
    }
    Ok(())
}
