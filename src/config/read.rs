//! From text to tables: what serde says, said so that a person can act on it.

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{
    error::{At, Problems, nearest},
    tables::{KEYS, Root, TenantsFile},
};

/// Which file a text is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum File {
    /// The only one, or the main one of several.
    Main,
    /// One of a folder of tenants.
    Tenants,
}

/// Reads the tables of the only file, or of the main one of several.
pub(super) fn root(text: &str, problems: &mut Problems<'_>) -> Root {
    tables(text, File::Main, problems)
}

/// Reads the tables of a file of a folder of tenants.
pub(super) fn tenants(text: &str, problems: &mut Problems<'_>) -> TenantsFile {
    tables(text, File::Tenants, problems)
}

/// Reads the tables. A key that cannot be read is left out and reading begins
/// anew, so that all problems of the file come to light in one go. Nothing is
/// left of a text that is not TOML.
fn tables<T: DeserializeOwned + Default>(text: &str, file: File, problems: &mut Problems<'_>) -> T {
    let (mut tree, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let hint =
            "the file is not valid TOML: every text stands in \"quotes\", every section is in [brackets]";
        problems.add(&At::Bytes(error.span().unwrap_or(0..0)), "", error.message(), hint.to_owned());
    }
    if !errors.is_empty() {
        problems.strike("tenant".to_owned());
        return T::default();
    }
    loop {
        let deserializer = toml::Deserializer::from(tree.clone());
        let error = match serde_path_to_error::deserialize(deserializer) {
            Ok(tables) => return tables,
            Err(error) => error,
        };
        let (key, table) = (written(error.path()), table_of(error.path()));
        let at = At::Bytes(error.inner().span().unwrap_or(0..0));
        let (what, hint) = explain(error.inner().message(), &key, &table, file);
        problems.add(&at, &key, what, hint);
        let left_out = strike(tree.get_mut(), error.path());
        problems.strike(key);
        if !left_out {
            return T::default();
        }
    }
}

/// Turns serde's words into what is wrong and what to write. Strings that were
/// in the file are not repeated.
fn explain(error: &str, key: &str, table: &[&str], file: File) -> (String, Option<String>) {
    if error.starts_with("unknown field") {
        let wrong = key.rsplit('.').next().unwrap_or(key);
        return unknown(wrong, table, file);
    }
    if let Some((found, expected)) =
        error.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected "))
    {
        let found = if found.starts_with("string") { "a text" } else { found };
        let expected = match expected {
            "i64" => "a whole number",
            "a string" => "a text in quotes",
            "a boolean" => "`true` or `false`",
            "a sequence" if key == "tenant" => {
                return (
                    "expected a list of tenants, found one table".to_owned(),
                    Some("write `[[tenant]]`, with two brackets".to_owned()),
                );
            }
            "a sequence" => "a list in [brackets]",
            "a table" if key.ends_with(".token") => {
                "a table like `{ env = \"NAME\" }`, `{ file = \"PATH\" }` or `{ op = \"op://…\" }`"
            }
            "a table" if key.ends_with(".limits") => "a table like `{ per_minute = 600, per_hour = 30000 }`",
            other => other,
        };
        let hint = key.ends_with(".token").then(|| {
            "a token does not belong in this file: write where it is read from, and replace it if it was real".to_owned()
        });
        return (format!("expected {expected}, found {found}"), hint);
    }
    (error.to_owned(), Some("docs/config.example.toml shows how every key is written".to_owned()))
}

fn unknown(wrong: &str, table: &[&str], file: File) -> (String, Option<String>) {
    let place = match table {
        [] => 0,
        ["tenant"] => 1,
        ["tenant", "events"] => 2,
        ["tenant", "jupiterone"] => 3,
        ["tenant", "graph"] => 4,
        ["tenant", "connect"] => 5,
        ["admin"] => 8,
        [.., "token"] => 6,
        _ => 7,
    };
    let (of_folder, at_top) = (file == File::Tenants, place == 0);
    if of_folder && at_top && KEYS[0].1.contains(&wrong) {
        let hint = "it concerns all tenants: write it into the main file";
        return ("this key has no place in a folder of tenants".to_owned(), Some(hint.to_owned()));
    }
    let known = if of_folder && at_top { &["tenant"][..] } else { KEYS[place].1 };
    let elsewhere = KEYS.iter().enumerate().filter(|(at, (_, keys))| *at != place && keys.contains(&wrong));
    let home = |at: usize| if of_folder && at == 0 { "the top of the main file" } else { KEYS[at].0 };
    let homes: Vec<&str> = elsewhere.map(|(at, _)| home(at)).collect();
    let hint = if let Some(meant) = nearest(wrong, known.iter().copied()) {
        format!("did you mean `{meant}`?")
    } else if !homes.is_empty() {
        // A key written below a section's header belongs to that section.
        format!("it belongs to {}", homes.join(" or "))
    } else {
        format!("the keys here are {}", known.join(", "))
    };
    ("unknown key".to_owned(), Some(hint))
}

/// The key as a person would point to it: `tenant[0].events.base_url`.
fn written(path: &Path) -> String {
    let mut key = String::new();
    for segment in segments(path) {
        match segment {
            Segment::Seq { index } => key.push_str(&format!("[{index}]")),
            Segment::Map { key: name } | Segment::Enum { variant: name } => {
                key.push_str(if key.is_empty() { "" } else { "." });
                key.push_str(name);
            }
            Segment::Unknown => {}
        }
    }
    key
}

/// The names on the way to the table that holds the key.
fn table_of(path: &Path) -> Vec<&str> {
    let mut names: Vec<&str> = segments(path)
        .filter_map(|segment| match segment {
            Segment::Map { key } => Some(key.as_str()),
            _ => None,
        })
        .collect();
    names.pop();
    names
}

/// The steps of a path, without those into [`Spanned`]'s own members.
fn segments(path: &Path) -> impl Iterator<Item = &Segment> {
    path.iter().filter(|segment| !matches!(segment, Segment::Map { key } if key.starts_with("$__")))
}

/// Removes what the path points to. `false` if there is no such thing.
fn strike(root: &mut DeTable<'_>, path: &Path) -> bool {
    let mut steps: Vec<&Segment> = segments(path).collect();
    // An item of a list goes with its list: what remained would be another list.
    while matches!(steps.last(), Some(Segment::Seq { .. } | Segment::Unknown)) {
        steps.pop();
    }
    let Some((Segment::Map { key }, way)) = steps.split_last() else { return false };
    let mut table = Some(root);
    let mut list = None;
    for step in way {
        let next = match step {
            Segment::Map { key } => table.take().and_then(|table| table.get_mut(key.as_str())),
            Segment::Seq { index } => list.take().and_then(|list: &mut DeArray<'_>| list.get_mut(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        match next.map(Spanned::get_mut) {
            Some(DeValue::Table(next)) => table = Some(next),
            Some(DeValue::Array(next)) => list = Some(next),
            _ => return false,
        }
    }
    table.is_some_and(|table| table.remove(key.as_str()).is_some())
}
