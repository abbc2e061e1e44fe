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

    /// Names keys alone: for a file that is not there.
    pub(crate) fn without_places(self) -> ConfigError {
        let bare = |problem| Problem { file: None, place: None, ..problem };
        ConfigError { problems: self.problems.into_iter().map(bare).collect() }
    }

    pub(super) fn unless_none(problems: Vec<Problem>) -> Result<(), ConfigError> {
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }

    /// There is no file with anything in it: no place can be told.
    pub(super) fn of_the_whole(path: &Path, what: String, hint: &str) -> ConfigError {
        ConfigError { problems: vec![Problem::of_the_whole(path, what, hint)] }
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
    fn of_the_whole(path: &Path, what: String, hint: &str) -> Problem {
        let (file, hint) = (Some(path.to_owned()), Some(hint.to_owned()));
        Problem { file, place: None, key: String::new(), what, hint }
    }

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

/// Collects problems, so that a person sees all of them at once: those of
/// every file, each under the name of its own.
#[derive(Debug, Default)]
pub(super) struct Problems<'t> {
    files: Vec<(&'t str, &'t Path)>,
    /// The number of the file that is looked at.
    file: usize,
    found: Vec<((usize, usize), Problem)>,
    struck: Vec<(usize, String)>,
}

impl<'t> Problems<'t> {
    pub(super) fn in_file(text: &'t str, path: &'t Path) -> Problems<'t> {
        Problems { files: vec![(text, path)], ..Problems::default() }
    }

    pub(super) fn on_the_command_line() -> Problems<'t> {
        Problems::default()
    }

    /// Begins another file, and looks at it. Answers its number; the first one's is zero.
    pub(super) fn begin(&mut self, text: &'t str, path: &'t Path) -> usize {
        self.files.push((text, path));
        self.file = self.files.len() - 1;
        self.file
    }

    /// Looks at a file again: what is added is in it.
    pub(super) fn look_at(&mut self, file: usize) {
        self.file = file;
    }

    /// The path of a file.
    pub(super) fn path(&self, file: usize) -> Option<&'t Path> {
        self.files.get(file).map(|(_, path)| *path)
    }

    /// Adds that the file that is looked at cannot be read.
    pub(super) fn unreadable(&mut self, error: &io::Error) {
        let path = self.path(self.file).unwrap_or(Path::new(""));
        let what = format!("cannot read the file: {error}");
        let problem = Problem::of_the_whole(path, what, "every `*.toml` of the folder is read");
        self.found.push(((self.file, 0), problem));
        self.strike("tenant".to_owned());
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
        let file = self.path(self.file).map(Path::to_owned);
        let (key, what) = (without_tokens(key), without_tokens(&what.into()));
        self.found.push(((self.file, start), Problem { file, place, key, what, hint: hint.into() }));
    }

    /// Notes that a key had a problem and was left out: what is missing in its
    /// table is no news then.
    pub(super) fn strike(&mut self, key: String) {
        self.struck.push((self.file, key));
    }

    /// Whether a key of this table of the file that is looked at was left out.
    pub(super) fn struck_in(&self, table: &str) -> bool {
        let of = |key: &String| key.rsplit_once('.').map_or("", |(table, _)| table) == table;
        self.struck.iter().any(|(file, key)| *file == self.file && of(key))
    }

    /// Whether anything was left out, of any file.
    pub(super) fn struck_any(&self) -> bool {
        !self.struck.is_empty()
    }

    /// Ends the collection. Something was made only if nothing was found.
    pub(super) fn or<T>(mut self, made: Option<T>) -> Result<T, ConfigError> {
        self.found.sort_by_key(|(place, _)| *place);
        ConfigError::unless_none(self.found.into_iter().map(|(_, problem)| problem).collect())?;
        Ok(made.expect("whoever makes nothing has added a problem"))
    }

    fn place(&self, byte: usize) -> (usize, usize) {
        let text = self.files.get(self.file).map_or("", |(text, _)| text);
        let before = text.get(..byte).unwrap_or(text);
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
