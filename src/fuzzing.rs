//! What has to hold whatever comes from outside: one function a fuzz target.
//!
//! Each takes any bytes at all and panics if a promise is broken. fuzz/README.md
//! says how they are run; `tests/corpus` runs them over what was found so far.

use std::collections::BTreeMap;

pub use opgraph_state::fuzzing::stored;
use opgraph_state::{Checkpoint, Cursor, CursorsFile};
use secrecy::SecretString;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

pub use crate::{
    config::fuzzing::config, http::fuzzing::answer, sink::jupiterone::fuzzing::job, stream::fuzzing::page,
};
use crate::{http::hosts, secret::Claims};

/// A target: the name of its folder in `fuzz/corpus`, and what it checks.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("page", page),
    ("config", config),
    ("stored", stored),
    ("cursors", cursors),
    ("answer", answer),
    ("job", job),
    ("token", token),
];

/// Cursors, checkpoints and cursors files, with and without their seal: what can
/// be read means the same once it is written and read again.
pub fn cursors(data: &[u8]) {
    comes_back::<Cursor>(data);
    comes_back::<Checkpoint>(data);
    comes_back::<CursorsFile>(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    match CursorsFile::from_json(text) {
        Ok(file) => assert_eq!(CursorsFile::from_json(&file.to_json()).expect("our own"), file),
        Err(why) => assert!(!why.to_string().is_empty()),
    }
}

fn comes_back<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(data) else { return };
    let written = serde_json::to_string(&read).expect("what was read can be written");
    let again: T = serde_json::from_str(&written).expect("what was written can be read");
    assert_eq!(read, again);
}

/// Tokens: nobody but 1Password is ever named as the host they are for, and
/// nothing in them makes reading fail.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(claims) = Claims::read(&SecretString::from(text)) else { return };
    if let Some(url) = claims.base_url() {
        let host = url.host_str().expect("a base URL has a host");
        assert!(url.scheme() == "https" && hosts::ONEPASSWORD.contains(&host), "{url}");
    }
}

/// The members of a JSON object, each as its text; the depth of nesting is no limit.
pub(crate) fn members(json: &str) -> BTreeMap<String, &RawValue> {
    serde_json::from_str(json).expect("a JSON object")
}
