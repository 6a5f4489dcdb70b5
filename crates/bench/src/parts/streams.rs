//! Streams that wait for their turn, and events of progress.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::calls::{Begun, Call, Caller};
use crate::figures::{Figure, Section, shown};
use crate::host::{KEY, SLOTS, ServingHost};
use crate::process::{cpu_seconds, memory};
use crate::stats::Samples;
use crate::upstream::{Course, IMAGE_LENGTH, Upstream};

/// Streams that wait.
const WAITING: u32 = 1000;
/// Slots of the Space that they wait for.
const FEW: usize = 2;
/// Kilobytes of the host's memory that a waiting stream should take at most.
const MEMORY: f64 = 64.0;
/// Milliseconds to the first event, at most.
const FIRST: f64 = 5.0;
/// Microseconds of a processor for each event of progress, at most.
const EVENT: f64 = 20.0;
/// Time in which what was begun comes to rest.
const REST: Duration = Duration::from_secs(2);

/// Measures.
pub(crate) async fn measure(arguments: &Arguments, state: &Path) -> Result<Section> {
    let mut section = Section::table(&["", "", "measured"]);
    waiting(arguments, &state.join("waiting"), &mut section).await?;
    progress(arguments, &state.join("progress"), &mut section).await?;
    section.say(&format!(
        "Streamed chats. {WAITING} of them wait for a Space with {FEW} slots whose jobs never end, begun one after the \
         other; memory is that of the host's process with all of its instances (Pss: shared pages count once), \
         less what it had before. An event of progress is one that the Space sends, on its way to the client."
    ));
    Ok(section)
}

async fn waiting(arguments: &Arguments, state: &Path, section: &mut Section) -> Result<()> {
    let upstream = Upstream::with(IMAGE_LENGTH, Course::Endless).await?;
    let variables = [format!("max_waiting={}", WAITING * 2)];
    let host = ServingHost::start(arguments, &upstream.url, state, FEW, &variables, None).await?;
    let caller = Caller::new(&upstream.url, &host.url, KEY);
    caller.many(Call::Models, 1, 1).await?;
    let before = memory(host.process)?;
    let mut streams: Vec<Begun> = Vec::new();
    for _ in 0..WAITING {
        streams.push(caller.begin_stream().await?);
    }
    tokio::time::sleep(REST).await;
    let grown = (memory(host.process)? - before) / f64::from(WAITING) / 1000.0;
    let mut first = Samples::default();
    first.extend(streams.iter().map(|stream| stream.first).collect());
    let (p50, p99) = (first.quantile(0.5), first.quantile(0.99));
    section.row(&["memory of a waiting stream", "KB", &shown(grown)]);
    section.row(&["time to its first event, p50", "ms", &shown(p50)]);
    section.row(&["p99", "ms", &shown(p99)]);
    section.figures.extend([
        Figure::lower("memory of a waiting stream", grown, "KB").goal(MEMORY),
        Figure::lower("time to the first event, p50", p50, "ms").goal(FIRST),
        Figure::lower("time to the first event, p99", p99, "ms"),
    ]);
    Ok(())
}

async fn progress(arguments: &Arguments, state: &Path, section: &mut Section) -> Result<()> {
    let (steps, streams) = arguments.or_quick((2000_u32, 16_u32), (500, 8));
    let upstream = Upstream::with(IMAGE_LENGTH, Course::Steps(usize::try_from(steps)?)).await?;
    let host = ServingHost::start(arguments, &upstream.url, state, SLOTS, &[], None).await?;
    let caller = Caller::new(&upstream.url, &host.url, KEY);
    caller.many(Call::Stream, 1, 1).await?;
    let before = cpu_seconds(host.process)?;
    let streams_count = usize::try_from(streams)?;
    caller.many(Call::Stream, streams_count, streams_count).await?;
    let each = (cpu_seconds(host.process)? - before) / f64::from(steps * streams) * 1e6;
    section.row(&["processor's time for an event of progress", "µs", &shown(each)]);
    section.figures.push(Figure::lower("processor's time for an event of progress", each, "µs").goal(EVENT));
    Ok(())
}
