//! The program around the properties.
//!
//! Built with libFuzzer (`cargo xtask fuzz`), it looks for inputs that break the property that `FUZZ_TARGET` names, or
//! writes its seeds into the folder `FUZZ_SEEDS`. Built as any other program, it runs a property on files:
//! `cargo run -p z-image-fuzz -- TARGET FILE…`.
#![cfg_attr(fuzzing, no_main)]
#![allow(clippy::disallowed_methods, reason = "a program for those who develop")]

#[cfg(fuzzing)]
mod engine {
    use std::sync::OnceLock;

    use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
    use z_image_fuzz::{Target, chance::Chance, mutate, target};

    static TARGET: OnceLock<Target> = OnceLock::new();

    fn begin() {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        let target = target(&name).expect("FUZZ_TARGET names a target");
        if let Ok(folder) = std::env::var("FUZZ_SEEDS") {
            for (number, seed) in (target.seeds)().into_iter().enumerate() {
                let path = format!("{folder}/seed-{number}");
                std::fs::write(&path, seed).unwrap_or_else(|error| panic!("{path}: {error}"));
            }
            std::process::exit(0);
        }
        let _ = TARGET.set(target);
    }

    fuzz_target!(init: begin(), |data: &[u8]| {
        if let Some(target) = TARGET.get() {
            (target.check)(data);
        }
    });

    fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
        let mut chance = Chance::new(u64::from(seed));
        if chance.below(3) == 0
            && let Some(changed) = data.get(..size).map(|old| mutate::mutate(old, &mut chance))
            && let Some(place) = data.get_mut(..changed.len().min(max_size))
        {
            place.copy_from_slice(&changed[..place.len()]);
            return place.len();
        }
        fuzzer_mutate(data, size, max_size)
    });
}

#[cfg(not(fuzzing))]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let Some(target) = z_image_fuzz::target(&name) else {
        let names = z_image_fuzz::TARGETS.map(|target| target.name).join(", ");
        panic!("the first argument names a target: {names}; the others are files");
    };
    for path in arguments {
        let data = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        (target.check)(&data);
        println!("{name} holds for {path}");
    }
}
