//! Runs the fuzz targets of tests/fuzz without instrumentation: each replays its corpus and then mutates it for a
//! while. Inputs with new behaviour are mutated further.
//!
//! `ORRERY_FUZZ_SECONDS` sets the time for each target (2), `ORRERY_FUZZ_SEED` the random seed (1). A failing input is
//! written to the folder of temporary files; put it into tests/fuzz/corpus when the error is fixed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod mutate;
#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use self::mutate::Mutator;
use self::targets::{TARGETS, Target};
use crate::harness::operator::repository;

/// The time limit for one input.
const MOST_TIME: Duration = Duration::from_secs(20);
/// How many inputs that behaved in a new way are kept.
const MOST_KEPT: usize = 2_000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Runs a target, and returns what became of the input.
fn run((name, target): Target, input: &[u8], seed: u64) -> String {
    let begun = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
    let slow = begun.elapsed() > MOST_TIME;
    match outcome {
        Ok(summary) if !slow => summary,
        _ => {
            let file = std::env::temp_dir().join(format!("orrery-fuzz-{name}-{}", std::process::id()));
            std::fs::write(&file, input).unwrap();
            let how = if slow { "takes too long" } else { "fails" };
            let shown = input[..input.len().min(500)].escape_ascii();
            panic!("the target {name} {how} (seed {seed}) on {}, which begins with b\"{shown}\"", file.display());
        }
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = repository("tests/fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let inputs: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    inputs
}

/// Replays the corpus of a target and mutates it.
fn fuzz(name: &str) {
    let target = *TARGETS.iter().find(|(target, _)| *target == name).unwrap();
    let seed = setting("ORRERY_FUZZ_SEED", 1);
    let time = Duration::from_secs(setting("ORRERY_FUZZ_SECONDS", 2));
    let mut kept = corpus(name);
    let mut outcomes: HashSet<String> = kept.iter().map(|input| run(target, input, seed)).collect();
    let (mut mutator, mut runs) = (Mutator::new(seed), 0_u64);
    let begun = Instant::now();
    while begun.elapsed() < time {
        let input = mutator.mutate(&kept);
        runs += 1;
        if outcomes.insert(run(target, &input, seed)) && kept.len() < MOST_KEPT {
            kept.push(input);
        }
    }
    println!("{name}: {runs} runs, {} outcomes, {} inputs kept, seed {seed}", outcomes.len(), kept.len());
    assert!(runs > 0 || time.is_zero());
}

macro_rules! tests {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                fuzz(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_run_here_and_by_cargo_fuzz() {
            let here = [$(stringify!($name)),*];
            assert_eq!(TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), here);
            let manifest = std::fs::read_to_string(repository("tests/fuzz/Cargo.toml")).unwrap();
            for name in here {
                let file = format!("fuzz_targets/{name}.rs");
                assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"{file}\"")), "{name}");
                let text = std::fs::read_to_string(repository("tests/fuzz").join(Path::new(&file))).unwrap();
                assert!(text.contains(&format!("orrery_fuzz::run(\"{name}\", bytes)")), "{name}");
            }
        }
    };
}

tests! {
    product product_metric order write_request jsonb page_token label_selector field_mask decimal timestamp mapping csv jsonl migration
}
