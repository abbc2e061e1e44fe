//! Event records on their way into numbered files, in the order they come.

use std::{
    collections::{BTreeMap, HashSet},
    io,
};

use foldhash::fast::FixedState;
use opgraph_state::Fingerprint;

use super::{
    books::{Books, Part},
    folder::Folder,
    publish::Staged,
    text::Text,
    trouble::Trouble,
};
use crate::graph::{Record, RecordType};

/// The length at which a file takes no more records. JupiterOne's SDK keeps what it
/// uploads at once, and what it holds in memory, at 5 MB.
const FULL: usize = 4_000_000;

/// The files that an upload adds to.
#[derive(Debug, Default)]
pub(super) struct Fill {
    /// The last file of each type.
    open: BTreeMap<RecordType, (u32, Text)>,
    /// The length of the last file of each type that was written.
    written: BTreeMap<RecordType, (u32, usize)>,
    /// Keys that are not in the graph yet.
    added: HashSet<Fingerprint, FixedState>,
}

impl Fill {
    /// Takes a record, unless it is there.
    pub(super) fn take(
        &mut self,
        record: &Record<'_>,
        books: &Books,
        folder: &Folder,
        staged: &mut Staged,
    ) -> Result<(), Trouble> {
        let key = Fingerprint::of(record.key);
        if books.knows(key) || !self.added.insert(key) {
            return Ok(());
        }
        let of = record.of;
        let (number, mut text) = match self.open.remove(&of) {
            Some(open) => open,
            None => match self.written.get(&of).copied().or(books.newest(of)) {
                Some((number, length)) if length < FULL => {
                    (number, Text::after(Part::Numbered(number).path(folder, of))?)
                }
                newest => (newest.map_or(0, |(number, _)| number) + 1, Text::new(of)),
            },
        };
        text.push(record.json);
        if text.len() < FULL {
            self.open.insert(of, (number, text));
        } else {
            self.write(of, number, text, folder, staged)?;
        }
        Ok(())
    }

    /// Writes what is left.
    pub(super) fn close(&mut self, folder: &Folder, staged: &mut Staged) -> io::Result<()> {
        while let Some((of, (number, text))) = self.open.pop_first() {
            self.write(of, number, text, folder, staged)?;
        }
        Ok(())
    }

    /// Tells what was added.
    pub(super) fn enter(self, books: &mut Books) {
        for (of, (number, length)) in self.written {
            books.set_newest(of, number, length);
        }
        books.learn(self.added);
    }

    fn write(
        &mut self,
        of: RecordType,
        number: u32,
        text: Text,
        folder: &Folder,
        staged: &mut Staged,
    ) -> io::Result<()> {
        self.written.insert(of, (number, text.len()));
        staged.write(folder, of, Part::Numbered(number).path(folder, of), &text.close())
    }
}
