//! `cargo xtask fuzz`: libFuzzer looks for inputs that break a property of what reads from outside.
//!
//! The properties are in `fuzz/`. They are built with LLVM's coverage by flags that a stable compiler takes; a
//! sanitizer would need a nightly one, and has nothing to find, as there is no unsafe code here. What libFuzzer finds
//! worth keeping is in `target/fuzz/corpus`; `--keep` puts the least part of it that covers as much into `fuzz/corpus`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::shell::{cargo, root, run, run_quietly, say, target};

/// The instrumentation that libFuzzer works with.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Coverflow-checks -Cdebuginfo=1 \
    -Ccodegen-units=4";
/// Debug assertions of all but one library, whose assertion that it is given no capital doesn't hold of its callers.
const ASSERTIONS: [&str; 4] = [
    "--config",
    "profile.release.debug-assertions=true",
    "--config",
    "profile.release.package.idna_adapter.debug-assertions=false",
];
/// Bounds of a run: seconds and megabytes of an input, and bytes of one.
const BOUNDS: [&str; 4] = ["-timeout=10", "-rss_limit_mb=2048", "-malloc_limit_mb=512", "-max_len=16384"];

/// Length of an input that is kept at most, in bytes.
const LONGEST: usize = 1024;
/// Number of inputs of a target that are kept at most.
const MOST: usize = 40;

/// Options of `cargo xtask fuzz`.
#[derive(Args, Debug)]
pub(crate) struct FuzzOptions {
    /// Targets; all, where none is named.
    targets: Vec<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 600)]
    seconds: u32,
    /// Writes the least inputs that cover as much into fuzz/corpus.
    #[arg(long)]
    keep: bool,
    /// Tries each kept input once, and looks for no others.
    #[arg(long)]
    replay: bool,
}

/// Builds, and looks for inputs that break a property; the first that does ends it.
pub(crate) fn fuzz(options: &FuzzOptions) -> Result<()> {
    let program = build()?;
    let all = names()?;
    for name in &options.targets {
        ensure!(all.contains(name), "there is no target {name}; there are {}", all.join(", "));
    }
    for name in all.iter().filter(|name| options.targets.is_empty() || options.targets.contains(name)) {
        let corpus = Corpus::of(name)?;
        seed(&program, name, &corpus)?;
        look(&program, name, &corpus, options)?;
        if options.keep {
            keep(&program, name, &corpus)?;
        }
    }
    Ok(())
}

/// Folders of a target's inputs.
struct Corpus {
    /// Those that are kept with the code.
    kept: PathBuf,
    /// Those that real servers have said, or people have written.
    seeds: PathBuf,
    /// Those that were found here.
    found: PathBuf,
    /// Those that break the property.
    broken: PathBuf,
}

impl Corpus {
    fn of(name: &str) -> Result<Self> {
        let place = target().join("fuzz");
        let corpus = Self {
            kept: root().join("fuzz/corpus").join(name),
            seeds: place.join("seeds").join(name),
            found: place.join("corpus").join(name),
            broken: place.join("broken").join(name),
        };
        for folder in [&corpus.kept, &corpus.seeds, &corpus.found, &corpus.broken] {
            fs::create_dir_all(folder)?;
        }
        Ok(corpus)
    }
}

/// Builds the properties with libFuzzer, beside everything else that is built.
fn build() -> Result<PathBuf> {
    say("building the properties with libFuzzer");
    let host = host()?;
    let mut build = cargo(&["build", "--release", "--locked", "--package", "z-image-fuzz", "--target", &host]);
    build.args(ASSERTIONS);
    let place = target().join("fuzz");
    run(build.env("CARGO_TARGET_DIR", &place).env("RUSTFLAGS", FLAGS).env("CARGO_PROFILE_RELEASE_STRIP", "none"))?;
    Ok(place.join(host).join("release/fuzz"))
}

/// This machine's target: where one is named, build scripts are built without the flags.
fn host() -> Result<String> {
    let version = run_quietly(Command::new("rustc").arg("-vV").current_dir(root()))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc doesn't say for what it builds")?.to_owned())
}

/// Names of all targets, as `fuzz/src/lib.rs` lists them.
fn names() -> Result<Vec<String>> {
    let source = fs::read_to_string(root().join("fuzz/src/lib.rs"))?;
    let names = source.split("Target { name: \"").skip(1).filter_map(|rest| rest.split('"').next());
    Ok(names.map(str::to_owned).collect())
}

/// Writes the target's seeds.
fn seed(program: &Path, name: &str, corpus: &Corpus) -> Result<()> {
    let mut write = Command::new(program);
    run_quietly(write.env("FUZZ_TARGET", name).env("FUZZ_SEEDS", &corpus.seeds)).map(drop)
}

/// Runs libFuzzer on the target.
fn look(program: &Path, name: &str, corpus: &Corpus, options: &FuzzOptions) -> Result<()> {
    let log = corpus.broken.with_extension("log");
    let before = files(&corpus.broken)?;
    let mut look = Command::new(program);
    look.env("FUZZ_TARGET", name).current_dir(&corpus.broken).args(BOUNDS).arg("-print_final_stats=1");
    look.arg(format!("-artifact_prefix={}/", corpus.broken.display()));
    look.arg(if options.replay { "-runs=0".to_owned() } else { format!("-max_total_time={}", options.seconds) });
    look.args([&corpus.found, &corpus.seeds, &corpus.kept]).stderr(fs::File::create(&log)?);
    let status = look.status().context("libFuzzer can't be run")?;
    let printed = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let figure = |name: &str| {
        let figure = printed.lines().find_map(|line| line.strip_prefix(name));
        figure.map_or("?", |rest| rest.trim_start_matches(':').trim()).to_owned()
    };
    let runs = figure("stat::number_of_executed_units");
    let covered = printed.lines().rev().find_map(|line| line.split("cov: ").nth(1)?.split(' ').next());
    say(&format!("{name}: {runs} inputs, {} places covered", covered.unwrap_or("?")));
    if status.success() {
        return Ok(());
    }
    let new = files(&corpus.broken)?.into_iter().find(|file| !before.contains(file));
    let Some(input) = new else { bail!("libFuzzer failed: {status}; see {}", log.display()) };
    bail!(
        "{name} doesn't hold; libFuzzer's words are in {}. Run it again by\n    cargo run -p z-image-fuzz -- {name} {}",
        log.display(),
        input.display()
    )
}

/// Merges what was found into what is kept.
fn keep(program: &Path, name: &str, corpus: &Corpus) -> Result<()> {
    let least = corpus.found.with_extension("least");
    if least.exists() {
        fs::remove_dir_all(&least)?;
    }
    fs::create_dir_all(&least)?;
    let mut merge = Command::new(program);
    merge.env("FUZZ_TARGET", name).args(BOUNDS).arg("-merge=1").arg(&least);
    run_quietly(merge.args([&corpus.seeds, &corpus.kept, &corpus.found]))?;
    let seeds: Vec<Vec<u8>> = files(&corpus.seeds)?.iter().map(fs::read).collect::<Result<_, _>>()?;
    fs::remove_dir_all(&corpus.kept)?;
    fs::create_dir_all(&corpus.kept)?;
    // Seeds need not be kept twice, nor what is longer than it is worth; of the rest some of every length.
    let mut inputs: Vec<(Vec<u8>, PathBuf)> =
        files(&least)?.into_iter().map(|file| Ok((fs::read(&file)?, file))).collect::<Result<_>>()?;
    inputs.retain(|(input, _)| input.len() <= LONGEST && !seeds.contains(input));
    inputs.sort_by_key(|(input, _)| input.len());
    for (input, file) in inputs.iter().step_by(inputs.len().div_ceil(MOST).max(1)) {
        fs::write(corpus.kept.join(file.file_name().unwrap_or_default()), input)?;
    }
    say(&format!("{name}: {} inputs are kept", files(&corpus.kept)?.len()));
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    Ok(files)
}
