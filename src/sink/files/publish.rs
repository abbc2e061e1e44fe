//! Whole files only: written beside the graph, synced, and renamed into their place.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use opgraph_state::die_at;

use super::folder::{Folder, sync_folder};
use crate::graph::RecordType;

/// Files of one upload that are whole and durable, and not in their place yet.
#[derive(Debug, Default)]
pub(super) struct Staged {
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Change {
    relationships: bool,
    /// Where the file is now; `None`: there is to be none.
    staged: Option<PathBuf>,
    place: PathBuf,
}

impl Staged {
    /// Writes a file of a type, durably, that is to be found at `place` later.
    pub(super) fn write(
        &mut self,
        folder: &Folder,
        of: RecordType,
        place: PathBuf,
        text: &str,
    ) -> io::Result<()> {
        let path = folder.new_files().join(self.changes.len().to_string());
        write_synced(&path, text)?;
        self.changes.push(Change { relationships: of.is_relationship(), staged: Some(path), place });
        Ok(())
    }

    /// Takes note that there is to be no file at `place`.
    pub(super) fn remove(&mut self, of: RecordType, place: PathBuf) {
        self.changes.push(Change { relationships: of.is_relationship(), staged: None, place });
    }

    /// Whether nothing would change.
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Puts every file into its place, and makes the names durable.
    ///
    /// Wherever this ends, each file is as it was before or as it is to be. Entities
    /// come before relationships, and go after them (`removing`): nobody who reads
    /// meanwhile finds a relationship without its ends.
    pub(super) fn publish(mut self, removing: bool) -> io::Result<()> {
        self.order(removing);
        let mut folders = BTreeSet::new();
        for Change { staged, place, .. } in self.changes {
            match staged {
                Some(staged) => fs::rename(staged, &place)?,
                None => fs::remove_file(&place)?,
            }
            die_at!("files.renamed");
            folders.extend(place.parent().map(Path::to_owned));
        }
        folders.iter().try_for_each(|folder| sync_folder(folder))
    }

    fn order(&mut self, removing: bool) {
        self.changes.sort_by_key(|change| change.relationships != removing);
    }
}

/// Replaces a file by a whole and durable one.
pub(super) fn write(place: &Path, text: &str) -> io::Result<()> {
    let mut path = place.as_os_str().to_owned();
    path.push(".new");
    write_synced(Path::new(&path), text)?;
    fs::rename(&path, place)?;
    place.parent().map_or(Ok(()), sync_folder)
}

fn write_synced(path: &Path, text: &str) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{EntityType, RelationshipType};

    #[test]
    fn entities_come_before_relationships_and_go_after_them() {
        let (vault, has) = (
            RecordType::Entity(EntityType::Vault),
            RecordType::Relationship(RelationshipType::VaultHasSecret),
        );
        for (removing, expect) in [(false, ["vault", "item", "has"]), (true, ["has", "vault", "item"])] {
            let mut staged = Staged::default();
            for (of, name) in [(vault, "vault"), (has, "has"), (vault, "item")] {
                staged.remove(of, name.into());
            }
            staged.order(removing);
            let places: Vec<_> = staged.changes.iter().map(|change| change.place.to_str().unwrap()).collect();
            assert_eq!(places, expect);
        }
    }
}
