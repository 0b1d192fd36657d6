//! Every fuzz target over its corpus and over every input that ever broke it.

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

/// How many seeds a corpus may have, and how many bytes a seed.
const MOST_SEEDS: usize = 40;
const MOST_BYTES: u64 = 16 * 1024;

fn files(directory: &str, target: &str) -> Vec<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(directory).join(target);
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn stems(directory: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(directory);
    let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let mut stems: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| stem(entry.unwrap().path())).collect();
    stems.sort();
    stems
}

#[test]
fn every_promise_holds_for_every_seed_and_every_input_that_once_broke_it() {
    for (name, target) in targets::TARGETS {
        let seeds = files("corpus", name);
        assert!(!seeds.is_empty() && seeds.len() <= MOST_SEEDS, "{name} has {} seeds", seeds.len());
        for path in seeds.into_iter().chain(files("regressions", name)) {
            let data = fs::read(&path).unwrap();
            assert!(data.len() as u64 <= MOST_BYTES, "{} is too large for a seed", path.display());
            // The last line before a panic names the input.
            println!("{}", path.display());
            target(&data);
        }
        target(b"");
    }
}

#[test]
fn every_target_has_a_binary_for_the_fuzzer_and_a_corpus_of_its_name() {
    let mut names: Vec<String> = targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    names.sort();
    assert_eq!(stems("fuzz_targets"), names);
    assert_eq!(stems("corpus"), names);
    let manifest = include_str!("../fuzz/Cargo.toml");
    for name in names {
        assert!(
            manifest.contains(&format!("name = \"{name}\"\n")),
            "{name} is no [[bin]] of the fuzz package"
        );
    }
}
