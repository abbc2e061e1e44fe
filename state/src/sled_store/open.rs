//! Opening a state directory, and finding out whether it is what it should be.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use super::{
    OpenOptions,
    failure::Failure,
    fsync::Durability,
    lock::Lock,
    record::{Found, RecordFile},
    trees::{Rows, Tree, Trees, said},
    values,
    values::{COMMITS_KEY, FORMAT_KEY},
};
use crate::StoreError;

/// The format this version writes, and the newest it reads.
pub(super) const FORMAT: u32 = 1;

/// What an open directory consists of.
pub(super) struct Opened {
    pub(super) trees: Trees,
    pub(super) durability: Durability,
    /// The number of the last commit anybody knows of.
    pub(super) commits: u64,
    /// In what way the state went backwards, if it did.
    pub(super) rolled_back: Option<String>,
    // Dropped last: sled has to be closed before it.
    pub(super) lock: Lock,
}

pub(super) fn open(dir: &Path, options: &OpenOptions) -> Result<Opened, StoreError> {
    let io = |error| Failure::new(format!("open the state directory `{}`", dir.display()), error).error();
    make_private_dir(dir).map_err(io)?;
    let lock = Lock::take(dir).map_err(io)?.ok_or_else(|| in_use(dir))?;
    let found = RecordFile::in_dir(dir).read();
    if let Found::Record(record) = &found {
        known(dir, record.format)?;
    }
    remove_unfinished_snapshots(dir).map_err(io)?;
    let db = match open_sled(dir, options) {
        // sled never syncs its settings. As long as there was no commit they may be torn.
        Err(StoreError::Damaged { .. }) if matches!(found, Found::Missing) => {
            remove_settings(dir).map_err(io)?;
            open_sled(dir, options)?
        }
        opened => opened?,
    };
    keep_files_private(dir).map_err(io)?;
    let foreign = |db: &sled::Db| {
        let names = db.tree_names();
        let ours = |name: &sled::IVec| Tree::ALL.iter().any(|tree| tree.name().as_bytes() == &name[..]);
        names.into_iter().find(|name| !ours(name) && &name[..] != b"__sled__default")
    };
    if let Some(name) = foreign(&db) {
        let what = format!("{}: the tree `{}` is not one of ours", at(dir), name.escape_ascii());
        return Err(StoreError::Damaged { what });
    }
    let trees = Trees::open(&db)?;
    let stored = read_format(&trees)?;
    if let Some(format) = stored {
        known(dir, format)?;
    }
    let commits = values::meta(&trees, COMMITS_KEY)?.map_or(0, |number| number.get());
    let durability = Durability::new(db, dir, FORMAT).map_err(io)?;
    if stored.is_none() {
        write_format(dir, &trees)?;
    }
    let rolled_back = went_backwards(&found, commits);
    match &rolled_back {
        // The record stays as it is until there is a newer commit to record, so
        // that a process that dies before that does not take the report with it.
        Some(how) => tracing::warn!(dir = %dir.display(), how, "the state went backwards"),
        None if stored.is_none() || !matches!(found, Found::Record(_)) => {
            sync_settings(dir).map_err(io)?;
            durability.make_durable(commits).map_err(|failure| failure.error())?;
            sync_way_to(dir).map_err(io)?;
        }
        None => {}
    }
    // No number is ever given twice, not even after the state went backwards.
    let recorded = if let Found::Record(record) = found { record.commits } else { 0 };
    Ok(Opened { trees, durability, commits: commits.max(recorded), rolled_back, lock })
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

fn known(dir: &Path, found: u32) -> Result<(), StoreError> {
    if found > FORMAT {
        return Err(StoreError::TooNew { path: dir.display().to_string(), found, known: FORMAT });
    }
    Ok(())
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Makes the names of the folders that lead to a new state durable: any of them
/// may be as new as it is.
fn sync_way_to(dir: &Path) -> io::Result<()> {
    let dir = fs::canonicalize(dir)?;
    let device = fs::metadata(&dir)?.dev();
    for folder in dir.ancestors().skip(1) {
        if fs::metadata(folder)?.dev() != device {
            break;
        }
        match File::open(folder) {
            Ok(folder) => folder.sync_all()?,
            // What this user may not read, it has not made.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes sled's settings durable, which sled leaves out.
fn sync_settings(dir: &Path) -> io::Result<()> {
    File::open(dir.join("conf"))?.sync_all()
}

/// Removes the snapshots that sled had not finished when the process ended.
///
/// sled takes them for its newest and refuses to open when they are torn. It
/// does not need them: it finds out again from `db`.
fn remove_unfinished_snapshots(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes sled's settings, so that it writes them again; they are always the same.
fn remove_settings(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join("conf")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
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

fn open_sled(dir: &Path, options: &OpenOptions) -> Result<sled::Db, StoreError> {
    let config = sled::Config::new().path(dir).flush_every_ms(None).cache_capacity(options.cache_bytes);
    // sled panics on some damage instead of answering with an error.
    let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
    match opened {
        Ok(Ok(db)) => Ok(db),
        // There is no error of its own for this.
        Ok(Err(sled::Error::Io(error))) if error.to_string().contains("could not acquire lock") => {
            Err(in_use(dir))
        }
        Ok(Err(error @ sled::Error::Io(_))) => {
            Err(Failure::new(format!("open the database `{}`", at(dir)), error).error())
        }
        Ok(Err(error)) => Err(StoreError::Damaged { what: format!("{}: {}", at(dir), said(&error)) }),
        Err(_) => Err(StoreError::Damaged {
            what: format!("{}: the database panicked while it was opened", at(dir)),
        }),
    }
}

fn read_format(trees: &Trees) -> Result<Option<u32>, StoreError> {
    let Some(stored) = trees.get(Tree::Meta, FORMAT_KEY)? else { return Ok(None) };
    let number = values::from_number(FORMAT_KEY, &stored)?;
    match u32::try_from(number) {
        Ok(format) if format > 0 => Ok(Some(format)),
        _ => Err(Tree::Meta.damaged(FORMAT_KEY, "not a version of the format")),
    }
}

/// The format is the first row ever written, so rows without it are not ours.
fn write_format(dir: &Path, trees: &Trees) -> Result<(), StoreError> {
    if let Some(tree) = trees.all().iter().find(|tree| !tree.is_empty()) {
        let name = tree.name();
        let what =
            format!("{}: the tree `{}` has rows, but no format is stored", at(dir), name.escape_ascii());
        return Err(StoreError::Damaged { what });
    }
    let format = u64::from(FORMAT).to_be_bytes();
    let meta = &trees.all()[Tree::Meta as usize];
    let write = meta.insert(FORMAT_KEY, &format);
    write.map_err(|error| Failure::new("write the format of a new state", error).error())?;
    Ok(())
}
