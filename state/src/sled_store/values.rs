//! What the rows say: encodings of values, and reading them.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sled::IVec;

use super::{
    parts, rows,
    rows::ROW_BYTES,
    trees::{Rows, Tree},
};
use crate::{
    Checkpoint, Entry, Fingerprint, ListedItem, ListedVault, QuarantineId, Quarantined, StoreError, UnixMs,
    Version, run::Run,
};

/// Encodes a value that is kept as JSON.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain structs with string keys always serialise")
}

/// Decodes a value that is kept as JSON; fields that are not known are skipped.
pub(super) fn from_json<T: DeserializeOwned>(tree: Tree, key: &[u8], bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes)
        .map_err(|error| tree.damaged(key, &format!("not what it should be: {error}")))
}

/// Reads the newest run of a tenant.
pub(super) fn run(rows: &impl Rows, tenant: &str) -> Result<Option<Run>, StoreError> {
    let key = rows::tenant(tenant);
    parts::read(rows, Tree::Claims, &key)?.map(|bytes| from_run(&key, &bytes)).transpose()
}

/// The highest number that anything counted can have. Nobody has counted that
/// far, and what is stored can always be counted on from.
pub(super) const HIGHEST: u64 = u64::MAX >> 1;

/// Decodes a run.
pub(super) fn from_run(key: &[u8], bytes: &[u8]) -> Result<Run, StoreError> {
    let run: Run = from_json(Tree::Claims, key, bytes)?;
    if run.epoch.0 > HIGHEST {
        return Err(Tree::Claims.damaged(key, "the number of the run makes no sense"));
    }
    Ok(run)
}

/// A checkpoint with what it is about: keys may hold a cut name.
#[derive(Serialize, Deserialize)]
pub(super) struct StreamAt {
    pub(super) tenant: String,
    pub(super) stream: String,
    pub(super) checkpoint: Checkpoint,
}

/// Reads where a stream stands.
pub(super) fn checkpoint(
    rows: &impl Rows,
    tenant: &str,
    stream: &str,
) -> Result<Option<Checkpoint>, StoreError> {
    let key = rows::stream(tenant, stream);
    let stored = parts::read(rows, Tree::Checkpoints, &key)?;
    stored.map(|bytes| Ok(from_stream_at(&key, &bytes)?.checkpoint)).transpose()
}

/// Decodes a checkpoint.
pub(super) fn from_stream_at(key: &[u8], bytes: &[u8]) -> Result<StreamAt, StoreError> {
    let stored: StreamAt = from_json(Tree::Checkpoints, key, bytes)?;
    if stored.checkpoint.commits.max(stored.checkpoint.events) > HIGHEST {
        return Err(Tree::Checkpoints.damaged(key, "the counts make no sense"));
    }
    Ok(stored)
}

/// Encodes a shared record: rank, time, length of the key, key, record.
pub(super) fn entry(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(13 + entry.key.len() + entry.record.len());
    bytes.push(entry.version.rank);
    bytes.extend(entry.version.at.0.to_be_bytes());
    // Keys come from pages, whose size is capped far below 4 GiB.
    bytes.extend((entry.key.len() as u32).to_be_bytes());
    bytes.extend(entry.key.as_bytes());
    bytes.extend(entry.record.as_bytes());
    bytes
}

/// Decodes a shared record.
pub(super) fn from_entry(key: &[u8], bytes: &[u8]) -> Result<Entry, StoreError> {
    let decoded = || {
        let (rank, rest) = bytes.split_first()?;
        let (at, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (key, record) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        Some(Entry {
            key: String::from_utf8(key.to_vec()).ok()?,
            version: Version { rank: *rank, at: UnixMs(i64::from_be_bytes(*at)) },
            record: String::from_utf8(record.to_vec()).ok()?,
        })
    };
    decoded().ok_or_else(|| Tree::Directory.damaged(key, "not a shared record"))
}

/// Reads a shared record.
pub(super) fn directory(rows: &impl Rows, tenant: &str, key: &str) -> Result<Option<Entry>, StoreError> {
    let row = rows::directory(tenant, key);
    let stored = parts::read(rows, Tree::Directory, &row)?;
    stored.map(|bytes| from_entry(&row, &bytes)).transpose()
}

/// What the inventory holds: vaults and items.
pub(super) trait Listing: Serialize + DeserializeOwned {
    fn id(&self) -> &str;

    /// The key of its row.
    fn row(&self, tenant: &str) -> Vec<u8>;
}

impl Listing for ListedVault {
    fn id(&self) -> &str {
        &self.id
    }

    fn row(&self, tenant: &str) -> Vec<u8> {
        rows::vault(tenant, &self.id)
    }
}

impl Listing for ListedItem {
    fn id(&self) -> &str {
        &self.id
    }

    fn row(&self, tenant: &str) -> Vec<u8> {
        rows::item(tenant, &self.vault, &self.id)
    }
}

/// Decodes a vault or an item, from the key of its first part.
pub(super) fn from_listed<T: Listing>(key: &[u8], bytes: &[u8]) -> Result<T, StoreError> {
    let listed: T = from_json(Tree::Inventory, key, bytes)?;
    // The value does not name its tenant: what follows that name has to be its own.
    let row = listed.row("");
    if rows::after_name(key).and_then(|rest| rest.strip_suffix(&[0; 4])) != rows::after_name(&row) {
        return Err(Tree::Inventory.damaged(key, "the vault or item of another row"));
    }
    Ok(listed)
}

/// Finds the key of a quarantined entry; `None` if there is no such entry.
pub(super) fn quarantined_at(
    rows: &impl Rows,
    tenant: &str,
    id: &QuarantineId,
) -> Result<Option<Vec<u8>>, StoreError> {
    let index = rows::quarantine_id(tenant, id);
    let Some(bytes) = rows.get(Tree::Quarantine, &index)? else { return Ok(None) };
    let at = bytes.as_ref().try_into().map(i64::from_be_bytes);
    let at = at.map_err(|_| Tree::Quarantine.damaged(&index, "not a time"))?;
    Ok(Some(rows::quarantined(tenant, UnixMs(at), id)))
}

/// Reads a quarantined entry.
pub(super) fn quarantined(
    rows: &impl Rows,
    tenant: &str,
    id: &QuarantineId,
) -> Result<Option<Quarantined>, StoreError> {
    let Some(key) = quarantined_at(rows, tenant, id)? else { return Ok(None) };
    let stored = parts::read(rows, Tree::Quarantine, &key)?;
    let stored =
        stored.ok_or_else(|| Tree::Quarantine.damaged(&key, "the index names it and it is not there"))?;
    from_json(Tree::Quarantine, &key, &stored).map(Some)
}

/// Encodes the ids of a page, one value a row.
pub(super) fn seen(page: &[Fingerprint]) -> impl Iterator<Item = IVec> {
    let rows = page.chunks(ROW_BYTES / 16);
    rows.map(|ids| ids.iter().flat_map(|id| id.0.to_le_bytes()).collect::<Vec<u8>>().into())
}

/// Decodes a row of ids, the last one first.
pub(super) fn from_seen<'a>(
    key: &[u8],
    bytes: &'a [u8],
) -> Result<impl Iterator<Item = Fingerprint> + 'a, StoreError> {
    let (ids, rest) = bytes.as_chunks();
    if !rest.is_empty() || ids.is_empty() {
        return Err(Tree::Seen.damaged(key, "not a list of ids"));
    }
    Ok(ids.iter().rev().map(|id| Fingerprint(u128::from_le_bytes(*id))))
}

/// Decodes a number of the tree `meta`.
pub(super) fn from_number(key: &[u8], bytes: &[u8]) -> Result<u64, StoreError> {
    let number = bytes.try_into().map(u64::from_be_bytes).ok().filter(|number| *number <= HIGHEST);
    number.ok_or_else(|| Tree::Meta.damaged(key, "not a number"))
}

/// The key of the format's version in the tree `meta`.
pub(super) const FORMAT_KEY: &[u8] = b"format";

/// The key of the number of the last commit in the tree `meta`.
pub(super) const COMMITS_KEY: &[u8] = b"commits";

/// Reads a number of the tree `meta`; `None` if it is absent or zero.
pub(super) fn meta(rows: &impl Rows, key: &[u8]) -> Result<Option<NonZeroU64>, StoreError> {
    let stored = rows.get(Tree::Meta, key)?;
    Ok(stored.map(|bytes| from_number(key, &bytes)).transpose()?.and_then(NonZeroU64::new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cursor, Epoch};

    #[test]
    fn a_listed_vault_or_item_is_only_read_from_its_own_row() {
        let long = "i".repeat(200);
        let item = ListedItem { vault: "v\0".to_owned(), id: long.clone(), version: 1, details: false };
        let first = |row: Vec<u8>| [row.as_slice(), &[0; 4]].concat();
        let read = |row: Vec<u8>| from_listed::<ListedItem>(&first(row), &json(&item));
        for tenant in ["", "\0", "acme", &long] {
            assert_eq!(read(rows::item(tenant, "v\0", &long)).unwrap(), item);
            let others = [
                rows::item(tenant, "v", &long),
                rows::item(tenant, "v\0", "i"),
                rows::item(tenant, "v\0", &format!("{long}i")),
                rows::vault(tenant, "v\0"),
                rows::items(tenant, "v\0"),
                Vec::new(),
            ];
            for other in others {
                assert!(matches!(read(other), Err(StoreError::Damaged { .. })));
            }
        }
    }

    fn is_damage<T>(read: Result<T, StoreError>) -> bool {
        matches!(read, Err(StoreError::Damaged { .. }))
    }

    #[test]
    fn a_count_that_nobody_can_have_reached_is_damage_and_any_other_can_be_counted_on_from() {
        let run = |epoch| from_run(b"k", &json(&Run { epoch: Epoch(epoch), active_until: None }));
        let stream_at = |commits, events| {
            let start = Checkpoint::starting_at(Cursor::Since(UnixMs(0)));
            let checkpoint = Checkpoint { commits, events, ..start };
            let value = StreamAt { tenant: "t".to_owned(), stream: "s".to_owned(), checkpoint };
            from_stream_at(b"k", &json(&value))
        };
        for count in [0, 1, HIGHEST] {
            assert_eq!(run(count).unwrap().epoch, Epoch(count));
            assert_eq!(stream_at(count, 0).unwrap().checkpoint.commits, count);
            assert_eq!(stream_at(0, count).unwrap().checkpoint.events, count);
            assert_eq!(from_number(b"k", &count.to_be_bytes()).unwrap(), count);
            assert!(count.checked_add(HIGHEST).is_some(), "a lifetime more can be counted");
        }
        for count in [HIGHEST + 1, u64::MAX] {
            assert!(is_damage(run(count)));
            assert!(is_damage(stream_at(count, 0)) && is_damage(stream_at(0, count)));
            assert!(is_damage(from_number(b"k", &count.to_be_bytes())));
        }
    }

    #[test]
    fn a_row_that_is_no_list_of_whole_ids_is_damage() {
        for len in [0, 1, 15, 17, 33] {
            assert!(is_damage(from_seen(b"k", &vec![7; len]).map(drop)), "{len}");
        }
        assert_eq!(from_seen(b"k", &[0; 32]).unwrap().count(), 2);
    }
}
