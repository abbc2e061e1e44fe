//! Tenants from a folder: which of its files count, and in which order.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    error::{ConfigError, Problems},
    tables::Root,
};

/// The main file of a folder that is a whole configuration.
const MAIN: &str = "opgraph.toml";

/// A file of tenants and its text.
type Read = (PathBuf, io::Result<String>);

/// The main file of a folder and its text; none is as good as an empty one.
///
/// # Errors
///
/// It is there and cannot be read, or no file of the folder can be one of tenants.
pub(super) fn main(folder: &Path) -> Result<(PathBuf, String), ConfigError> {
    let path = folder.join(MAIN);
    let refused = |error: io::Error, hint: &str| {
        ConfigError::of_the_whole(&path, format!("cannot read the configuration: {error}"), hint)
    };
    match fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(refused(error, "check that this user may read it"))
        }
        Err(error) => match in_order(folder) {
            Ok(files) if !files.is_empty() => Ok((path, String::new())),
            Ok(_) => Err(refused(error, "write it, or files of tenants beside it that end with `.toml`")),
            Err(error) => Err(refused(error, "check that this user may read the folder")),
        },
    }
}

/// Reads the files of tenants: those `beside` the main file, then those of the
/// folder that it names. The main file itself is none of them.
pub(super) fn files(
    root: &Root,
    beside: Option<&Path>,
    home: &Path,
    main: &Path,
    problems: &mut Problems<'_>,
) -> Vec<Read> {
    let mut paths = beside.map_or(Ok(Vec::new()), in_order).unwrap_or_default();
    if let Some(given) = &root.tenants {
        let folder = home.join(&given.value);
        match in_order(&folder) {
            Ok(more) => paths.extend(more),
            Err(error) => {
                let what = format!("cannot read the folder `{}`: {error}", folder.display());
                let hint = "name a folder of files that end with `.toml`, or leave `tenants` out".to_owned();
                problems.add(&given.at, "tenants", what, hint);
                problems.strike("tenants".to_owned());
            }
        }
    }
    // However the folder is written: a file is read once.
    let mut taken: Vec<PathBuf> = fs::canonicalize(main).into_iter().collect();
    paths.retain(|path| {
        let Ok(path) = fs::canonicalize(path) else { return true };
        let first = !taken.contains(&path);
        taken.push(path);
        first
    });
    paths.into_iter().map(|path| (fs::read_to_string(&path), path)).map(|(text, path)| (path, text)).collect()
}

/// The `*.toml` of a folder by name. Hidden ones are what editors leave behind,
/// and folders below it are not looked into.
fn in_order(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|end| end == "toml") && !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
