//! The keys of the rows. README.md shows them tree by tree.
//!
//! A name in a key is escaped (`00` becomes `00 FF`) and ends in `00 00`, so
//! that no name is a prefix of another one and names sort as text. Numbers are
//! big-endian, so that they sort as numbers.

use xxhash_rust::xxh3::xxh3_128;

use crate::{QuarantineId, UnixMs};

/// The most bytes of value that one row holds.
///
/// sled puts a tree node over 131,020 bytes into a file of its own (a "blob"),
/// with weaker durability. A leaf holds up to 16 rows before it splits, one more
/// while it is about to, and three more while it swallows a neighbour: 20 rows
/// of 6,000 bytes and their keys stay below. (8,000 would not.)
pub(super) const ROW_BYTES: usize = 6_000;

/// Longer names are cut and end in their hash: a node of 256 keys has to stay
/// below the same limit. What a row is about is always in its value in full.
const NAME_BYTES: usize = 120;

fn push_name(key: &mut Vec<u8>, name: &str) {
    let name = name.as_bytes();
    let kept = &name[..name.len().min(NAME_BYTES)];
    for byte in kept {
        key.push(*byte);
        if *byte == 0 {
            key.push(0xFF);
        }
    }
    if kept.len() < name.len() {
        key.extend([0, 1]);
        key.extend(xxh3_128(name).to_be_bytes());
    }
    key.extend([0, 0]);
}

/// Returns what follows the first name of a key; `None` if there is no name.
pub(super) fn after_name(key: &[u8]) -> Option<&[u8]> {
    let mut rest = key;
    loop {
        let zero = rest.iter().position(|byte| *byte == 0)?;
        rest = match rest.get(zero + 1)? {
            0 => return rest.get(zero + 2..),
            1 => rest.get(zero + 2 + 16..)?,
            _ => rest.get(zero + 2..)?,
        };
    }
}

fn push_number(key: &mut Vec<u8>, number: i64) {
    // With the sign bit flipped, negative numbers sort before positive ones.
    key.extend((number.cast_unsigned() ^ (1 << 63)).to_be_bytes());
}

/// The key of a tenant's claim, and what every other key of the tenant starts with.
pub(super) fn tenant(tenant: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    push_name(&mut key, tenant);
    key
}

/// The key of a checkpoint, and what every seen key of the stream starts with.
pub(super) fn stream(tenant_name: &str, stream: &str) -> Vec<u8> {
    let mut key = tenant(tenant_name);
    push_name(&mut key, stream);
    key
}

/// The key of an upload note.
pub(super) fn upload(tenant_name: &str, name: &str) -> Vec<u8> {
    stream(tenant_name, name)
}

/// What the keys of one directory shard start with.
pub(super) fn shard(tenant_name: &str, shard: u8) -> Vec<u8> {
    let mut key = tenant(tenant_name);
    key.push(shard);
    key
}

/// The key of a shared record.
pub(super) fn directory(tenant_name: &str, record_key: &str) -> Vec<u8> {
    let mut key = shard(tenant_name, crate::shard_of(record_key));
    push_name(&mut key, record_key);
    key
}

/// What the keys of a tenant's quarantined entries start with; they sort by time.
pub(super) fn quarantine(tenant_name: &str) -> Vec<u8> {
    let mut key = tenant(tenant_name);
    key.push(b'e');
    key
}

/// The key of a quarantined entry.
pub(super) fn quarantined(tenant_name: &str, at: UnixMs, id: &QuarantineId) -> Vec<u8> {
    let mut key = quarantine(tenant_name);
    push_number(&mut key, at.0);
    push_name(&mut key, &id.stream);
    key.extend(id.body.0.to_be_bytes());
    key
}

/// What the keys of the index of a tenant's quarantine start with.
pub(super) fn quarantine_index(tenant_name: &str) -> Vec<u8> {
    let mut key = tenant(tenant_name);
    key.push(b'i');
    key
}

/// The key by which a quarantined entry is known when it comes again.
pub(super) fn quarantine_id(tenant_name: &str, id: &QuarantineId) -> Vec<u8> {
    let mut key = quarantine_index(tenant_name);
    push_name(&mut key, &id.stream);
    key.extend(id.body.0.to_be_bytes());
    key
}

/// What the keys of a tenant's listed vaults start with.
pub(super) fn vaults(tenant_name: &str) -> Vec<u8> {
    let mut key = tenant(tenant_name);
    key.push(b'v');
    key
}

/// The key of a listed vault.
pub(super) fn vault(tenant_name: &str, vault: &str) -> Vec<u8> {
    let mut key = vaults(tenant_name);
    push_name(&mut key, vault);
    key
}

/// What the keys of a vault's listed items start with.
pub(super) fn items(tenant_name: &str, vault: &str) -> Vec<u8> {
    let mut key = tenant(tenant_name);
    key.push(b'i');
    push_name(&mut key, vault);
    key
}

/// The key of a listed item.
pub(super) fn item(tenant_name: &str, vault: &str, item: &str) -> Vec<u8> {
    let mut key = items(tenant_name, vault);
    push_name(&mut key, item);
    key
}

/// Which page of which commit of a stream a seen row belongs to.
#[derive(Clone, Copy)]
pub(super) struct SeenPage {
    pub(super) hour: i64,
    /// The stream's own count of commits.
    pub(super) commit: u64,
    pub(super) page: u32,
}

/// The key of one row of a page's ids. `stream` is what [`stream`] returned.
pub(super) fn seen(stream: &[u8], page: SeenPage, part: u32) -> Vec<u8> {
    let mut key = stream.to_vec();
    push_number(&mut key, page.hour);
    key.extend(page.commit.to_be_bytes());
    key.extend(page.page.to_be_bytes());
    key.extend(part.to_be_bytes());
    key
}

/// The first key that a stream's rows of `hour` can have.
pub(super) fn seen_hour(stream: &[u8], hour: i64) -> Vec<u8> {
    let mut key = stream.to_vec();
    push_number(&mut key, hour);
    key
}

/// The key of the hour that a seen row belongs to; `None` of what cannot be the key of one.
pub(super) fn hour_of(key: &[u8]) -> Option<&[u8]> {
    // Behind it are the number of the commit, of the page and of its part.
    key.len().checked_sub(8 + 4 + 4).map(|end| &key[..end])
}

/// Whether the row of this key is the first of its page.
pub(super) fn is_first_of_page(key: &[u8]) -> bool {
    key.ends_with(&[0; 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_keys_sort_as_text_and_none_is_a_prefix_of_another() {
        let long = "x".repeat(NAME_BYTES + 1);
        let longer = format!("{long}y");
        let mut names = [
            "", "\0", "\0\0", "\0\u{1}", "a", "a\0", "a\0b", "a\u{1}", "ab", "b", "é", "日本", &long, &longer,
        ];
        names.sort_unstable();
        let keys: Vec<_> = names.iter().map(|name| tenant(name)).collect();
        for (i, key) in keys.iter().enumerate() {
            for (j, other) in keys.iter().enumerate() {
                assert_eq!(i == j, other.starts_with(key), "{:?} and {:?}", names[i], names[j]);
            }
            assert_eq!(after_name(&[key.as_slice(), b"\0rest"].concat()), Some(&b"\0rest"[..]));
            assert_eq!(after_name(&key[..key.len() - 1]), None);
        }
        let (short, long): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.len() < NAME_BYTES);
        assert!(short.is_sorted());
        assert_eq!(long.len(), 2);
    }

    /// The hash at the end of a cut name may hold what elsewhere ends a name.
    #[test]
    fn the_end_of_a_cut_name_is_found_whatever_its_hash_holds() {
        for number in 0..10_000 {
            let key = tenant(&format!("{}{number}", "x".repeat(NAME_BYTES)));
            assert_eq!(after_name(&[key.as_slice(), b"rest"].concat()), Some(&b"rest"[..]), "{number}");
        }
    }

    #[test]
    fn numbers_in_keys_sort_as_numbers() {
        let keys = [i64::MIN, -2, -1, 0, 1, 255, 256, i64::MAX].map(|hour| seen_hour(b"s", hour));
        assert!(keys.is_sorted());
    }
}
