//! What is wrong with a configuration, where, and what to write instead.

use std::{
    fmt, io,
    ops::Range,
    path::{Path, PathBuf},
};

use crate::secret::{SecretError, without_tokens};

/// Why a configuration was refused: at least one problem.
///
/// It displays as one line a problem (`file:line:column: key: what`), with a
/// line `hint: …` below it where there is one. It never shows a token, not even
/// one that was written in the wrong place.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// The problems, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub(super) fn unless_none(problems: Vec<Problem>) -> Result<(), ConfigError> {
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }

    pub(super) fn unreadable(path: &Path, error: &io::Error) -> ConfigError {
        let problem = Problem {
            file: Some(path.to_owned()),
            place: None,
            key: String::new(),
            what: format!("cannot read the configuration: {error}"),
            hint: Some("name another file with `--config`, or leave it out and use flags".to_owned()),
        };
        ConfigError { problems: vec![problem] }
    }

    pub(super) fn contradiction(key: String, what: String, hint: String) -> ConfigError {
        ConfigError { problems: vec![Problem { file: None, place: None, key, what, hint: Some(hint) }] }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            let line_end = if n == 0 { "" } else { "\n" };
            write!(f, "{line_end}{problem}")?;
        }
        Ok(())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The configuration file, if there is one.
    pub file: Option<PathBuf>,
    /// Line and column in it, from 1.
    pub place: Option<(usize, usize)>,
    /// The key (`tenant[0].events.base_url`), flag or variable; may be empty.
    pub key: String,
    /// What is wrong: lower case, no full stop.
    pub what: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Problem {
    pub(super) fn of_token(key: String, error: &SecretError) -> Problem {
        Problem { file: None, place: None, key, what: error.to_string(), hint: Some(error.hint().to_owned()) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some((line, column)) = self.place {
                write!(f, "{line}:{column}:")?;
            }
            write!(f, " ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.what)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// These bytes of the file.
    Bytes(Range<usize>),
    /// A flag or a variable. It is named instead of the key.
    Named(&'static str),
}

/// Collects problems, so that a person sees all of them at once.
#[derive(Debug)]
pub(super) struct Problems<'t> {
    text: &'t str,
    file: Option<&'t Path>,
    found: Vec<(usize, Problem)>,
    struck: Vec<String>,
}

impl<'t> Problems<'t> {
    pub(super) fn in_file(text: &'t str, path: &'t Path) -> Problems<'t> {
        Problems { text, file: Some(path), found: Vec::new(), struck: Vec::new() }
    }

    pub(super) fn on_the_command_line() -> Problems<'t> {
        Problems { text: "", file: None, found: Vec::new(), struck: Vec::new() }
    }

    /// Adds a problem.
    pub(super) fn add(
        &mut self,
        at: &At,
        key: &str,
        what: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        let (start, place, key) = match at {
            At::Bytes(bytes) => (bytes.start, Some(self.place(bytes.start)), key),
            At::Named(name) => (0, None, *name),
        };
        let (file, key, what) =
            (self.file.map(Path::to_owned), without_tokens(key), without_tokens(&what.into()));
        self.found.push((start, Problem { file, place, key, what, hint: hint.into() }));
    }

    /// Notes that a key had a problem and was left out: what is missing in its
    /// table is no news then.
    pub(super) fn strike(&mut self, key: String) {
        self.struck.push(key);
    }

    /// Whether a key of this table was left out.
    pub(super) fn struck_in(&self, table: &str) -> bool {
        self.struck.iter().any(|key| key.rsplit_once('.').map_or("", |(table, _)| table) == table)
    }

    /// Ends the collection. Something was made only if nothing was found.
    pub(super) fn or<T>(mut self, made: Option<T>) -> Result<T, ConfigError> {
        self.found.sort_by_key(|(start, _)| *start);
        ConfigError::unless_none(self.found.into_iter().map(|(_, problem)| problem).collect())?;
        Ok(made.expect("whoever makes nothing has added a problem"))
    }

    fn place(&self, byte: usize) -> (usize, usize) {
        let before = self.text.get(..byte).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// Finds what a person probably meant, if it is near enough to name.
pub(super) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase().replace('-', "_");
    let near = |known: &str| {
        // A part of the name is as good as a slip: `interval`, `url`, `instance_id`, `audit`.
        let part = known.starts_with(&format!("{wrong}_"))
            || known.ends_with(&format!("_{wrong}"))
            || (wrong.len() >= 4 && known.starts_with(&wrong));
        strsim::normalized_damerau_levenshtein(&wrong, known).max(if part { 0.8 } else { 0.0 })
    };
    let scored = known.into_iter().map(|known| (near(known), known)).filter(|(score, _)| *score >= 0.6);
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}
