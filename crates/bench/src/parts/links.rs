//! Images by their links, beside nginx in front of the same Space.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::arguments::Arguments;
use crate::calls::{Call, Caller};
use crate::contenders::{Contender, Contest, nginx};
use crate::figures::{Figure, Section, shown};
use crate::host::{KEY, SLOTS, ServingHost};
use crate::process::memory;
use crate::stats::{Samples, median};
use crate::upstream::{Course, FILE, Upstream};

const OURS: &str = "z-image-2api";
const NGINX: &str = "nginx, `proxy_pass`";
const DIRECT: &str = "the Space itself";
/// Lengths of the files, in bytes.
const LENGTHS: [(&str, usize); 2] = [("200 KB", 200_000), ("2 MB", 2_000_000)];
const AT_ONCE: usize = 8;
/// Throughput that ours should have of nginx's.
const OF_NGINX: f64 = 0.8;
/// Milliseconds that ours may add to the time to the Space's first byte.
const FIRST_BYTE: f64 = 1.0;

/// Measures.
pub(crate) async fn measure(arguments: &Arguments, state: &Path) -> Result<Section> {
    let mut section =
        Section::table(&["file", "", "MB/s", "requests/s", "of nginx's", "time to the first byte, p50 ms", "p99 ms"]);
    let mut told = Vec::new();
    for (file, length) in LENGTHS {
        let grown = one_length(arguments, &state.join(length.to_string()), file, length, &mut section).await?;
        let [before, after] = grown;
        section.figures.push(Figure::lower(format!("{file}: memory that the host grows by"), after - before, "MB"));
        told.push(format!("With {file} the host has {} MB before and {} MB after.", shown(before), shown(after)));
    }
    section.say(&format!(
        "{AT_ONCE} downloads at once, and one after the other for the time to the first byte. nginx buffers as it does \
         by default, and keeps its connections to the Space."
    ));
    section.say(&told.join(" "));
    if arguments.nginx.is_none() {
        section.say("Left out, since it could not be set up here: nginx.");
    }
    Ok(section)
}

/// Measures files of one length. Returns the host's megabytes of memory after the first round of calls, and at the end.
async fn one_length(
    arguments: &Arguments,
    state: &Path,
    file: &str,
    length: usize,
    section: &mut Section,
) -> Result<[f64; 2]> {
    let upstream = Upstream::with(length, Course::Instant).await?;
    let ours = ServingHost::start(arguments, &upstream.url, &state.join("ours"), SLOTS, &[], None).await?;
    let path = format!("/gradio_api/file={FILE}");
    let caller = |file: String| Caller::new(&upstream.url, &ours.url, KEY).with_file(file, length);
    let contender =
        |name, file, program| Contender { name, caller: caller(file), call: Call::Download, _program: program };
    let link = caller(String::new()).link().await?;
    let mut contenders = vec![contender(OURS, link, None), contender(DIRECT, format!("{}{path}", upstream.url), None)];
    if let Some(program) = &arguments.nginx {
        match nginx::start(program, &upstream.url, &state.join("nginx")).await {
            Ok(program) => contenders.push(contender(NGINX, format!("{}{path}", program.url), Some(program))),
            Err(error) => eprintln!("{error:#}"),
        }
    }

    let megabytes = || Ok::<_, anyhow::Error>(memory(ours.process)? / 1e6);
    let (rounds, time) = arguments.or_quick((6, Duration::from_millis(800)), (2, Duration::from_millis(300)));
    Contest::hold(&mut contenders, AT_ONCE, 1, time).await?;
    let before = megabytes()?;
    let contest = Contest::hold(&mut contenders, AT_ONCE, rounds, time).await?;
    let after = megabytes()?;

    let mut firsts: Vec<(&str, Samples)> = contenders.iter().map(|one| (one.name, Samples::default())).collect();
    for _ in 0..arguments.or_quick(300, 60) {
        for (contender, (_, samples)) in contenders.iter().zip(&mut firsts) {
            samples.extend(vec![contender.caller.download().await?]);
        }
    }
    contest.rounds(OURS).context("ours failed")?;
    let first = |name: &str, part: f64| {
        firsts.iter().find(|(own, _)| *own == name).map_or(f64::NAN, |(_, samples)| samples.quantile(part))
    };
    for name in [OURS, NGINX, DIRECT] {
        let Some(rounds) = contest.rounds(name) else { continue };
        let per_second = median(rounds, |round| round.per_second);
        #[allow(clippy::cast_precision_loss, reason = "files are far below 2^52 bytes")]
        let throughput = per_second * length as f64 / 1e6;
        let ratio = contest.ratio(name, NGINX, |round| round.per_second);
        section.row(&[
            file,
            name,
            &shown(throughput),
            &shown(per_second),
            &ratio.map_or_else(|| "–".to_owned(), shown),
            &shown(first(name, 0.5)),
            &shown(first(name, 0.99)),
        ]);
        let figure = if name == OURS { Figure::higher } else { Figure::others };
        section.figures.push(figure(format!("{file}: {name}"), throughput, "MB/s"));
        if name == OURS {
            section.figures.extend(
                ratio.map(|ratio| Figure::higher(format!("{file}: throughput, of nginx's"), ratio, "").goal(OF_NGINX)),
            );
        }
    }
    let added = first(OURS, 0.5) - first(DIRECT, 0.5);
    section.figures.push(Figure::lower(format!("{file}: first byte, after the Space's"), added, "ms").goal(FIRST_BYTE));
    Ok([before, after])
}
