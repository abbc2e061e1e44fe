//! Opening a state directory, and finding out whether it is what it should be.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use super::{
    OpenOptions, beside,
    content::{CONTENT_KEY, Content},
    cursors_json,
    cursors_json::Kept,
    failure::Failure,
    format::{ADDED_UP, FORMAT, known, read_format, write_format},
    fsync::Durability,
    hours,
    lock::Lock,
    readable::read_ahead,
    record::{Found, Record, RecordFile},
    trees::{Rows, Tree, Trees, is_missing, said},
    values,
    values::COMMITS_KEY,
    walk::{Findings, Sums, TreeFindings, walk},
};
use crate::StoreError;

/// How much is read at open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Every row but the ids: whoever reads some of them compares them then.
    AllButIds,
    /// Every row.
    All,
}

/// What an open directory consists of.
pub(super) struct Opened {
    pub(super) trees: Trees,
    pub(super) durability: Durability,
    /// The number of the last commit anybody knows of.
    pub(super) commits: u64,
    /// What all rows add up to.
    pub(super) content: Content,
    /// The rows that were read.
    pub(super) rows: u64,
    /// In what way the state went backwards, if it did.
    pub(super) rolled_back: Option<String>,
    // Dropped last: sled has to be closed before it.
    pub(super) lock: Lock,
}

/// What a look at everything in a directory has found.
pub(super) struct Looked {
    pub(super) findings: Findings,
    pub(super) sums: Sums,
    db: sled::Db,
    trees: Trees,
    found: Found,
    /// The format of the database; `None` if it is new.
    format: Option<u32>,
}

pub(super) fn open(dir: &Path, options: &OpenOptions, extent: Extent) -> Result<Opened, StoreError> {
    open_under(lock(dir)?, dir, options, extent).map_err(|failed| failed.1)
}

/// Takes the lock of a directory, making it if it does not exist.
pub(super) fn lock(dir: &Path) -> Result<Lock, StoreError> {
    make_private_dir(dir).map_err(|error| cannot_open(dir, error))?;
    Lock::of(dir)
}

/// Opens a directory that is locked; gives the lock back if it cannot.
pub(super) fn open_under(
    lock: Lock,
    dir: &Path,
    options: &OpenOptions,
    extent: Extent,
) -> Result<Opened, Box<(Lock, StoreError)>> {
    let opened = look(dir, options, &lock, extent).and_then(|looked| match looked.findings.damage() {
        Some(what) => Err(StoreError::Damaged { what }),
        None => go_on(dir, looked),
    });
    match opened {
        Ok(WentOn { trees, durability, commits, content, rows, rolled_back }) => {
            beside::clean(dir);
            Ok(Opened { trees, durability, commits, content, rows, rolled_back, lock })
        }
        Err(error) => Err(Box::new((lock, error))),
    }
}

/// An open directory without its lock.
struct WentOn {
    trees: Trees,
    durability: Durability,
    commits: u64,
    content: Content,
    rows: u64,
    rolled_back: Option<String>,
}

/// Makes a directory that was found whole ready for writing.
fn go_on(dir: &Path, looked: Looked) -> Result<WentOn, StoreError> {
    let io = |error| cannot_open(dir, error);
    let Looked {
        findings: Findings { commits, rolled_back, trees: walked, .. },
        sums,
        db,
        trees,
        found,
        format,
    } = looked;
    keep_files_private(dir).map_err(io)?;
    let durability = Durability::new(db, dir, FORMAT).map_err(io)?;
    let content = if format == Some(FORMAT) { sums.kept } else { write_format(&trees, commits, &sums)? };
    match &rolled_back {
        // The record stays as it is until there is a newer commit to record, so
        // that a process that dies before that does not take the report with it.
        Some(how) => tracing::warn!(dir = %dir.display(), how, "the state went backwards"),
        None if format != Some(FORMAT) || !matches!(found, Found::Record(_)) => {
            beside::sync_settings(dir).map_err(io)?;
            durability.make_durable(commits).map_err(|failure| failure.error())?;
            beside::sync_way_to(dir).map_err(io)?;
        }
        None => {}
    }
    // No number is ever given twice, not even after the state went backwards.
    let recorded = if let Found::Record(record) = found { record.commits } else { 0 };
    let rows = walked.iter().filter(|tree| tree.name != Tree::Meta.name()).map(|tree| tree.rows).sum();
    Ok(WentOn { trees, durability, commits: commits.max(recorded), content, rows, rolled_back })
}

/// Opens the database of a locked directory and reads the rows of it: all of
/// them, whatever `extent` says, if it is of an older format, or if damage was
/// found when it was open last.
///
/// # Errors
///
/// [`StoreError::Damaged`] if there is nothing that could be read; rows that
/// make no sense are among the findings.
pub(super) fn look(
    dir: &Path,
    options: &OpenOptions,
    _: &Lock,
    extent: Extent,
) -> Result<Looked, StoreError> {
    let io = |error| cannot_open(dir, error);
    beside::check_kinds(dir)?;
    let found = RecordFile::in_dir(dir).read().map_err(io)?;
    match &found {
        Found::Record(record) => known(dir, record.format)?,
        Found::Foreign(format) => known(dir, *format)?,
        Found::Missing | Found::Damaged(_) => {}
    }
    if let Found::Record(record) = &found
        && record.format < FORMAT
    {
        // Before a tree is made that programs of that format do not know: they
        // would take it for damage.
        RecordFile::in_dir(dir).write(Record::new(FORMAT, record.commits)).map_err(io)?;
    }
    let recorded = if let Found::Record(record) = &found { record.commits } else { 0 };
    // sled takes what it cannot read for what a crash has torn off, and wipes
    // it: so whether the disk can be read is found out before.
    let bytes = read_ahead(dir).map_err(io)?;
    if bytes == 0 && recorded > 0 {
        let what = format!("{}: it is missing or empty, but commit {recorded} was made durable", at(dir));
        return Err(StoreError::Damaged { what });
    }
    beside::remove_unfinished_snapshots(dir).map_err(io)?;
    let (db, trees) = match open_without_panic(dir, options) {
        // sled never syncs its settings. As long as there was no commit they may be torn.
        Err(StoreError::Damaged { .. }) if matches!(found, Found::Missing) => {
            beside::remove_settings(dir).map_err(io)?;
            open_without_panic(dir, options)?
        }
        opened => opened?,
    };
    let format = read_format(&trees)?;
    if let Some(format) = format {
        known(dir, format)?;
    }
    let commits = values::meta(&trees, COMMITS_KEY)?.map_or(0, |number| number.get());
    if commits == 0 {
        empty_by_right(dir, recorded)?;
    }
    let suspect = beside::is_suspect(dir);
    let extent = if format == Some(FORMAT) && !suspect { extent } else { Extent::All };
    let (walked, sums) = walk(&trees, extent)?;
    if format.is_none() {
        empty_without_format(dir, &walked)?;
    }
    let missing = match (format, extent) {
        (None, _) => None,
        (Some(..ADDED_UP), _) => None,
        (Some(ADDED_UP), _) => differs(&trees, commits, sums.all())?,
        (Some(_), Extent::AllButIds) => differs(&trees, commits, sums.kept)?,
        (Some(_), Extent::All) => match differs(&trees, commits, sums.kept)? {
            None => hours::differ(&hours::stored(&trees)?, &sums.hours),
            missing => missing,
        },
    };
    let rolled_back = went_backwards(&found, commits);
    let findings = Findings { trees: walked, commits, missing, rolled_back };
    if suspect && findings.damage().is_none() {
        beside::clear(dir);
    }
    Ok(Looked { findings, sums, db, trees, found, format })
}

/// Opens the database of a directory that was open until now, and reads every
/// row but the ids: they have to be as the last commit has left them. Answers
/// also how many bytes it has read.
pub(super) fn again(
    dir: &Path,
    options: &OpenOptions,
    commits: u64,
) -> Result<(sled::Db, Trees, u64), StoreError> {
    read_ahead(dir).map_err(|error| cannot_open(dir, error))?;
    let (db, trees) = open_without_panic(dir, options)?;
    let (walked, sums) = walk(&trees, Extent::AllButIds)?;
    let missing = differs(&trees, commits, sums.kept)?;
    let read = walked.iter().map(|tree| tree.bytes).sum();
    let findings = Findings { trees: walked, commits, missing, rolled_back: None };
    match findings.damage() {
        Some(what) => Err(StoreError::Damaged { what }),
        None => Ok((db, trees, read)),
    }
}

/// Compares what all rows add up to with what the last commit has left.
fn differs(trees: &Trees, commits: u64, content: Content) -> Result<Option<String>, StoreError> {
    let stored = trees.get(Tree::Meta, CONTENT_KEY)?;
    Ok(match stored.as_deref().and_then(Content::read) {
        Some((of, expected)) if of == commits && expected == content => None,
        Some((of, expected)) => Some(format!(
            "commit {of} left {} rows, and commit {commits} is the last one there: {} rows are left of it, or \
             others",
            expected.rows, content.rows
        )),
        None => Some("what all rows add up to is not stored".to_owned()),
    })
}

/// A database without commits is new, unless something beside it knows better.
fn empty_by_right(dir: &Path, recorded: u64) -> Result<(), StoreError> {
    let damaged =
        |why: String| Err(StoreError::Damaged { what: format!("{}: it is empty, but {why}", at(dir)) });
    if recorded > 0 {
        return damaged(format!("commit {recorded} was made durable"));
    }
    match cursors_json::read(dir).map_err(|error| cannot_open(dir, error))? {
        Kept::File(file) if !file.tenants.is_empty() => {
            damaged(format!("`{}` knows of cursors", cursors_json::NAME))
        }
        _ => Ok(()),
    }
}

/// Compares the number of the last commit outside the database with the one inside.
///
/// | outside | inside          | answer                                            |
/// |---------|-----------------|---------------------------------------------------|
/// | 7       | 7               | as it should be                                   |
/// | 7       | 8 or more       | the process ended before it recorded: as it should be |
/// | 7       | 6 or less       | went backwards                                    |
/// | missing | 0               | new                                               |
/// | missing | 1 or more       | may have gone backwards                           |
/// | damaged | anything        | may have gone backwards                           |
fn went_backwards(found: &Found, stored: u64) -> Option<String> {
    match found {
        Found::Record(record) if record.commits > stored => Some(format!(
            "the database is at commit {stored}, but commit {} was made durable: the checkpoints are older than \
             they should be, and reading again from them is safe",
            record.commits
        )),
        Found::Missing if stored > 0 => Some(format!(
            "`commit.json` is missing, so nobody can tell whether commit {stored} is the last one; reading again \
             from its checkpoints is safe"
        )),
        Found::Foreign(_) => {
            Some("`commit.json` is of another shape; reading again from the checkpoints is safe".to_owned())
        }
        Found::Damaged(why) => Some(format!(
            "`commit.json` cannot be read ({why}), so nobody can tell whether commit {stored} is the last one; \
             reading again from its checkpoints is safe"
        )),
        _ => None,
    }
}

fn at(dir: &Path) -> String {
    dir.join("db").display().to_string()
}

fn in_use(dir: &Path) -> StoreError {
    StoreError::InUse { path: dir.display().to_string() }
}

fn cannot_open(dir: &Path, error: io::Error) -> StoreError {
    Failure::new(format!("open the state directory `{}`", dir.display()), error).error()
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// sled makes its files with the process's umask.
fn keep_files_private(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let mode = if entry.file_type()?.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(entry.path(), Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Opens the database and its trees: sled panics on some damage instead of
/// answering with an error.
fn open_without_panic(dir: &Path, options: &OpenOptions) -> Result<(sled::Db, Trees), StoreError> {
    catch_unwind(AssertUnwindSafe(|| open_trees(dir, options))).unwrap_or_else(|_| {
        let what = format!("{}: the database panicked while it was opened", at(dir));
        Err(StoreError::Damaged { what })
    })
}

/// What a page of small rows takes in sled's cache for each byte that sled counts,
/// which are those on disk, about: 30 MB of rows were held where sled counts up to
/// 11 (heaptrack, while 58,000 secrets were committed).
const IN_MEMORY: u64 = 3;

/// Opens the database and its trees. May panic.
pub(super) fn open_trees(dir: &Path, options: &OpenOptions) -> Result<(sled::Db, Trees), StoreError> {
    let counted = options.cache_bytes / IN_MEMORY;
    let config = sled::Config::new().path(dir).flush_every_ms(None).cache_capacity(counted);
    let db = config.open().map_err(|error| not_opened(dir, error))?;
    let ours = |name: &sled::IVec| Tree::ALL.iter().any(|tree| tree.name().as_bytes() == &name[..]);
    let foreign = db.tree_names().into_iter().find(|name| !ours(name) && &name[..] != b"__sled__default");
    if let Some(name) = foreign {
        let what = format!("{}: the tree `{}` is not one of ours", at(dir), name.escape_ascii());
        return Err(StoreError::Damaged { what });
    }
    let trees = Trees::open(&db)?;
    Ok((db, trees))
}

fn not_opened(dir: &Path, error: sled::Error) -> StoreError {
    match error {
        // There is no error of its own for this.
        sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => in_use(dir),
        sled::Error::Io(error) if !is_missing(&error) => {
            Failure::new(format!("open the database `{}`", at(dir)), error).error()
        }
        other => StoreError::Damaged { what: format!("{}: {}", at(dir), said(&other)) },
    }
}

/// The format is the first row ever written, so rows without it are not ours.
fn empty_without_format(dir: &Path, walked: &[TreeFindings]) -> Result<(), StoreError> {
    let Some(tree) = walked.iter().find(|tree| tree.rows > 0) else { return Ok(()) };
    let what = format!("{}: the tree `{}` has rows, but no format is stored", at(dir), tree.name);
    Err(StoreError::Damaged { what })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is damaged is moved aside; a database in use or a disk in trouble must not have that done to it.
    #[test]
    fn a_database_that_does_not_open_is_damaged_only_if_what_should_be_there_is_not() {
        let told = |error| not_opened(Path::new("/state"), error);
        let io = |kind: io::ErrorKind| told(sled::Error::Io(kind.into()));
        let locked = io::Error::other("could not acquire lock on \"/state/db\"");
        assert!(matches!(told(sled::Error::Io(locked)), StoreError::InUse { path } if path == "/state"));
        for kind in [io::ErrorKind::Other, io::ErrorKind::PermissionDenied, io::ErrorKind::StorageFull] {
            let error = io(kind);
            assert!(matches!(error, StoreError::Io { .. }), "{kind}: {error}");
            assert_eq!(error.to_string(), "cannot open the database `/state/db`");
        }
        let corruption = told(sled::Error::Corruption { at: None, bt: () });
        for error in [io(io::ErrorKind::UnexpectedEof), io(io::ErrorKind::NotFound), corruption] {
            let StoreError::Damaged { what } = error else { panic!("{error}") };
            assert!(what.starts_with("/state/db: "), "{what}");
        }
    }
}
