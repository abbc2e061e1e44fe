//! A disk, and what it may hold after a power cut.
//!
//! The disk promises no more than POSIX does. What was written to a file is
//! durable once that file was synced, through whichever handle; a name made,
//! changed or removed is durable once its directory was synced. (ext4 promises
//! more: there an fsync of a file also keeps every earlier change of names.)
//! Anything else may be there or not, in any order, and a write in part.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::journal::Entry;

/// A disk inside a folder, and what has been asked of it since it was last safe.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    /// The names that are durable.
    names: BTreeMap<PathBuf, Node>,
    /// Changes of names that are not, in order.
    renamed: Vec<Change>,
    files: Vec<File>,
    /// Which file has an inode now.
    inodes: HashMap<u64, usize>,
    /// The names as programs see them, to know what a rename moves.
    seen: BTreeMap<PathBuf, Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(usize),
}

/// A change of names. Each is whole or not at all.
#[derive(Clone, Debug)]
enum Change {
    Put(PathBuf, Node),
    Moved { from: PathBuf, to: PathBuf, node: Node },
    Gone(PathBuf),
}

impl Change {
    fn dir(&self) -> &Path {
        let (Change::Put(path, _) | Change::Moved { to: path, .. } | Change::Gone(path)) = self;
        path.parent().unwrap()
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Change::Put(path, node) => _ = names.insert(path.clone(), *node),
            Change::Moved { from, to, node } => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
            Change::Gone(path) => _ = names.remove(path),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct File {
    durable: Vec<u8>,
    /// What was written since, in order.
    pending: Vec<Write>,
}

#[derive(Clone, Debug)]
enum Write {
    Bytes { at: usize, bytes: Vec<u8> },
    Length(usize),
}

/// What of the changes that nobody made durable a cut leaves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Left {
    /// Nothing.
    Nothing,
    /// Everything: no cut at all.
    Everything,
    /// Some of it: each change by the throw of dice with this seed, writes also in part.
    Some(u64),
}

impl Disk {
    /// A disk whose only directory is `root`.
    pub(super) fn empty(root: &Path) -> Disk {
        let names = BTreeMap::from([(root.to_owned(), Node::Dir)]);
        Disk { seen: names.clone(), names, ..Disk::default() }
    }

    /// The disk as it is, all of it durable.
    pub(super) fn of(root: &Path) -> Disk {
        let mut disk = Disk::default();
        disk.add(root);
        disk.seen = disk.names.clone();
        disk
    }

    fn add(&mut self, dir: &Path) {
        self.names.insert(dir.to_owned(), Node::Dir);
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let (path, of) = (entry.path(), entry.metadata().unwrap());
            if of.is_dir() {
                self.add(&path);
            } else {
                let node = self.new_file(of.ino(), fs::read(&path).unwrap());
                self.names.insert(path, node);
            }
        }
    }

    fn new_file(&mut self, inode: u64, durable: Vec<u8>) -> Node {
        self.files.push(File { durable, pending: Vec::new() });
        self.inodes.insert(inode, self.files.len() - 1);
        Node::File(self.files.len() - 1)
    }

    fn file(&mut self, inode: u64) -> Option<&mut File> {
        self.inodes.get(&inode).map(|file| &mut self.files[*file])
    }

    fn rename(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.renamed.push(change);
    }

    /// One more thing was asked of the disk.
    pub(super) fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Write { inode, at, bytes } => {
                let write = Write::Bytes { at: *at as usize, bytes: bytes.clone() };
                self.file(*inode).expect("a file that was made").pending.push(write);
            }
            Entry::Truncate { inode, length } => {
                self.file(*inode)
                    .expect("a file that was made")
                    .pending
                    .push(Write::Length(*length as usize));
            }
            Entry::Create { path, inode } => {
                let node = self.new_file(*inode, Vec::new());
                self.rename(Change::Put(path.clone(), node));
            }
            Entry::MakeDir { path } => self.rename(Change::Put(path.clone(), Node::Dir)),
            Entry::Rename { from, to } => {
                let node = self.seen[from];
                self.rename(Change::Moved { from: from.clone(), to: to.clone(), node });
            }
            Entry::Unlink { path } => self.rename(Change::Gone(path.clone())),
            Entry::Sync { path, failed, .. } if self.seen.get(path) == Some(&Node::Dir) => {
                if !failed {
                    let (durable, left) = self.renamed.drain(..).partition(|change| change.dir() == path);
                    let durable: Vec<Change> = durable;
                    durable.iter().for_each(|change| change.apply(&mut self.names));
                    self.renamed = left;
                }
            }
            Entry::Sync { inode, failed, .. } => {
                let Some(file) = self.file(*inode) else { return };
                // After a failed sync the kernel takes its pages for clean: no
                // later sync makes them durable.
                let pending = std::mem::take(&mut file.pending);
                if !failed {
                    pending.iter().for_each(|write| write.apply(&mut file.durable));
                }
            }
            Entry::Said(_) => {}
        }
    }

    /// What the disk may hold if the power fails now: every file by its path, `None` for a directory.
    pub(super) fn after_cut(&self, left: Left) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut dice = fastrand::Rng::with_seed(if let Left::Some(seed) = left { seed } else { 0 });
        let mut names = self.names.clone();
        for change in &self.renamed {
            let stays = match left {
                Left::Nothing => false,
                Left::Everything => true,
                Left::Some(_) => dice.bool(),
            };
            if stays {
                change.apply(&mut names);
            }
        }
        // A name in a directory that is not there cannot be found.
        let reachable = |path: &Path| {
            path.ancestors()
                .skip(1)
                .take_while(|dir| self.seen.contains_key(*dir))
                .all(|dir| names.contains_key(dir))
        };
        let mut image = BTreeMap::new();
        for (path, node) in names.iter().filter(|(path, _)| reachable(path)) {
            let content = match node {
                Node::Dir => None,
                Node::File(file) => Some(self.files[*file].after_cut(left, &mut dice)),
            };
            image.insert(path.clone(), content);
        }
        image
    }

    /// Puts what [`Disk::after_cut`] answers into a folder of its own, in the place of `root`.
    pub(super) fn restore(&self, left: Left, root: &Path, to: &Path) {
        for (path, content) in self.after_cut(left) {
            let path = to.join(path.strip_prefix(root).unwrap());
            match content {
                None => fs::create_dir_all(path).unwrap(),
                Some(bytes) => fs::write(path, bytes).unwrap(),
            }
        }
    }
}

impl File {
    fn after_cut(&self, left: Left, dice: &mut fastrand::Rng) -> Vec<u8> {
        let mut content = self.durable.clone();
        for write in &self.pending {
            match left {
                Left::Nothing => {}
                Left::Everything => write.apply(&mut content),
                Left::Some(_) => match dice.u8(0..4) {
                    0 => {}
                    1 => write.apply_in_part(&mut content, dice),
                    _ => write.apply(&mut content),
                },
            }
        }
        content
    }
}

impl Write {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Write::Length(length) => content.resize(*length, 0),
            Write::Bytes { at, bytes } => put(content, *at, bytes),
        }
    }

    /// Some sectors make it: the first few, or any. What is shorter than one makes it by half.
    fn apply_in_part(&self, content: &mut Vec<u8>, dice: &mut fastrand::Rng) {
        const SECTOR: usize = 512;
        match self {
            Write::Bytes { at, bytes } if bytes.len() <= SECTOR => {
                put(content, *at, &bytes[..bytes.len() / 2])
            }
            Write::Bytes { at, bytes } => {
                let (first_few, any) = (dice.usize(0..bytes.len() / SECTOR + 1), dice.bool());
                for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                    if if any { dice.bool() } else { number < first_few } {
                        put(content, at + number * SECTOR, sector);
                    }
                }
            }
            Write::Length(_) => {}
        }
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}
