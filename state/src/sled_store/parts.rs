//! Values of any length over rows of a bounded one.
//!
//! A value's key is followed by the number of the part. The first part starts
//! with how many parts there are and how many bytes in all.

use sled::IVec;

use super::{
    rows::ROW_BYTES,
    trees::{Row, Rows, Tree},
};
use crate::StoreError;

const HEADER: usize = 8;

fn part_key(key: &[u8], part: u32) -> Vec<u8> {
    [key, &part.to_be_bytes()].concat()
}

/// Cuts a value into its rows.
pub(super) fn split(key: &[u8], value: &[u8]) -> Vec<(Vec<u8>, IVec)> {
    let parts = (value.len() + HEADER).div_ceil(ROW_BYTES);
    // Values come from pages, whose size is capped far below 4 GiB.
    let header = [(parts as u32).to_be_bytes(), (value.len() as u32).to_be_bytes()].concat();
    let (first, rest) = value.split_at(value.len().min(ROW_BYTES - HEADER));
    let chunks = std::iter::once([&header, first].concat()).chain(rest.chunks(ROW_BYTES).map(<[u8]>::to_vec));
    (0..).zip(chunks).map(|(part, chunk)| (part_key(key, part), chunk.into())).collect()
}

/// Returns the keys of the parts that a stored value has.
pub(super) fn keys(rows: &impl Rows, tree: Tree, key: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
    let first = part_key(key, 0);
    match rows.get(tree, &first)? {
        Some(bytes) => {
            let (parts, _) = header(tree, &first, &bytes)?;
            Ok((0..parts).map(|part| part_key(key, part)).collect())
        }
        None => Ok(Vec::new()),
    }
}

/// Reads one value.
pub(super) fn read(rows: &impl Rows, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let first = part_key(key, 0);
    let Some(bytes) = rows.get(tree, &first)? else { return Ok(None) };
    let mut joining = Joining::start(tree, first, &bytes)?;
    while let Some(next) = joining.next_key() {
        let bytes = rows.get(tree, &next)?.ok_or_else(|| tree.damaged(&next, "a part is missing"))?;
        joining.push(&bytes);
    }
    joining.end().map(Some)
}

/// Joins rows in the order of their keys into values, with their keys.
pub(super) fn join(
    tree: Tree,
    rows: impl Iterator<Item = Result<Row, StoreError>>,
) -> impl Iterator<Item = Result<(IVec, Vec<u8>), StoreError>> {
    let mut rows = rows;
    let mut one = move || {
        let (first, bytes) = match rows.next()? {
            Ok(row) => row,
            Err(error) => return Some(Err(error)),
        };
        let joined = Joining::start(tree, first.to_vec(), &bytes).and_then(|mut joining| {
            while let Some(expected) = joining.next_key() {
                let (key, bytes) =
                    rows.next().ok_or_else(|| tree.damaged(&expected, "a part is missing"))??;
                if key != expected {
                    return Err(tree.damaged(&expected, "a part is missing"));
                }
                joining.push(&bytes);
            }
            joining.end()
        });
        Some(joined.map(|value| (first, value)))
    };
    let mut damaged = false;
    std::iter::from_fn(move || {
        // After damage it is not known where the next value starts.
        let next = if damaged { None } else { one() };
        damaged = matches!(next, Some(Err(_)));
        next
    })
}

/// Whether a row of this key is the first part of its value.
pub(super) fn is_first(key: &[u8]) -> bool {
    key.ends_with(&[0; 4])
}

fn header(tree: Tree, key: &[u8], bytes: &[u8]) -> Result<(u32, usize), StoreError> {
    let number =
        |at: usize| bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map(u32::from_be_bytes);
    match (number(0), number(4)) {
        (Some(parts), Some(len)) if parts as usize == (len as usize + HEADER).div_ceil(ROW_BYTES) => {
            Ok((parts, len as usize))
        }
        _ => Err(tree.damaged(key, "the header of a value in parts makes no sense")),
    }
}

struct Joining {
    tree: Tree,
    first: Vec<u8>,
    parts: u32,
    read: u32,
    len: usize,
    value: Vec<u8>,
}

impl Joining {
    fn start(tree: Tree, first: Vec<u8>, bytes: &[u8]) -> Result<Joining, StoreError> {
        if !is_first(&first) {
            return Err(tree.damaged(&first, "a part without the parts before it"));
        }
        let (parts, len) = header(tree, &first, bytes)?;
        Ok(Joining { tree, first, parts, read: 1, len, value: bytes[HEADER..].to_vec() })
    }

    fn next_key(&self) -> Option<Vec<u8>> {
        let key = &self.first[..self.first.len() - 4];
        (self.read < self.parts).then(|| part_key(key, self.read))
    }

    fn push(&mut self, bytes: &[u8]) {
        self.value.extend_from_slice(bytes);
        self.read += 1;
    }

    fn end(self) -> Result<Vec<u8>, StoreError> {
        if self.value.len() != self.len {
            return Err(self.tree.damaged(&self.first, "the value is not as long as its header says"));
        }
        Ok(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_any_length_comes_back_and_no_row_is_too_long() {
        for len in [0, 1, ROW_BYTES - HEADER, ROW_BYTES - HEADER + 1, ROW_BYTES, 3 * ROW_BYTES, 100_000] {
            let value: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let mut rows = split(b"a", &value);
            assert!(rows.iter().all(|(_, row)| row.len() <= ROW_BYTES), "{len}");
            rows.extend(split(b"b", b"next"));
            let rows = rows.into_iter().map(|(key, row)| Ok((key.into(), row)));
            let values: Vec<_> = join(Tree::Directory, rows).map(|value| value.unwrap().1).collect();
            assert_eq!(values, [value, b"next".to_vec()]);
        }
    }

    #[test]
    fn parts_that_are_missing_or_bent_are_damage_and_never_a_panic() {
        let whole = split(b"key", &[7; 3 * ROW_BYTES]);
        let check = |rows: Vec<(Vec<u8>, IVec)>| {
            let rows = rows.into_iter().map(|(key, row)| Ok((key.into(), row)));
            let read: Vec<_> = join(Tree::Directory, rows).collect();
            assert!(matches!(read.as_slice(), [Err(StoreError::Damaged { .. })]), "{}", read.len());
        };
        for missing in 0..whole.len() {
            let mut rows = whole.clone();
            rows.remove(missing);
            check(rows);
        }
        for bent in 0..whole.len() {
            for len in [0, 3, 7, 9, 100] {
                let mut rows = whole.clone();
                rows[bent].1 = vec![0xFF; len].into();
                check(rows);
            }
        }
        // A number of parts that the length in the header cannot have.
        for parts in [0_u32, 1, 3, u32::MAX] {
            let mut rows = split(b"key", &[7; 100 + ROW_BYTES]);
            rows[0].1[..4].copy_from_slice(&parts.to_be_bytes());
            check(rows);
        }
        let mut rows = split(b"key", &[7; 100]);
        rows[0].1[..4].fill(0);
        check(rows);
        let mut rows = whole.clone();
        rows[0].0 = b"k".to_vec();
        check(rows);
    }
}
