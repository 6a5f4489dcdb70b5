//! Properties of everything that reads what comes from outside, tried on inputs that chance makes of real ones.
//!
//! The properties and the targets' seeds are those of `cargo xtask fuzz`, which looks longer and sees the code. A
//! failure prints the input, and the seed that makes it again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;

use proptest::prelude::{Strategy, any};
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestCaseError, TestError, TestRunner};
use z_image_fuzz::chance::Chance;
use z_image_fuzz::{TARGETS, Target, mutate, target};

/// Seed of the inputs; another in the variable `PROPTEST_SEED`.
const SEED: u64 = 20_261_126;
/// Inputs of a target; another number in the variable `PROPTEST_CASES`.
const CASES: u32 = 5_000;

fn variable<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// An input: one of the target's seeds after some changes.
fn inputs(target: Target) -> impl Strategy<Value = Vec<u8>> {
    let seeds = [(target.seeds)(), kept(target.name)].concat();
    (any::<u64>(), 0..seeds.len(), 0..4_usize).prop_map(move |(seed, which, changes)| {
        let mut chance = Chance::new(seed);
        (0..changes).fold(seeds[which].clone(), |input, _| mutate::mutate(&input, &mut chance))
    })
}

/// Inputs that the fuzzer has found worth keeping.
fn kept(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn holds(name: &str) {
    let target = target(name).unwrap();
    for input in [(target.seeds)(), kept(name)].concat() {
        (target.check)(&input);
    }
    let seed = variable("PROPTEST_SEED", SEED);
    let config = Config {
        cases: variable("PROPTEST_CASES", CASES),
        rng_seed: RngSeed::Fixed(seed),
        rng_algorithm: RngAlgorithm::ChaCha,
        failure_persistence: None,
        ..Config::default()
    };
    let check = |input: Vec<u8>| {
        let checked = std::panic::catch_unwind(|| (target.check)(&input));
        checked.map_err(|_| TestCaseError::fail("the property doesn't hold"))
    };
    match TestRunner::new(config).run(&inputs(target), check) {
        Ok(()) => {}
        Err(TestError::Fail(why, input)) => {
            panic!("{name}: {why} (PROPTEST_SEED={seed}) of {:?}", String::from_utf8_lossy(&input))
        }
        Err(error) => panic!("{name}: {error} (PROPTEST_SEED={seed})"),
    }
}

macro_rules! properties {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            holds(stringify!($name));
        })*

        #[test]
        fn every_target_is_tried() {
            assert_eq!(TARGETS.map(|target| target.name).to_vec(), [$(stringify!($name)),*]);
        }
    };
}

properties! {
    decoder messages diffs config arguments results forms requests catalog
    links idempotency data_urls images json answers
}
