//! What the files hold: read from them at open, and kept up to date from then on.

use std::{collections::HashMap, fs, path::PathBuf};

use opgraph_state::Fingerprint;

use super::{
    folder::{Folder, Mark},
    text,
    trouble::Trouble,
};
use crate::graph::{RecordType, Sharing};

/// What the files hold.
#[derive(Debug)]
pub(super) struct Books {
    /// What is durable of it.
    pub(super) mark: Mark,
    /// Keys of event records, sorted: 16 bytes each.
    known: Vec<Fingerprint>,
    /// Shared records.
    pub(super) shared: u64,
    /// The number of the newest file of event records of each type, and its length without its end.
    newest: HashMap<RecordType, (u32, usize)>,
    /// Files are being put into their place: if that ends early, only they know how far it came.
    pub(super) halfway: bool,
}

impl Books {
    /// Reads every file of the graph.
    pub(super) fn read(folder: &Folder, mark: Mark) -> Result<Books, Trouble> {
        let mut books = Books { mark, known: Vec::new(), shared: 0, newest: HashMap::new(), halfway: false };
        for within in folder.graphs() {
            for entry in fs::read_dir(within)? {
                books.read_file(entry?.path(), folder)?;
            }
        }
        books.known.sort_unstable();
        if let Some(twice) = books.known.windows(2).position(|pair| pair[0] == pair[1]) {
            let what = format!("two records of the events have one key ({:032x})", books.known[twice].0);
            return Err(Trouble::Damaged(folder.dir().to_owned(), what));
        }
        let found = books.records();
        if found < books.mark.records {
            return Err(Trouble::Missing { expected: books.mark.records, found });
        }
        Ok(books)
    }

    fn read_file(&mut self, path: PathBuf, folder: &Folder) -> Result<(), Trouble> {
        let foreign = || Trouble::Damaged(path.clone(), "opgraph has not written it".to_owned());
        let (of, part) =
            named(&path).filter(|(of, _)| path.starts_with(folder.graph(*of))).ok_or_else(foreign)?;
        let mut records = 0;
        text::each(&path, of, |key, _, _| {
            records += 1;
            if of.sharing() == Sharing::Event {
                self.known.push(Fingerprint::of(&key));
            }
        })?;
        match part {
            Part::Numbered(number) => {
                let length =
                    usize::try_from(fs::metadata(&path)?.len()).unwrap_or(usize::MAX) - text::END.len();
                let newest = self.newest.entry(of).or_insert((number, length));
                *newest = (*newest).max((number, length));
            }
            Part::Shelf(_) => self.shared += records,
        }
        Ok(())
    }

    /// How many records there are.
    pub(super) fn records(&self) -> u64 {
        self.known.len() as u64 + self.shared
    }

    /// Whether an event's record is there.
    pub(super) fn knows(&self, key: Fingerprint) -> bool {
        self.known.binary_search(&key).is_ok()
    }

    /// Takes note of event records that have come.
    pub(super) fn learn(&mut self, keys: impl IntoIterator<Item = Fingerprint>) {
        self.known.extend(keys);
        // Two sorted runs, or nearly: merging them is linear.
        self.known.sort();
    }

    /// The number of the newest file of event records of a type, and its length without its end.
    pub(super) fn newest(&self, of: RecordType) -> Option<(u32, usize)> {
        self.newest.get(&of).copied()
    }

    /// Takes note of it.
    pub(super) fn set_newest(&mut self, of: RecordType, number: u32, length: usize) {
        self.newest.insert(of, (number, length));
    }
}

/// Which file of a type it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Event records, in the order they came; from 1.
    Numbered(u32),
    /// Shared records with this hash of the key, below 16.
    Shelf(u8),
}

impl Part {
    /// Where the file is.
    pub(super) fn path(self, folder: &Folder, of: RecordType) -> PathBuf {
        let name = of.name();
        folder.graph(of).join(match self {
            Part::Numbered(number) => format!("{name}-{number:06}.json"),
            Part::Shelf(hash) => format!("{name}-{hash:x}.json"),
        })
    }
}

/// Reads the name of a file; `None` if it is none of ours.
fn named(path: &std::path::Path) -> Option<(RecordType, Part)> {
    let (name, part) = path.file_name()?.to_str()?.strip_suffix(".json")?.rsplit_once('-')?;
    let of = RecordType::all().find(|of| of.name() == name)?;
    let part = match of.sharing() {
        Sharing::Event => Part::Numbered(part.parse().ok().filter(|_| part.len() >= 6)?),
        Sharing::Shared => Part::Shelf(u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 1)?),
    };
    Some((of, part))
}
