//! Power cuts, failing disks, and clocks that jump: the real binary, on a disk
//! and a clock that are not what they should be.
//!
//! `cut.c` stands between the program and its disk and writes down every change
//! in order (`journal.rs`). From that `disk.rs` computes what a disk may hold
//! after the power failed at any place in between, and the tests go on from
//! there. The ordinary tests try a part of the places, chosen by a seed; with
//! `OPGRAPH_EVERY_CUT=1` in the environment they try all (some minutes).

mod disk;

mod journal;

mod scene;

mod state;

mod cuts;

mod failing;

mod clock;

mod suspended;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::TempDir;

/// Whether every place is tried, not only some.
fn thorough() -> bool {
    std::env::var_os("OPGRAPH_EVERY_CUT").is_some()
}

/// The library, built once; `None` where it cannot be, which is said on standard error.
fn library() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<(TempDir, PathBuf)>> = OnceLock::new();
    BUILT.get_or_init(build).as_ref().map(|(_, library)| library.as_path())
}

#[expect(clippy::print_stderr, reason = "a test that was skipped has to say so")]
fn build() -> Option<(TempDir, PathBuf)> {
    if cfg!(not(all(target_os = "linux", target_env = "gnu"))) {
        eprintln!("skipped: power cuts are simulated with glibc on Linux only");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("cut.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power/cut.c");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&library).arg(source);
    let Ok(built) = cc.args(["-ldl", "-lpthread"]).output() else {
        eprintln!("skipped: there is no C compiler `cc` to build the library that cuts the power with");
        return None;
    };
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some((dir, library))
}

/// What the library does to a process.
#[derive(Clone, Debug, Default)]
struct Orders {
    /// The call at which the power fails.
    cut_at: Option<usize>,
    failure: Option<Failure>,
}

/// Calls that fail.
#[derive(Clone, Copy, Debug)]
struct Failure {
    /// The first call that may.
    at: usize,
    error: Error,
    /// Only one call fails.
    once: bool,
    /// Only syncs fail.
    syncs: bool,
    /// Only files whose path in the folder starts so.
    within: &'static str,
}

/// The error numbers, which are the same on every Linux that Rust runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Error {
    Io = 5,
    NoSpace = 28,
}

/// Puts the library below a command: changes in `root` go to `journal`.
fn watch(command: &mut Command, library: &Path, root: &Path, journal: &Path, orders: &Orders) {
    command.env("LD_PRELOAD", library).env("POWER_ROOT", root).env("POWER_JOURNAL", journal);
    if let Some(at) = orders.cut_at {
        command.env("POWER_CUT_AT", at.to_string());
    }
    if let Some(failure) = orders.failure {
        command.env("POWER_FAIL_AT", failure.at.to_string());
        command.env("POWER_FAIL", (failure.error as i32).to_string());
        command.env("POWER_FAIL_IN", failure.within);
        for (set, name) in [(failure.once, "POWER_FAIL_ONCE"), (failure.syncs, "POWER_FAIL_SYNCS")] {
            if set {
                command.env(name, "1");
            }
        }
    }
}
