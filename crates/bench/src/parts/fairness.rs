//! Times of generations where far more wait than a Space has slots.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::calls::{Call, Caller};
use crate::figures::{Figure, Section, shown};
use crate::host::{KEY, ServingHost};
use crate::stats::median;
use crate::upstream::Upstream;

const SLOTS: usize = 2;
const AT_ONCE: usize = 64;
/// Most that the 99th percentile should be of the median.
const SPREAD: f64 = 3.0;

/// Measures.
pub(crate) async fn measure(arguments: &Arguments, state: &Path) -> Result<Section> {
    let upstream = Upstream::start().await?;
    let host = ServingHost::start(arguments, &upstream.url, &state.join("host"), SLOTS, &[], None).await?;
    let caller = Caller::new(&upstream.url, &host.url, KEY);
    caller.many(Call::GenerateUrl, AT_ONCE, AT_ONCE * 2).await?;
    let (count, time) = arguments.or_quick((4, Duration::from_secs(3)), (2, Duration::from_secs(1)));
    let mut rounds = Vec::new();
    for _ in 0..count {
        rounds.push(caller.for_time(Call::GenerateUrl, AT_ONCE, time).await?);
    }
    let [p50, p99, per_second, spread] = [
        median(&rounds, |round| round.p50),
        median(&rounds, |round| round.p99),
        median(&rounds, |round| round.per_second),
        median(&rounds, |round| round.p99 / round.p50),
    ];
    let mut section = Section::table(&["p50 ms", "p99 ms", "p99 / p50", "per second"]);
    section.row(&[p50, p99, spread, per_second].map(shown));
    section.say(&format!("{AT_ONCE} generations at once by a Space with {SLOTS} slots, all of one key."));
    section.figures = vec![
        Figure::lower("p50", p50, "ms"),
        Figure::lower("p99", p99, "ms"),
        Figure::lower("p99, of p50", spread, "").goal(SPREAD),
        Figure::higher("generations", per_second, "/s"),
    ];
    Ok(section)
}
