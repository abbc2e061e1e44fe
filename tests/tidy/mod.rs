//! Style is a test: what a reviewer would otherwise have to say twice.

mod deploy;

mod docs;

use std::{
    fs,
    path::{Path, PathBuf},
};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the workspace, with its text.
pub(crate) fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        for entry in entries.map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    for dir in ["src", "state/src", "simulator/src", "tests", "benches", "simulator/tests", "state/tests"] {
        walk(&root().join(dir), &mut found);
    }
    for dir in ["examples", "fuzz/fuzz_targets"] {
        walk(&root().join(dir), &mut found);
    }
    assert!(found.len() > 50, "the walk finds the sources");
    found
}

/// The part of a file before its tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

fn is_product(path: &Path) -> bool {
    let path = path.strip_prefix(root()).unwrap();
    !path.starts_with("tests")
        && !path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "contract")
        && path.file_name().is_some_and(|name| name != "tests.rs")
}

#[test]
fn every_file_says_first_what_it_is() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{} does not open with `//!`", path.display());
    }
}

#[test]
fn no_file_is_longer_than_one_thought() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > 450)
        .collect();
    assert!(long.is_empty(), "aim for 400 lines: {long:#?}");
}

#[test]
fn nothing_is_named_by_a_word_that_means_nothing() {
    const BANNED: &[&str] = &[
        "bookmark",
        "watermark",
        "payload",
        "handler",
        "manager",
        "helper",
        "util",
        "common",
        "misc",
        "exactlyonce",
        "exactly_once",
    ];
    let kinds = ["struct ", "enum ", "trait ", "fn ", "mod ", "type ", "const ", "static "];
    for (path, text) in sources() {
        let stem = path.file_stem().unwrap().to_string_lossy().to_lowercase();
        assert!(!BANNED.contains(&stem.as_str()), "{} is no name for a file", path.display());
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start().trim_start_matches("pub ").trim_start_matches("async ");
            let Some(rest) = kinds.iter().find_map(|kind| line.strip_prefix(kind)) else { continue };
            let name: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect::<String>()
                .to_lowercase();
            for word in BANNED {
                assert!(!name.contains(word), "{}:{}: `{name}` holds `{word}`", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn no_promise_is_made_that_cannot_be_kept() {
    let docs =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name));
    for path in docs {
        let text = fs::read_to_string(&path).unwrap().to_lowercase();
        assert!(
            !text.contains("exactly-once") && !text.contains("exactly once delivery"),
            "{}",
            path.display()
        );
    }
}

#[test]
fn the_product_neither_unwraps_nor_leaves_anything_for_later() {
    for (path, text) in sources().into_iter().filter(|(path, _)| is_product(path)) {
        for (number, line) in product(&text).lines().enumerate() {
            let code = line.split("//").next().unwrap();
            for banned in [".unwrap()", "todo!(", "unimplemented!(", "dbg!(", "unbounded_channel"] {
                // In a constant, a failure to unwrap is a failure to compile.
                let constant = code.contains("NonZeroU32::new(");
                assert!(constant || !code.contains(banned), "{}:{}: `{banned}`", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn http_knows_neither_of_the_two_apis() {
    for (path, text) in sources() {
        if path.starts_with(root().join("src/http")) {
            let code = product(&text);
            for other in ["crate::sink", "crate::source", "crate::stream", "crate::pipeline"] {
                assert!(!code.contains(other), "{} uses {other}", path.display());
            }
        }
    }
}

#[test]
fn only_sinks_make_acks_and_only_commit_takes_them() {
    for (path, text) in sources().into_iter().filter(|(path, _)| is_product(path)) {
        let inside = path.starts_with(root().join("src/sink"));
        assert!(inside || !text.contains("Ack::durable"), "{} makes an Ack", path.display());
        let commit = path.ends_with("src/pipeline/commit.rs");
        assert!(commit || !text.contains(".into_commit("), "{} turns an Ack into a commit", path.display());
    }
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let invariants = text.split("## Invariants").nth(1).expect("ARCHITECTURE.md lists the invariants");
    let sources = sources();
    let mut named = 0;
    for name in invariants.split('`').skip(1).step_by(2) {
        let Some(name) = name.strip_prefix("test ") else { continue };
        let function = format!("fn {name}(");
        assert!(sources.iter().any(|(_, text)| text.contains(&function)), "no test is called `{name}`");
        named += 1;
    }
    assert!(named >= 8, "each of the eight invariants names its test");
}

#[test]
fn every_dependency_has_its_reason_in_decisions() {
    let decisions = fs::read_to_string(root().join("docs/DECISIONS.md")).unwrap();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = manifest.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    for line in table.lines().filter(|line| line.contains('=')) {
        let name = line.split('=').next().unwrap().trim();
        if !name.starts_with("opgraph") {
            assert!(decisions.contains(&format!("`{name}`")), "docs/DECISIONS.md does not say why `{name}`");
        }
    }
}

#[test]
fn the_product_stands_on_its_own() {
    fn check(path: &Path, text: &str) {
        for foreign in [concat!("../", "shared"), concat!("/wo", "rk/")] {
            assert!(!text.contains(foreign), "{} mentions {foreign}", path.display());
        }
    }
    for (path, text) in sources() {
        check(&path, &text);
    }
    for name in
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "Cargo.toml", ".ci/run", "docs/DECISIONS.md"]
    {
        let path = root().join(name);
        check(&path, &fs::read_to_string(&path).unwrap());
    }
}
