//! Whose folder it is, and where everything in it lies.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    publish::write,
    trouble::{Trouble, cannot, unfit},
};
use crate::{
    graph::{EntityType, RecordType, RelationshipType},
    sink::SinkError,
};

/// The name that the SDK gives its folder.
const STORAGE: &str = ".j1-integration";

/// Our own folder in it.
const OURS: &str = "opgraph";

/// Says whose folder it is.
const MARK: &str = "files.json";

/// The format of what we keep beside the graph.
const FORMAT: u32 = 1;

/// How often an earlier upload of this process is given the time to let go: it
/// ends what it is writing, which nobody waits for any more.
const TRIES: u32 = 100;

/// Where the state lies that belongs to the files in `dir`. It comes and goes
/// with them, so that neither is ever ahead of the other.
pub fn state_dir(dir: &Path) -> PathBuf {
    dir.join(STORAGE).join(OURS).join("state")
}

/// The folder whose files a state belongs to; `None` of any other state.
pub fn dir_of(state_dir: &Path) -> Option<&Path> {
    let within = state_dir.strip_prefix(state_dir.ancestors().nth(3)?).ok()?;
    let is_ours = within == Path::new(STORAGE).join(OURS).join("state");
    is_ours.then(|| state_dir.ancestors().nth(3)).flatten()
}

/// Makes sure that `dir` is a folder for the files of this tenant, or makes it
/// one. To be called before its state is opened: nothing is put into a folder
/// that is somebody else's.
///
/// # Errors
///
/// If it is not empty and not ours, another tenant's, of a newer format, or
/// cannot be written to.
pub fn prepare(dir: &Path, tenant: &str) -> Result<(), SinkError> {
    Folder::marked(dir, tenant).map(drop)
}

/// What is known of the files as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    format: u32,
    tenant: String,
    /// Records that the files hold at least.
    pub(super) records: u64,
    /// A vault has been taken out.
    pub(super) vault_removed: bool,
}

/// The folder of one tenant.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    storage: PathBuf,
    /// Held as long as anything may be written.
    _lock: Option<File>,
}

impl Folder {
    /// Opens the folder for writing, or makes it.
    pub(super) fn open(dir: &Path, tenant: &str) -> Result<(Folder, Mark), SinkError> {
        let (mut folder, mark) = Folder::marked(dir, tenant)?;
        folder._lock = Some(lock(&folder.ours().join("lock")).map_err(|error| cannot("open", dir, error))?);
        folder.make_folders().map_err(|error| cannot("open", dir, error))?;
        Ok((folder, mark))
    }

    /// Looks at a folder that is ours.
    pub(super) fn marked(dir: &Path, tenant: &str) -> Result<(Folder, Mark), SinkError> {
        if dir.components().any(|part| part.as_os_str() == STORAGE) {
            return Err(unfit(
                dir,
                "it is inside a folder `.j1-integration`",
                "name the folder that is to hold `.j1-integration`: `j1-integration sync -p` takes the same",
            ));
        }
        let folder = Folder { dir: dir.to_owned(), storage: dir.join(STORAGE), _lock: None };
        let mark = match folder.mark() {
            Ok(mark) => mark,
            Err(Trouble::Io(error)) if error.kind() == io::ErrorKind::NotFound => folder.make(tenant)?,
            Err(trouble) => return Err(trouble.told(&folder)),
        };
        if mark.format > FORMAT {
            let what = format!("its format is {}, this version knows up to {FORMAT}", mark.format);
            return Err(unfit(dir, what, "run the newer opgraph that made it, or name another folder"));
        }
        if mark.tenant != tenant {
            let what = format!("it holds the files of tenant `{}`, this is `{tenant}`", mark.tenant);
            return Err(unfit(dir, what, "give each tenant a folder of its own"));
        }
        Ok((folder, mark))
    }

    /// Makes an empty folder ours.
    fn make(&self, tenant: &str) -> Result<Mark, SinkError> {
        let failed = |error| cannot("make", &self.dir, error);
        if !is_blank(&self.dir).map_err(failed)? {
            return Err(unfit(
                &self.dir,
                "it is not empty, and opgraph has not made its files",
                "name a new or an empty folder: everything is read into it, as far back as `--start` says. A folder \
                 that an earlier run with `--sink files` has made is gone on with",
            ));
        }
        let there = self.dir.ancestors().find(|folder| folder.is_dir()).map(Path::to_owned);
        let builder = |folder: &Path| DirBuilder::new().recursive(true).mode(0o700).create(folder);
        builder(&self.ours()).map_err(failed)?;
        let mark = Mark { format: FORMAT, tenant: tenant.to_owned(), records: 0, vault_removed: false };
        self.write_mark(&mark).map_err(failed)?;
        for folder in self.ours().ancestors().skip(1) {
            sync_folder(folder).map_err(failed)?;
            if Some(folder) == there.as_deref() {
                break;
            }
        }
        Ok(mark)
    }

    /// Makes every folder that files may come into, and empties the one of unfinished files.
    fn make_folders(&self) -> io::Result<()> {
        self.clear_new()?;
        for graph in self.graphs() {
            DirBuilder::new().recursive(true).mode(0o700).create(&graph)?;
            // Up to the folder that has been made durable with the mark.
            graph.ancestors().take(4).try_for_each(sync_folder)?;
        }
        Ok(())
    }

    /// Every folder that has files of the graph.
    pub(super) fn graphs(&self) -> BTreeSet<PathBuf> {
        RecordType::all().map(|of| self.graph(of)).collect()
    }

    /// Empties the folder of unfinished files: nobody needs them.
    pub(super) fn clear_new(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.new_files()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        DirBuilder::new().mode(0o700).create(self.new_files())
    }

    /// The folder, as it was named.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn ours(&self) -> PathBuf {
        self.storage.join(OURS)
    }

    /// Where files are that are not in their place yet.
    pub(super) fn new_files(&self) -> PathBuf {
        self.ours().join("new")
    }

    /// Where the files of a type are.
    pub(super) fn graph(&self, of: RecordType) -> PathBuf {
        self.storage.join("graph").join(section(of)).join(kind(of))
    }

    pub(super) fn summary(&self) -> PathBuf {
        self.storage.join("summary.json")
    }

    /// Reads what is known of the files as a whole.
    pub(super) fn mark(&self) -> Result<Mark, Trouble> {
        let path = self.ours().join(MARK);
        let text = fs::read_to_string(&path)?;
        serde_json::from_str(&text).map_err(|error| Trouble::Damaged(path, error.to_string()))
    }

    /// Writes it, durably.
    pub(super) fn write_mark(&self, mark: &Mark) -> io::Result<()> {
        // A structure of numbers and text always has a JSON form.
        let text = serde_json::to_string(mark).unwrap_or_default();
        write(&self.ours().join(MARK), &text)
    }
}

/// The array of a file, and the folder of those that have it.
pub(super) fn kind(of: RecordType) -> &'static str {
    if of.is_relationship() { "relationships" } else { "entities" }
}

/// The part of the graph that a type belongs to: what the SDK calls a step.
pub(super) fn section(of: RecordType) -> &'static str {
    use EntityType::{
        ActorDetails, AuditEvent, AuxDetails, ItemUsageEvent, ItemUsageUser, ObjectDetails, Secret,
        SignInAttemptEvent, SignInTargetUser, Vault,
    };
    let entity = match of {
        RecordType::Entity(of) => of,
        RecordType::Relationship(RelationshipType::ActorPerformedVault) => ActorDetails,
        RecordType::Relationship(of) if of.from() == AuditEvent => AuditEvent,
        RecordType::Relationship(of) => of.to(),
    };
    match entity {
        SignInAttemptEvent | SignInTargetUser => "signinattempts",
        ItemUsageEvent | ItemUsageUser => "itemusages",
        AuditEvent | ActorDetails | AuxDetails | ObjectDetails => "auditevents",
        Vault | Secret => "vaults",
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match File::open(folder) {
        Ok(folder) => folder.sync_all(),
        // What this user may not read, it has not made.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether there is nothing in a folder but what an attempt to make it ours has left.
fn is_blank(dir: &Path) -> io::Result<bool> {
    let mut folder = dir.to_owned();
    for within in [OsStr::new(STORAGE), OsStr::new(OURS), OsStr::new("")] {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            if name != within && !(within.is_empty() && name == format!("{MARK}.new").as_str()) {
                return Ok(false);
            }
        }
        folder.push(within);
    }
    Ok(true)
}

/// Locks the folder. What an earlier upload of this process is still writing
/// comes to its end first: whoever waited for it has gone.
#[expect(clippy::disallowed_methods, reason = "on a thread that may block, while another one ends")]
fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(100)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "another opgraph is writing to it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_one_section_and_a_relationship_lies_with_one_of_its_ends() {
        for of in RelationshipType::ALL {
            let ends = [of.from(), of.to()].map(|end| section(RecordType::Entity(end)));
            assert!(ends.contains(&section(RecordType::Relationship(*of))), "{}", of.name());
        }
        let sections: std::collections::BTreeSet<_> = RecordType::all().map(section).collect();
        assert_eq!(
            sections.into_iter().collect::<Vec<_>>(),
            ["auditevents", "itemusages", "signinattempts", "vaults"]
        );
    }
}
