//! What the documents name exists: every link, command, flag and key.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::{Command, CommandFactory, Parser};
use opgraph::cli::args::Cli;

use super::root;

/// Every document of people's, with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut paths: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(PathBuf::from).into();
    paths.extend(["state/README.md", "simulator/README.md", "fuzz/README.md"].map(PathBuf::from));
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| Path::new("docs").join(entry.unwrap().file_name()));
    paths.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    let read = |path: PathBuf| fs::read_to_string(root().join(&path)).ok().map(|text| (path, text));
    let found: Vec<_> = paths.into_iter().filter_map(read).collect();
    assert!(found.len() > 12, "the documents are found");
    found
}

/// The lines outside of fenced blocks, and those within blocks of this language.
fn split<'t>(text: &'t str, language: &str) -> (Vec<&'t str>, Vec<&'t str>) {
    let (mut prose, mut blocks, mut fence) = (Vec::new(), Vec::new(), None);
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), fence) {
            (Some(of), None) => fence = Some(of.trim()),
            (Some(_), Some(_)) => fence = None,
            (None, None) => prose.push(line),
            (None, Some(of)) if of == language => blocks.push(line),
            (None, Some(_)) => {}
        }
    }
    (prose, blocks)
}

/// What stands between backticks.
fn code(prose: &[&str]) -> Vec<String> {
    prose.join("\n").split('`').skip(1).step_by(2).map(|code| code.replace('\n', " ")).collect()
}

/// A heading as links name it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    kept.collect::<String>().replace(' ', "-")
}

#[test]
fn every_link_leads_somewhere() {
    let mut followed = 0;
    for (path, text) in documents() {
        let (prose, _) = split(&text, "");
        for link in prose.iter().flat_map(|line| line.split("](").skip(1)) {
            let link = link.split(')').next().unwrap();
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let whole = root().join(&path);
            let target = if file.is_empty() { whole } else { whole.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: `{link}` leads nowhere", path.display());
            if !place.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let found =
                    split(&text, "").0.iter().any(|line| line.starts_with('#') && anchor(line) == place);
                assert!(found, "{}: `{link}`: no such heading", path.display());
            }
            followed += 1;
        }
    }
    assert!(followed > 40, "{followed} links");
}

/// Every long flag of the command and of those below it.
fn flags(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(|arg| arg.get_long()).map(|flag| format!("--{flag}"));
    own.chain(command.get_subcommands().flat_map(flags))
        .chain(["--help", "--version"].map(str::to_owned))
        .collect()
}

/// Finds what of a mentioned command line does not exist: `opgraph cursors rewind --by`.
fn unknown(line: &str, whole: &Command) -> Option<String> {
    let mut command = whole;
    for word in line.split_whitespace().skip(1) {
        if let Some(flag) = word.strip_prefix("--") {
            let flag = format!("--{}", flag.split('=').next().unwrap());
            if !flags(command).contains(&flag) && !flags(whole).contains(&flag) {
                return Some(flag);
            }
        } else if let Some(below) = command.find_subcommand(word) {
            command = below;
        } else if command.has_subcommands() && word.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Some(word.to_owned());
        }
    }
    None
}

#[test]
fn every_command_and_flag_that_is_mentioned_exists() {
    let mut whole = Cli::command();
    whole.build();
    let all = flags(&whole);
    let mut mentioned = 0;
    for (path, text) in documents() {
        for code in code(&split(&text, "").0) {
            let wrong = match code.split_whitespace().next() {
                Some("opgraph") => unknown(&code, &whole),
                // A flag alone is one of ours, but where others are measured.
                Some(flag) if flag.len() > 2 && flag.starts_with("--") && !path.ends_with("PERFORMANCE.md") => {
                    let flag = flag.split('=').next().unwrap();
                    (!all.contains(flag)).then(|| flag.to_owned())
                }
                _ => continue,
            };
            assert!(wrong.is_none(), "{}: `{code}`: there is no {wrong:?}", path.display());
            mentioned += 1;
        }
    }
    assert!(mentioned > 25, "{mentioned} mentioned");
}

/// The command lines of shell blocks, continued lines joined, comments and what follows a pipe left out.
fn lines(blocks: &[&str]) -> Vec<String> {
    let text = blocks.join("\n").replace("\\\n", " ");
    let line = |line: &str| {
        let line = line.split(" #").next().unwrap_or_default();
        line.split([';', '|', '>']).next().unwrap_or_default().trim().to_owned()
    };
    text.lines().filter(|line| !line.trim_start().starts_with('#')).map(line).collect()
}

#[test]
fn every_command_that_is_shown_can_be_typed() {
    let mut typed = 0;
    for (path, text) in documents() {
        for line in lines(&split(&text, "sh").1) {
            let line = line.replace("cargo run --release -- ", "opgraph ");
            let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_matches('"')).collect();
            let Some(at) = words.iter().position(|word| *word == "opgraph") else { continue };
            // Before it: variables, or `sudo -u opgraph`; otherwise it is an argument of something else.
            let as_user = words.starts_with(&["sudo", "-u", "opgraph", "opgraph"]);
            let at = if as_user { 3 } else { at };
            if !as_user && !words[..at].iter().all(|word| word.contains('=')) {
                continue;
            }
            if let Err(error) = Cli::try_parse_from(&words[at..]) {
                panic!("{}: `{line}`: {error}", path.display());
            }
            typed += 1;
        }
    }
    assert!(typed > 25, "{typed} typed");
}

/// The keys and sections of the example, those that are commented out included.
fn keys() -> (BTreeSet<String>, BTreeSet<String>) {
    let example = fs::read_to_string(root().join("docs/config.example.toml")).unwrap();
    let (mut keys, mut sections) = (BTreeSet::new(), BTreeSet::new());
    for line in example.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if line.starts_with('[') {
            sections.insert(line.trim_matches(['[', ']']).to_owned());
        }
        let inner = line.split(['{', '}']).nth(1).unwrap_or_default();
        for pair in std::iter::once(line).chain(inner.split(',')) {
            keys.extend(pair.split_once(" = ").map(|(key, _)| key.trim().to_owned()));
        }
    }
    (keys, sections)
}

#[test]
fn every_key_that_is_mentioned_is_in_the_example() {
    let (keys, sections) = keys();
    let is_name =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let mut mentioned = 0;
    let for_users = |path: &Path| path.starts_with("docs") || path == Path::new("README.md");
    for (path, text) in documents().into_iter().filter(|(path, _)| for_users(path)) {
        for code in code(&split(&text, "").0) {
            let section = code.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let section = section
                .map(|name| name.trim_matches(['[', ']']))
                .filter(|name| is_name(&name.replace('.', "_")));
            let key = code.split_once(" = ").map(|(key, _)| key).filter(|key| is_name(key));
            assert!(
                section.is_none_or(|name| sections.contains(name)),
                "{}: there is no section `{code}`",
                path.display()
            );
            assert!(key.is_none_or(|key| keys.contains(key)), "{}: there is no key `{code}`", path.display());
            mentioned += usize::from(section.is_some() || key.is_some());
        }
        // A whole configuration in a document is one that works.
        let (_, blocks) = split(&text, "toml");
        for (section, key) in
            blocks.iter().filter_map(|line| line.split_once(" = ")).map(|(key, _)| ("", key))
        {
            let key = key.trim_start_matches("# ").trim();
            assert!(keys.contains(key), "{}: there is no key `{section}{key}`", path.display());
        }
    }
    assert!(mentioned > 20, "{mentioned} mentioned");
}

#[test]
fn the_book_has_every_document_once() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let mut listed: Vec<&str> =
        summary.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    listed.sort_unstable();
    let mut there: Vec<String> = fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            Path::new(name).extension().is_some_and(|extension| extension == "md") && name != "SUMMARY.md"
        })
        .collect();
    there.sort_unstable();
    assert_eq!(listed, there);
}
