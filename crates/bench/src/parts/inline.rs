//! Images in base64: what a processor of the host writes of it.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::calls::{Call, Caller};
use crate::clock::now;
use crate::figures::{Figure, Section, shown};
use crate::host::{KEY, SLOTS, ServingHost};
use crate::process::cpu_seconds;
use crate::upstream::{Course, Upstream};

/// Length of the images, in bytes.
const LENGTH: u32 = 2_000_000;
const AT_ONCE: usize = 4;
/// Calls between two looks at the clock.
const CALLS: u32 = 16;
/// Megabytes of base64 for each second of a processor that the host should at least have.
const FOR_EACH_SECOND: f64 = 500.0;

/// Measures.
pub(crate) async fn measure(arguments: &Arguments, state: &Path) -> Result<Section> {
    let upstream = Upstream::with(usize::try_from(LENGTH)?, Course::Instant).await?;
    let host = ServingHost::start(arguments, &upstream.url, &state.join("host"), SLOTS, &[], None).await?;
    let caller = Caller::new(&upstream.url, &host.url, KEY);
    caller.many(Call::GenerateBase64, AT_ONCE, AT_ONCE * 2).await?;
    let time = arguments.or_quick(Duration::from_secs(6), Duration::from_secs(2));
    let (before, begun, mut images) = (cpu_seconds(host.process)?, now(), 0.0);
    while begun.elapsed() < time {
        caller.many(Call::GenerateBase64, AT_ONCE, usize::try_from(CALLS)?).await?;
        images += f64::from(CALLS);
    }
    let (spent, computed) = (begun.elapsed().as_secs_f64(), cpu_seconds(host.process)? - before);
    let megabytes = images * f64::from(LENGTH.div_ceil(3) * 4) / 1e6;
    let [of_a_processor, of_all] = [megabytes / computed, megabytes / spent];
    let mut section = Section::table(&["MB of base64 for each second of a processor", "MB/s in all", "images/s"]);
    section.row(&[of_a_processor, of_all, images / spent].map(shown));
    section.say(&format!(
        "Generations with `response_format: b64_json` and images of 2 MB, {AT_ONCE} at once. The host's seconds are \
         those of its process, the kernel's for it included: two copies over loopback, and the generation itself."
    ));
    section.figures = vec![
        Figure::higher("base64 for each second of a processor", of_a_processor, "MB").goal(FOR_EACH_SECOND),
        Figure::higher("base64 in all", of_all, "MB/s"),
    ];
    Ok(section)
}
