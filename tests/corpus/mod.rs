//! Everything that fuzzing has ever found, once more: the seeds of `fuzz/corpus`
//! through the very functions that the fuzz targets call.

use std::{
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use opgraph::fuzzing::TARGETS;

/// Seeds are there to be read by people and to be checked in.
const LARGEST: u64 = 4 * 1024;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn no_seed_that_fuzzing_kept_breaks_a_promise_or_takes_long() {
    let mut broken = Vec::new();
    for (target, check) in TARGETS {
        let dir = folder().join(target);
        for name in names(&dir) {
            let seed = fs::read(dir.join(&name)).unwrap();
            let begun = Instant::now();
            let held = catch_unwind(|| check(&seed)).is_ok();
            // A few kilobytes take milliseconds; what grows with the square of them takes seconds.
            if !held || begun.elapsed() > Duration::from_secs(10) {
                broken.push(format!("{target}/{name} ({:?})", begun.elapsed()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Bends a seed as a fuzzer would: bytes replaced, removed, repeated, or taken from another seed.
fn bent(seed: &[u8], other: &[u8], dice: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..dice.usize(1..4) {
        let at = dice.usize(0..=bytes.len());
        let end = (at + dice.usize(0..12)).min(bytes.len());
        match dice.u8(0..5) {
            0 if at < end => bytes[at] = dice.choice(*b"\"\\{}[]:,0-9.e\n\0 x").unwrap_or(b'0'),
            1 if at < end => bytes[at] = dice.u8(..),
            2 => drop(bytes.drain(at..end)),
            3 => bytes.splice(at..at, bytes[at..end].repeat(dice.usize(1..200))).for_each(drop),
            _ => {
                let from = dice.usize(0..=other.len());
                bytes.splice(at..end, other[from..].iter().copied().take(20)).for_each(drop);
            }
        }
    }
    bytes
}

#[test]
fn no_bent_seed_breaks_a_promise() {
    let tries: usize = std::env::var("OPGRAPH_BENT_SEEDS").map_or(40, |tries| tries.parse().unwrap());
    let mut broken = Vec::new();
    for (target, check) in TARGETS {
        let dir = folder().join(target);
        let seeds: Vec<_> = names(&dir).into_iter().map(|name| fs::read(dir.join(name)).unwrap()).collect();
        let mut dice = fastrand::Rng::with_seed(1);
        let bents = seeds.iter().cycle().take(seeds.len() * tries);
        let bents = bents.map(|seed| bent(seed, &seeds[dice.usize(..seeds.len())], &mut dice));
        // One a target is enough to begin with.
        broken.extend(
            bents
                .into_iter()
                .find(|bytes| catch_unwind(|| check(bytes)).is_err())
                .map(|bytes| format!("keep it in fuzz/corpus/{target}: \"{}\"", bytes.escape_ascii())),
        );
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_target_has_its_seeds_its_program_and_its_place_in_the_manifest() {
    let targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    let mut sorted = targets.clone();
    sorted.sort_unstable();
    assert_eq!(names(&folder()), sorted);
    let fuzz = folder().parent().unwrap().to_owned();
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for name in &targets {
        let program = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("opgraph::fuzzing::{name}(data)")), "{name} checks itself");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
        assert!(names(&folder().join(name)).len() >= 3, "{name} has seeds");
    }
}

#[test]
fn the_corpus_stays_small() {
    let files = TARGETS.iter().flat_map(|(target, _)| {
        let dir = folder().join(target);
        names(&dir).into_iter().map(move |name| dir.join(name))
    });
    let sizes: Vec<u64> = files.map(|file| fs::metadata(file).unwrap().len()).collect();
    assert!(sizes.len() < 300 && sizes.iter().sum::<u64>() < 300 * 1024, "minimise it: fuzz/README.md");
    assert!(sizes.iter().all(|size| *size <= LARGEST), "minimise it: fuzz/README.md");
}
