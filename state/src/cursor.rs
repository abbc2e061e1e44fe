//! Places in a stream, and the steps between them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::UnixMs;

/// A place in a stream, in the source's own words.
///
/// Only the source that issued a token may look inside it. Cursors have no
/// order: "further along" is known from the chain of [`Advance`]s alone.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cursor {
    /// Everything from this instant on: the first read of a stream, and a rewind.
    Since(UnixMs),
    /// The opaque token that came with a page.
    Token(String),
    /// Everything between two instants: the first read of a window.
    Between {
        /// The earliest time asked for.
        from: UnixMs,
        /// The latest.
        to: UnixMs,
        /// How often it was begun before.
        turn: u32,
    },
}

impl Cursor {
    /// The instant from which everything follows, if the cursor is one.
    pub fn instant(&self) -> Option<UnixMs> {
        match self {
            Cursor::Since(at) => Some(*at),
            Cursor::Token(_) | Cursor::Between { .. } => None,
        }
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cursor::Since(at) => write!(f, "since {at}"),
            Cursor::Token(token) => write!(f, "token {token}"),
            Cursor::Between { from, to, turn } => write!(f, "between {from} and {to}, turn {turn}"),
        }
    }
}

/// The step a checkpoint takes once everything between `from` and `to` is safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advance {
    from: Cursor,
    to: Cursor,
}

impl Advance {
    /// Makes the step from one cursor to the next.
    pub fn new(from: Cursor, to: Cursor) -> Advance {
        Advance { from, to }
    }

    /// Joins the step that follows onto this one.
    ///
    /// # Errors
    ///
    /// [`NotJoined`] if `next` does not start where this step ends: the gap
    /// would be a page that nobody uploaded.
    pub fn then(self, next: Advance) -> Result<Advance, NotJoined> {
        if self.to != next.from {
            return Err(NotJoined { end: self.to, start: next.from });
        }
        Ok(Advance { from: self.from, to: next.to })
    }

    /// Where the step starts: has to equal the stored cursor when it is committed.
    pub fn from(&self) -> &Cursor {
        &self.from
    }

    /// Where the step ends: the stored cursor after the commit.
    pub fn to(&self) -> &Cursor {
        &self.to
    }
}

/// Two steps that do not meet.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the next step starts at {start:?}, this one ends at {end:?}")]
pub struct NotJoined {
    end: Cursor,
    start: Cursor,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_join_end_to_end_and_a_gap_is_refused() {
        let at = |name: &str| Cursor::Token(name.to_owned());
        let step = |from: &str, to: &str| Advance::new(at(from), at(to));
        assert_eq!(step("a", "b").then(step("b", "c")), Ok(step("a", "c")));
        let gap = step("a", "b").then(step("c", "d")).unwrap_err();
        assert_eq!(gap.to_string(), "the next step starts at token c, this one ends at token b");
    }

    #[test]
    fn a_cursor_says_what_it_is() {
        assert_eq!(format!("{:?}", Cursor::Since(UnixMs(5))), "since 5 ms");
        assert_eq!(format!("{:?}", Cursor::Token("t".to_owned())), "token t");
        let between = Cursor::Between { from: UnixMs(1), to: UnixMs(2), turn: 3 };
        assert_eq!(format!("{between:?}"), "between 1 ms and 2 ms, turn 3");
    }
}
