//! Tokens: where they are read from, and what keeps them out of everything else.
//!
//! A token lives in a [`SecretString`], which shows nothing and is zeroized.
//! Nothing in here shows a token: not `Debug`, not an error.

mod claims;

mod process;

pub mod wipe;

mod op;

mod file;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use secrecy::{SecretString, zeroize::Zeroizing};

pub use claims::Claims;
pub use file::write_token;
pub use process::protect_process;

/// The most bytes a token may have; 1Password's have about 700.
pub(crate) const LONGEST_TOKEN: usize = 16 * 1024;

/// Where a token is read from. It holds no token itself.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// An environment variable.
    Env(String),
    /// A file that only its owner may read.
    File(PathBuf),
    /// A reference that 1Password's CLI, `op`, resolves: `op://vault/item/field`.
    Op(String),
}

/// What a token file looks like from outside: another one means that it was
/// written or replaced, by a link's new target too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    file: (u64, u64),
    size: u64,
    written: (i64, i64),
}

/// Why there is no token. It never shows one.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct SecretError {
    what: String,
    hint: String,
}

impl SecretError {
    pub(crate) fn new(what: impl Into<String>, hint: impl Into<String>) -> SecretError {
        SecretError { what: what.into(), hint: hint.into() }
    }

    /// What a person can do.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl TokenSource {
    /// Names a variable.
    ///
    /// # Errors
    ///
    /// It cannot be a variable's name; it may be a token, and is not shown.
    pub fn env(name: &str) -> Result<TokenSource, SecretError> {
        let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if first && rest && name.len() <= 64 && !looks_like_a_token(name) {
            return Ok(TokenSource::Env(name.to_owned()));
        }
        Err(SecretError::new(
            "`env` holds no variable's name",
            "write the name of the variable, never the token itself, as in `env = \"OP_EVENTS_TOKEN\"`",
        ))
    }

    /// Names a file.
    ///
    /// # Errors
    ///
    /// It looks like a token, and is not shown.
    pub fn file(path: &Path) -> Result<TokenSource, SecretError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !looks_like_a_token(&name) && !path.as_os_str().as_bytes().contains(&0) {
            return Ok(TokenSource::File(path.to_owned()));
        }
        Err(SecretError::new("`file` holds no path", "write the path of a file, never the token itself"))
    }

    /// Names a field of a 1Password item.
    ///
    /// # Errors
    ///
    /// It is no `op://` reference; it may be a token, and is not shown.
    pub fn op(reference: &str) -> Result<TokenSource, SecretError> {
        let parts = reference.strip_prefix("op://").map(|rest| rest.split('/').collect::<Vec<_>>());
        let whole = parts.is_some_and(|parts| parts.len() >= 3 && parts.iter().all(|part| !part.is_empty()));
        if whole && !reference.chars().any(char::is_control) {
            return Ok(TokenSource::Op(reference.to_owned()));
        }
        Err(SecretError::new(
            "`op` holds no secret reference",
            "write it like `op = \"op://vault/item/field\"`",
        ))
    }

    /// Reads the token, anew each time: it may have been replaced.
    ///
    /// Ok holds 1 to 16,384 characters of visible ASCII: what an `Authorization`
    /// header can carry. One line break at the end is removed. `op` is given 30
    /// seconds, in which it may ask a person to unlock.
    ///
    /// # Errors
    ///
    /// It is missing, empty or not a token, others may read its file, or `op` failed.
    pub async fn read(&self) -> Result<SecretString, SecretError> {
        match self {
            TokenSource::Env(name) => from_env(name),
            TokenSource::File(path) => file::read(path),
            TokenSource::Op(reference) => op::read(reference).await,
        }
    }

    /// Looks at the token's file, without opening it. `None` if there is none.
    pub fn stamp(&self) -> Option<Stamp> {
        let TokenSource::File(path) = self else { return None };
        let found = std::fs::metadata(path).ok()?;
        Some(Stamp {
            file: (found.dev(), found.ino()),
            size: found.len(),
            written: (found.ctime(), found.ctime_nsec()),
        })
    }

    /// Reads the token and forgets it, unless that needs the `op` CLI.
    ///
    /// # Errors
    ///
    /// As for [`TokenSource::read`].
    pub fn check(&self) -> Result<(), SecretError> {
        match self {
            TokenSource::Env(name) => from_env(name).map(drop),
            TokenSource::File(path) => file::read(path).map(drop),
            TokenSource::Op(_) => Ok(()),
        }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenSource::Env(name) => write!(f, "variable {}", shown(name)),
            TokenSource::File(path) => write!(f, "file `{}`", path.display()),
            TokenSource::Op(reference) => write!(f, "`{reference}`"),
        }
    }
}

/// A variable's name, if it surely is one: a key of letters and digits that was
/// written in its place passes for a name too.
fn shown(name: &str) -> &str {
    let usual = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if usual { name } else { "(name not shown: it has small letters)" }
}

/// Whether the text begins as tokens do: a JWT, or a service account's token.
pub(crate) fn looks_like_a_token(text: &str) -> bool {
    text.starts_with("eyJ") || text.starts_with("ops_")
}

/// Leaves out what may be a token that is in the wrong place.
pub(crate) fn without_tokens(text: &str) -> String {
    let ends = |char: char| !char.is_ascii_alphanumeric() && !"._-".contains(char);
    let mask = |word: &str| match word.strip_suffix(ends) {
        Some(rest) if looks_like_a_token(rest) => format!("…{}", &word[rest.len()..]),
        None if looks_like_a_token(word) => "…".to_owned(),
        _ => word.to_owned(),
    };
    text.split_inclusive(ends).map(mask).collect()
}

fn from_env(name: &str) -> Result<SecretString, SecretError> {
    let source = format!("the variable {}", shown(name));
    let hint = "set it to the token, or configure a file or an `op://` reference instead";
    let Some(value) = std::env::var_os(name) else {
        return Err(SecretError::new(format!("{source} is not set"), hint));
    };
    let value = Zeroizing::new(value.into_encoded_bytes());
    token(&value, &source, hint)
}

/// Takes for a token what a person typed.
///
/// # Errors
///
/// No token looks like it.
pub(crate) fn typed_token(bytes: &[u8]) -> Result<SecretString, SecretError> {
    token(bytes, "what was typed", "paste the token, and nothing else")
}

/// Takes the bytes for a token if they can be one.
fn token(bytes: &[u8], source: &str, hint: &str) -> Result<SecretString, SecretError> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    if bytes.is_empty() {
        return Err(SecretError::new(format!("{source} is empty"), hint));
    }
    if bytes.len() > LONGEST_TOKEN {
        let what = format!("{source} holds no token: it has more than {LONGEST_TOKEN} bytes");
        return Err(SecretError::new(what, hint));
    }
    match std::str::from_utf8(bytes) {
        // The copy has its final size at once.
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(SecretString::from(text)),
        _ => Err(SecretError::new(
            format!(
                "{source} holds no token: there is a space, a line break or another character that no token has"
            ),
            hint,
        )),
    }
}
