//! What all rows add up to.
//!
//! sled finds out that a stretch of its log is damaged, and then goes on behind
//! it: rows can be lost from the middle while later ones are there. A number
//! that every commit changes along with its rows tells at the next open.

use xxhash_rust::xxh3::Xxh3;

use super::trees::Tree;

/// The key of the row in the tree `meta`.
pub(super) const CONTENT_KEY: &[u8] = b"content";

/// How many rows there are, and the sum of their fingerprints, modulo 2^128.
/// Of the whole state, two trees are left out: `meta`, which holds the result, and
/// `seen`, whose ids add up hour by hour (see [`super::hours`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) rows: u64,
    sum: u128,
}

impl Content {
    /// Takes a row in.
    pub(super) fn add(&mut self, tree: Tree, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(fingerprint(tree, key, value));
    }

    /// Takes a row out.
    pub(super) fn remove(&mut self, tree: Tree, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(fingerprint(tree, key, value));
    }

    /// Takes all that another one holds in.
    pub(super) fn plus(self, other: Content) -> Content {
        Content { rows: self.rows.wrapping_add(other.rows), sum: self.sum.wrapping_add(other.sum) }
    }

    /// Encodes it: rows, sum.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        [&self.rows.to_be_bytes()[..], &self.sum.to_be_bytes()].concat()
    }

    /// Decodes what [`Content::to_bytes`] has encoded; `None` if it is something else.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Content> {
        let (rows, rest) = bytes.split_first_chunk()?;
        let sum = u128::from_be_bytes(rest.try_into().ok()?);
        Some(Content { rows: u64::from_be_bytes(*rows), sum })
    }

    /// Encodes it together with the commit it is of: commit, rows, sum.
    pub(super) fn at(self, commits: u64) -> Vec<u8> {
        [&commits.to_be_bytes()[..], &self.to_bytes()].concat()
    }

    /// Decodes what [`Content::at`] has encoded; `None` if it is something else.
    pub(super) fn read(bytes: &[u8]) -> Option<(u64, Content)> {
        let (commits, rest) = bytes.split_first_chunk()?;
        Some((u64::from_be_bytes(*commits), Content::from_bytes(rest)?))
    }
}

fn fingerprint(tree: Tree, key: &[u8], value: &[u8]) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&[tree as u8]);
    // Where the key ends is part of it.
    hash.update(&(key.len() as u64).to_be_bytes());
    hash.update(key);
    hash.update(value);
    hash.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_add_up_in_any_order_and_every_difference_shows() {
        let rows = [(Tree::Seen, "a", "1"), (Tree::Seen, "b", "1"), (Tree::Claims, "a", "1")];
        let add = |rows: &[(Tree, &str, &str)]| {
            let mut content = Content::default();
            for (tree, key, value) in rows {
                content.add(*tree, key.as_bytes(), value.as_bytes());
            }
            content
        };
        let all = add(&rows);
        assert_eq!(all, add(&[rows[2], rows[0], rows[1]]));
        for other in [
            vec![rows[0], rows[1]],
            vec![rows[0], rows[0], rows[2]],
            vec![rows[0], rows[1], (Tree::Claims, "a", "2")],
            vec![rows[0], rows[1], (Tree::Claims, "a1", "")],
            vec![rows[0], rows[1], (Tree::Uploads, "a", "1")],
        ] {
            assert_ne!(all, add(&other), "{other:?}");
        }
        let mut less = all;
        less.remove(rows[1].0, rows[1].1.as_bytes(), rows[1].2.as_bytes());
        assert_eq!(less, add(&[rows[0], rows[2]]));
        assert_eq!(Content::read(&all.at(7)), Some((7, all)));
        for bent in [&[][..], &[0; 31], &[0; 33]] {
            assert_eq!(Content::read(bent), None);
        }
    }
}
