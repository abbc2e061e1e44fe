//! What `cut.c` wrote down.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// One change, or one line on standard error, in the order they took effect.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Write {
        inode: u64,
        at: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        inode: u64,
        length: u64,
    },
    Create {
        path: PathBuf,
        inode: u64,
    },
    MakeDir {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    /// Of a file or a directory. One that failed made nothing durable, and the
    /// kernel may have given up what it could not write.
    Sync {
        path: PathBuf,
        inode: u64,
        failed: bool,
    },
    Said(String),
}

impl Entry {
    /// Whether `cut.c` counts it.
    pub(super) fn is_call(&self) -> bool {
        !matches!(self, Entry::Said(_))
    }
}

/// Reads a journal; an entry that the process's end cut short is left out.
pub(super) fn read(path: &Path) -> Vec<Entry> {
    let bytes = fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut entries = Vec::new();
    while let Some(entry) = next(&mut rest) {
        entries.push(entry);
    }
    entries
}

fn next(rest: &mut &[u8]) -> Option<Entry> {
    let mut ahead = *rest;
    let mut take = |length: usize| ahead.split_off(..length);
    let header = take(40)?;
    let short = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_ne_bytes(header[at..at + 8].try_into().unwrap());
    let (inode, at) = (long(24), long(32));
    let mut text = |length: u32| Some(String::from_utf8_lossy(take(length as usize)?).into_owned());
    let path = PathBuf::from(text(short(8))?);
    let other = PathBuf::from(text(short(12))?);
    let bytes = take(short(16) as usize)?.to_vec();
    *rest = ahead;
    Some(match short(0) {
        0 => Entry::Write { inode, at, bytes },
        1 => Entry::Truncate { inode, length: at },
        2 => Entry::Create { path, inode },
        3 => Entry::MakeDir { path },
        4 => Entry::Rename { from: path, to: other },
        5 => Entry::Unlink { path },
        6 => Entry::Sync { path, inode, failed: short(4) != 0 },
        7 => Entry::Said(String::from_utf8_lossy(&bytes).into_owned()),
        kind => panic!("the journal holds an entry of kind {kind}"),
    })
}
