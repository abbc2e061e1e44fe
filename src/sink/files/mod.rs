//! JupiterOne SDK files: the folder that `j1-integration sync` uploads and
//! `j1-integration visualize` draws.
//!
//! ```text
//!  DIR/.j1-integration/
//!    graph/<section>/entities/<type>-000001.json       {"entities":[…]}: event records, up to 4 MB
//!    graph/<section>/relationships/<type>-000001.json  {"relationships":[…]}
//!    graph/<section>/…/<type>-<0..f>.json              shared records, by hash of the key, with "versions"
//!    summary.json                                      once a run has come to its end
//!    opgraph/files.json                                whose folder this is
//!    opgraph/new/                                      files that are not whole yet
//!    opgraph/state/                                    the state of the runs that fill it
//! ```
//!
//! The SDK reads every file under `graph/`, at any depth, so what is not whole
//! lies beside it until it is synced, and is then renamed into its place. What
//! is in the graph is found out from these files alone: which keys there are at
//! open, and how new a shared record is when a newer one comes. So no key is
//! ever in two files, wherever a run is killed and whatever comes again. The
//! state is asked at the end alone (`settle`), for what no list shows any more.
//!
//! Memory: 16 bytes a key of the events, the newest file of each type, and one
//! sixteenth of one type's shared records.

mod folder;

mod text;

mod books;

mod fill;

mod shelves;

mod publish;

mod upload;

mod settle;

mod summary;

mod trouble;

use std::{path::Path, sync::Arc, time::Duration};

use tokio::sync::{Mutex, OwnedMutexGuard};

pub use folder::{dir_of, prepare, state_dir};
pub use settle::settle;
pub use summary::{Ended, Outcome, complete};
pub use upload::FilesUpload;

use self::{books::Books, folder::Folder};
use crate::sink::{Sink, SinkError, UploadLimits};

/// A folder of files that JupiterOne's SDK reads. Uploads take turns.
#[derive(Clone, Debug)]
pub struct FilesSink {
    folder: Arc<Folder>,
    books: Arc<Mutex<Books>>,
    limits: UploadLimits,
}

impl FilesSink {
    /// An upload writes the shared records that it names anew, so few large ones cost less than many small ones.
    pub const LIMITS: UploadLimits =
        UploadLimits { age: Duration::from_secs(30), events: 100_000, bytes: 160_000_000, finishing: 0 };

    /// Opens the folder of a tenant, or makes it, and reads which keys it holds. Blocks
    /// for as long as that takes: a second for some hundred megabytes.
    ///
    /// # Errors
    ///
    /// As for [`prepare`]; if another run is writing to the folder; if a file of
    /// it is missing, damaged or somebody else's.
    pub fn open(dir: &Path, tenant: &str, limits: UploadLimits) -> Result<FilesSink, SinkError> {
        let (folder, mark) = Folder::open(dir, tenant)?;
        let books = Books::read(&folder, mark).map_err(|trouble| trouble.told(&folder))?;
        Ok(FilesSink { folder: Arc::new(folder), books: Arc::new(Mutex::new(books)), limits })
    }

    /// Waits for its turn.
    async fn turn(&self) -> OwnedMutexGuard<Books> {
        Arc::clone(&self.books).lock_owned().await
    }
}

impl Sink for FilesSink {
    type Upload = FilesUpload;

    fn limits(&self) -> UploadLimits {
        self.limits
    }

    fn open(&self) -> FilesUpload {
        FilesUpload::new(self.clone())
    }
}
