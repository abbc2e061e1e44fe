//! What the ids of an hour add up to.
//!
//! Nearly all rows are ids, and ten million of them take longer to read than a
//! start may take. So an open reads every row but those; what has to be there is
//! among the rows that it reads: for each stream and hour, how many rows of ids
//! there are and the sum of their fingerprints. Whoever reads ids reads the
//! whole hour and compares, so none is ever trusted unseen.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    iter::Peekable,
};

use super::{
    content::Content,
    overlay::Overlay,
    rows,
    trees::{Row, Tree, Trees},
};
use crate::StoreError;

/// Ids for which room is made before they are read, at most.
const MOST: usize = 1 << 26;

/// Ids of a row at most.
const ROW_IDS: usize = rows::ROW_BYTES / size_of::<u128>();

/// What the ids of each hour add up to, by the key of the hour.
pub(super) type Hours = BTreeMap<Vec<u8>, Content>;

/// Takes a row of ids in.
pub(super) fn add(hours: &mut Hours, key: &[u8], value: &[u8]) {
    // A key that cannot be one of ours is an hour that nobody knows of.
    let hour = rows::hour_of(key).unwrap_or(key);
    hours.entry(hour.to_vec()).or_default().add(Tree::Seen, key, value);
}

/// Reads what the ids of every hour should add up to.
pub(super) fn stored(trees: &Trees) -> Result<Hours, StoreError> {
    let stored = trees.scan(Tree::Hours, &[]).map(|row| {
        let (hour, value) = row?;
        Ok((hour.to_vec(), decode(&hour, &value)?))
    });
    stored.collect()
}

/// Decodes what the ids of an hour should add up to.
pub(super) fn decode(hour: &[u8], value: &[u8]) -> Result<Content, StoreError> {
    Content::from_bytes(value).ok_or_else(|| Tree::Hours.damaged(hour, "not what ids add up to"))
}

/// Says where ids differ from what they should add up to, if they do.
pub(super) fn differ(expected: &Hours, found: &Hours) -> Option<String> {
    let of = |hours: &Hours, hour| hours.get(hour).copied().unwrap_or_default();
    let mut hours = expected.keys().chain(found.keys());
    let bent = hours.find(|hour| expected.get(*hour) != found.get(*hour))?;
    Some(told(bent, of(expected, bent), of(found, bent)))
}

fn told(hour: &[u8], expected: Content, found: Content) -> String {
    format!(
        "tree `{}`, hour `{}`: commits left {} rows, and {} rows are left of it, or others",
        Tree::Seen.name(),
        hour.escape_ascii(),
        expected.rows,
        found.rows
    )
}

/// Brings the sums up to date with the rows of ids that a group adds and takes out.
///
/// # Errors
///
/// [`StoreError::Damaged`] if the last row of an hour goes and something is left of its sum.
pub(super) fn keep_up(overlay: &mut Overlay<'_>) -> Result<(), StoreError> {
    let mut hours = Hours::new();
    for (key, new) in overlay.accepted(Tree::Seen) {
        let hour = rows::hour_of(key).unwrap_or(key);
        let sum = match hours.entry(hour.to_vec()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let stored = overlay.stored(Tree::Hours, hour)?;
                unknown.insert(stored.map_or_else(|| Ok(Content::default()), |value| decode(hour, &value))?)
            }
        };
        if let Some(old) = overlay.stored(Tree::Seen, key)? {
            sum.remove(Tree::Seen, key, &old);
        }
        if let Some(new) = new {
            sum.add(Tree::Seen, key, new);
        }
    }
    for (hour, sum) in hours {
        if sum.rows > 0 {
            overlay.put_row(Tree::Hours, hour, sum.to_bytes().into());
        } else if sum == Content::default() {
            overlay.remove_row(Tree::Hours, hour);
        } else {
            return Err(
                Tree::Seen.damaged(&hour, "the last row of the hour goes, and others were lost before")
            );
        }
    }
    overlay.accept();
    Ok(())
}

/// Rows of ids beside what they should add up to, hour by hour, both in the
/// same order: from the oldest or from the newest.
pub(super) struct Hourly<H, S: Iterator> {
    hours: H,
    seen: Peekable<S>,
}

impl<H, S> Hourly<H, S>
where
    H: Iterator<Item = Result<Row, StoreError>>,
    S: Iterator<Item = Result<Row, StoreError>>,
{
    pub(super) fn new(hours: H, seen: S) -> Hourly<H, S> {
        Hourly { hours, seen: seen.peekable() }
    }

    /// Shows the rows of the next hour to `visit`, all of them; answers the key
    /// of the hour, and `None` behind the last one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if they are not what they should be; what was
    /// shown of them is worth nothing then.
    pub(super) fn next(
        &mut self,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(hour) = self.hours.next() else {
            return match self.seen.next() {
                None => Ok(None),
                Some(row) => Err(Tree::Seen.damaged(&row?.0, "a row of an hour that has none")),
            };
        };
        let (hour, expected) = hour?;
        let expected = decode(&hour, &expected)?;
        let mut found = Content::default();
        let inside =
            |row: &Result<Row, StoreError>| row.as_ref().map_or(true, |(key, _)| key.starts_with(&hour));
        while let Some(row) = self.seen.next_if(inside) {
            let (key, value) = row?;
            found.add(Tree::Seen, &key, &value);
            visit(&key, &value)?;
        }
        if found != expected {
            return Err(StoreError::Damaged { what: told(&hour, expected, found) });
        }
        Ok(Some(hour.to_vec()))
    }
}

/// How many ids of a stream there can be.
pub(super) fn most(trees: &Trees, stream: &[u8]) -> Result<usize, StoreError> {
    let mut rows = 0;
    for row in trees.scan(Tree::Hours, stream) {
        let (hour, value) = row?;
        rows += decode(&hour, &value)?.rows;
    }
    // A number that makes no sense is found by whoever reads the ids.
    Ok(usize::try_from(rows).unwrap_or(0).saturating_mul(ROW_IDS).min(MOST))
}

/// Reads the ids of the first hour behind `last`, of whatever stream; answers
/// the key of the hour, and `None` behind the last one.
pub(super) fn check_next(trees: &Trees, last: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let from = behind(last);
    let mut hourly = Hourly::new(trees.from(Tree::Hours, &from), trees.from(Tree::Seen, &from));
    hourly.next(|_, _| Ok(()))
}

/// The first key behind all that start with `prefix`; of an empty one, the first of all.
fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if let Some(next) = last.checked_add(1) {
            key.push(next);
            break;
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_behind_a_prefix_is_behind_all_that_start_with_it() {
        for (prefix, expect) in
            [(&b""[..], &b""[..]), (b"a", b"b"), (b"a\xFF", b"b"), (b"a\xFF\xFE", b"a\xFF\xFF")]
        {
            assert_eq!(behind(prefix), expect, "{prefix:?}");
        }
    }

    /// Every way in which rows and sums can differ, read from either end.
    #[test]
    fn rows_that_are_not_what_they_should_be_are_found_from_either_end() {
        let hour = |hour: i64| rows::seen_hour(b"s", hour);
        let key = |at: i64, row: u8| [&hour(at)[..], &[0; 15], &[row]].concat();
        let rows = [(1, 0, "a"), (1, 1, "b"), (2, 0, "c"), (4, 0, "d")];
        let mut sums = Hours::new();
        rows.iter().for_each(|(at, row, value)| add(&mut sums, &key(*at, *row), value.as_bytes()));
        let read = |rows: &[(i64, u8, &str)], sums: &Hours, back: bool| {
            let row = |key: Vec<u8>, value: &[u8]| Ok((key.into(), value.into()));
            let mut hours: Vec<Result<Row, StoreError>> =
                sums.iter().map(|(hour, sum)| row(hour.clone(), &sum.to_bytes())).collect();
            let mut seen: Vec<_> =
                rows.iter().map(|(at, number, value)| row(key(*at, *number), value.as_bytes())).collect();
            if back {
                hours.reverse();
                seen.reverse();
            }
            let (mut hourly, mut shown) = (Hourly::new(hours.into_iter(), seen.into_iter()), 0);
            while hourly
                .next(|_, _| {
                    shown += 1;
                    Ok(())
                })?
                .is_some()
            {}
            Ok::<usize, StoreError>(shown)
        };
        for back in [false, true] {
            assert_eq!(read(&rows, &sums, back).unwrap(), 4);
            assert_eq!(read(&[], &Hours::new(), back).unwrap(), 0);
            let mut added = rows.to_vec();
            for other in [(0, 0, "x"), (1, 2, "x"), (3, 0, "x"), (5, 0, "x")] {
                added.push(other);
                added.sort_unstable();
                read(&added, &sums, back).unwrap_err();
                added.retain(|row| *row != other);
            }
            for number in 0..rows.len() {
                let mut less = rows.to_vec();
                less.remove(number);
                read(&less, &sums, back).unwrap_err();
                let mut bent = rows.to_vec();
                bent[number].2 = "x";
                read(&bent, &sums, back).unwrap_err();
            }
            let without = sums.iter().skip(1).map(|(hour, sum)| (hour.clone(), *sum)).collect();
            read(&rows, &without, back).unwrap_err();
        }
    }
}
