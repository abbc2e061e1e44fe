//! Shared records: sixteen files a type, by a hash of the key, each written anew when it changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
};

use opgraph_state::{Entry, shard_of};

use super::{
    books::Part,
    folder::Folder,
    publish::Staged,
    text::{self, Text},
    trouble::Trouble,
};
use crate::{
    graph::{EntityType, RecordType, Written},
    page::Coverage,
};

/// What an upload changes of a shelf.
#[derive(Default)]
struct Changes<'c> {
    removed: BTreeSet<&'c str>,
    told: Vec<&'c Entry>,
}

/// What became of the shared records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) added: u64,
    pub(super) removed: u64,
    pub(super) vault_removed: bool,
}

/// Merges the shared records of an upload into their shelves: what is removed
/// goes, then the newest version of each counts, whichever came first.
pub(super) fn write(folder: &Folder, coverage: &Coverage, staged: &mut Staged) -> Result<Changed, Trouble> {
    let mut shelves: BTreeMap<(RecordType, u8), Changes<'_>> = BTreeMap::new();
    for key in coverage.removed() {
        // A key that is none of ours is in no file of ours.
        if let Some((of, _)) = RecordType::of_key(key) {
            shelves.entry((of, shelf(key))).or_default().removed.insert(key);
        }
    }
    for entry in coverage.shared() {
        let written = Written::read(&entry.record).ok_or_else(|| Trouble::NoRecord(entry.key.clone()))?;
        shelves.entry((written.of, shelf(&entry.key))).or_default().told.push(entry);
    }
    let mut changed = Changed::default();
    for ((of, shelf), changes) in shelves {
        let place = Part::Shelf(shelf).path(folder, of);
        let before = read(&place, of)?;
        let after = merged(before.clone(), &changes);
        if after == before {
            continue;
        }
        let gone = before.keys().filter(|key| !after.contains_key(*key)).count() as u64;
        changed.removed += gone;
        changed.added += after.len() as u64 + gone - before.len() as u64;
        changed.vault_removed |= gone > 0 && of == RecordType::Entity(EntityType::Vault);
        stage(folder, of, shelf, &after, staged)?;
    }
    Ok(changed)
}

/// How many files there are of a type.
pub(super) const SHELVES: u8 = 16;

/// The shelf of a key.
fn shelf(key: &str) -> u8 {
    shard_of(key) / (u8::MAX / SHELVES + 1)
}

/// Writes what a shelf is to hold.
pub(super) fn stage(
    folder: &Folder,
    of: RecordType,
    shelf: u8,
    entries: &BTreeMap<String, Entry>,
    staged: &mut Staged,
) -> io::Result<()> {
    let place = Part::Shelf(shelf).path(folder, of);
    if entries.is_empty() {
        staged.remove(of, place);
        return Ok(());
    }
    let mut text = Text::new(of);
    entries.values().for_each(|entry| text.push(&entry.record));
    staged.write(folder, of, place, &text.close_with(entries.values()))
}

/// Reads what a shelf holds.
pub(super) fn read(place: &Path, of: RecordType) -> Result<BTreeMap<String, Entry>, Trouble> {
    let mut entries = BTreeMap::new();
    let mut unversioned = false;
    let read = text::each(place, of, |key, record, version| match version {
        Some(version) => {
            let entry = Entry { key: key.clone().into_owned(), version, record: record.to_owned() };
            entries.insert(key.into_owned(), entry);
        }
        None => unversioned = true,
    });
    match read {
        Ok(()) if unversioned => {
            Err(Trouble::Damaged(place.to_owned(), "its records have no versions".to_owned()))
        }
        Ok(()) => Ok(entries),
        Err(Trouble::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(entries),
        Err(trouble) => Err(trouble),
    }
}

fn merged(mut entries: BTreeMap<String, Entry>, changes: &Changes<'_>) -> BTreeMap<String, Entry> {
    entries.retain(|key, _| !changes.removed.contains(key.as_str()));
    for entry in &changes.told {
        match entries.get(&entry.key) {
            Some(known) if !entry.supersedes(known) => (),
            _ => {
                entries.insert(entry.key.clone(), (*entry).clone());
            }
        }
    }
    entries
}
