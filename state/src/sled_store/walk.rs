//! Reading every row once: whether all are there, and each is what it says.

use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    OpenOptions,
    content::Content,
    failure::Failure,
    hours,
    hours::Hours,
    lock::Lock,
    open,
    open::Extent,
    parts, rows,
    trees::{Row, Tree, Trees},
    values,
    values::StreamAt,
};
use crate::{ListedItem, ListedVault, Quarantined, StoreError, UploadNote, run::Run};

/// Damaged rows of one tree that are named; the others are counted.
const NAMED: usize = 20;

/// What a tree holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TreeFindings {
    /// The tree's name.
    pub name: &'static str,
    /// Its rows.
    pub rows: u64,
    /// The bytes of their keys and values.
    pub bytes: u64,
    /// How many values make no sense.
    pub damaged: u64,
    /// Which ones, and why: the first 20 of them.
    pub named: Vec<String>,
}

/// What a state directory holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Tree by tree.
    pub trees: Vec<TreeFindings>,
    /// The number of the last commit in the database.
    pub commits: u64,
    /// What is wrong with the whole of it; `None` if every row of that commit is there.
    pub missing: Option<String>,
    /// In what way the state went backwards, if it did.
    pub rolled_back: Option<String>,
}

impl Findings {
    /// Says what is damaged, if anything is.
    pub fn damage(&self) -> Option<String> {
        let named = self.trees.iter().flat_map(|tree| &tree.named).chain(&self.missing);
        let first = named.clone().next()?;
        let damaged: u64 = self.trees.iter().map(|tree| tree.damaged).sum();
        let more = (damaged + u64::from(self.missing.is_some())).saturating_sub(1);
        Some(if more == 0 { first.clone() } else { format!("{first} (and {more} more)") })
    }
}

/// Opens a state directory and reads every row. Blocks. What is damaged is
/// found and not mended; as at any open, sled takes back what a crash left half
/// written, and a directory of an older format is brought up to date.
///
/// # Errors
///
/// As for [`super::SledStore::open`], but rows that are damaged are in the answer.
pub fn verify(dir: &Path, options: &OpenOptions) -> Result<Findings, StoreError> {
    if !dir.is_dir() {
        let doing = format!("verify the state directory `{}`", dir.display());
        return Err(Failure::new(doing, "there is no such directory").error());
    }
    let lock = Lock::of(dir)?;
    open::look(dir, options, &lock, Extent::All).map(|looked| looked.findings)
}

/// What the rows add up to that were read.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// All but the ids, and but the tree that holds the result.
    pub(super) kept: Content,
    /// The ids, hour by hour.
    pub(super) hours: Hours,
}

impl Sums {
    fn add(&mut self, tree: Tree, key: &[u8], value: &[u8]) {
        match tree {
            Tree::Meta => (),
            Tree::Seen => hours::add(&mut self.hours, key, value),
            _ => self.kept.add(tree, key, value),
        }
    }

    /// What they add up to with the ids among them, as format 2 had it.
    pub(super) fn all(&self) -> Content {
        self.hours.values().fold(self.kept, |all, hour| all.plus(*hour))
    }
}

/// Reads every row of every tree, or of all trees but that of the ids.
///
/// # Errors
///
/// If the system cannot read. Everything else is among the findings.
pub(super) fn walk(trees: &Trees, extent: Extent) -> Result<(Vec<TreeFindings>, Sums), StoreError> {
    let sums = RefCell::new(Sums::default());
    let read = Tree::ALL.into_iter().filter(|tree| *tree != Tree::Seen || extent == Extent::All);
    let walked = read.map(|tree| {
        catch_unwind(AssertUnwindSafe(|| one(trees, tree, &sums))).unwrap_or_else(|_| {
            let named = vec![format!("tree `{}`: the database panicked while it was read", tree.name())];
            Ok(TreeFindings { name: tree.name(), damaged: 1, named, ..TreeFindings::default() })
        })
    });
    let walked = walked.collect::<Result<_, _>>()?;
    Ok((walked, sums.into_inner()))
}

fn one(trees: &Trees, tree: Tree, sums: &RefCell<Sums>) -> Result<TreeFindings, StoreError> {
    let (rows, bytes, unreadable) = (Cell::new(0), Cell::new(0), Cell::new(false));
    // After a row that cannot be read, sled answers the same for ever.
    let readable = trees.scan(tree, &[]).take_while(|_| !unreadable.get());
    let mut counted = readable
        .inspect(|row| match row {
            Ok((key, value)) => {
                rows.set(rows.get() + 1);
                bytes.set(bytes.get() + (key.len() + value.len()) as u64);
                sums.borrow_mut().add(tree, key, value);
            }
            Err(_) => unreadable.set(true),
        })
        .peekable();
    let mut found = TreeFindings { name: tree.name(), ..TreeFindings::default() };
    while counted.peek().is_some() {
        let mut damaged = |error| match error {
            StoreError::Damaged { what } => {
                found.damaged += 1;
                if found.named.len() < NAMED {
                    found.named.push(what);
                }
                Ok(())
            }
            other => Err(other),
        };
        match tree {
            Tree::Seen | Tree::Hours | Tree::Meta => {
                for row in counted.by_ref() {
                    row.and_then(|(key, value)| single(tree, &key, &value)).or_else(&mut damaged)?;
                }
            }
            _ => {
                let index = Cell::new(None);
                let rows = counted.by_ref().filter(|row| match row {
                    Ok((key, value)) if is_index(tree, key) => {
                        index.set(index.take().or(single(tree, key, value).err()));
                        false
                    }
                    _ => true,
                });
                for value in parts::join(tree, rows) {
                    value.and_then(|(key, bytes)| decode(tree, &key, &bytes)).or_else(&mut damaged)?;
                }
                if let Some(error) = index.take() {
                    damaged(error)?;
                }
                // Behind a value that could not be joined: on to the next one.
                let inside = |row: &Result<Row, _>| matches!(row, Ok((key, _)) if !parts::is_first(key));
                while counted.next_if(inside).is_some() {}
            }
        }
    }
    Ok(TreeFindings { rows: rows.get(), bytes: bytes.get(), ..found })
}

/// Whether a row is one of the index of a quarantine, whose values are not in parts.
fn is_index(tree: Tree, key: &[u8]) -> bool {
    tree == Tree::Quarantine && rows::after_name(key).is_some_and(|rest| rest.first() == Some(&b'i'))
}

/// Whether a row of the inventory is of a vault; the others are of items.
fn is_vault(key: &[u8]) -> bool {
    rows::after_name(key).is_some_and(|rest| rest.first() == Some(&b'v'))
}

/// Decodes a value that is one row.
fn single(tree: Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    match tree {
        Tree::Seen => values::from_seen(key, value).map(drop),
        Tree::Hours => hours::decode(key, value).map(drop),
        Tree::Meta if key == super::content::CONTENT_KEY => {
            Content::read(value).map(drop).ok_or_else(|| tree.damaged(key, "not what all rows add up to"))
        }
        Tree::Meta => values::from_number(key, value).map(drop),
        _ if value.len() == 8 => Ok(()),
        _ => Err(tree.damaged(key, "not a time")),
    }
}

/// Decodes a value that may be in parts, from the key of its first one.
fn decode(tree: Tree, key: &[u8], bytes: &[u8]) -> Result<(), StoreError> {
    fn json<T: DeserializeOwned>(tree: Tree, key: &[u8], bytes: &[u8]) -> Result<T, StoreError> {
        values::from_json(tree, key, bytes)
    }
    match tree {
        Tree::Claims => json::<Run>(tree, key, bytes).map(drop),
        Tree::Checkpoints => {
            let StreamAt { tenant, stream, .. } = json(tree, key, bytes)?;
            let own = key.strip_suffix(&[0; 4]) == Some(&rows::stream(&tenant, &stream));
            if own { Ok(()) } else { Err(tree.damaged(key, "the checkpoint of another stream")) }
        }
        Tree::Directory => values::from_entry(key, bytes).map(drop),
        Tree::Quarantine => json::<Quarantined>(tree, key, bytes).map(drop),
        Tree::Uploads => json::<UploadNote>(tree, key, bytes).map(drop),
        Tree::Inventory if is_vault(key) => values::from_listed::<ListedVault>(key, bytes).map(drop),
        Tree::Inventory => values::from_listed::<ListedItem>(key, bytes).map(drop),
        Tree::Seen | Tree::Hours | Tree::Meta => single(tree, key, bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_by_its_first_place_and_how_much_more_there_is() {
        let check = |damaged: [u64; 2], missing: bool, expect: Option<&str>| {
            let tree = |name: &'static str, damaged: u64| {
                let named = (0..damaged.min(2)).map(|nth| format!("{name} {nth}")).collect();
                TreeFindings { name, damaged, named, ..TreeFindings::default() }
            };
            let missing = missing.then(|| "rows".to_owned());
            let trees = vec![tree("a", damaged[0]), tree("b", damaged[1])];
            let found = Findings { trees, commits: 1, missing, rolled_back: None };
            assert_eq!(found.damage().as_deref(), expect, "{found:?}");
        };
        check([0, 0], false, None);
        check([0, 0], true, Some("rows"));
        check([0, 1], false, Some("b 0"));
        check([0, 1], true, Some("b 0 (and 1 more)"));
        check([3, 5], false, Some("a 0 (and 7 more)"));
        check([3, 5], true, Some("a 0 (and 8 more)"));
    }
}
