//! One upload: files that are put into their place together.

use std::{io, sync::Arc};

use opgraph_state::die_at;
use tokio::{sync::OwnedMutexGuard, task::spawn_blocking};

use super::{
    FilesSink,
    books::Books,
    fill::Fill,
    folder::Folder,
    publish::Staged,
    shelves::{self, Changed},
    trouble::Trouble,
};
use crate::{
    graph::{Records, Sharing},
    http::Remedy,
    page::{Coverage, Page},
    sink::{Ack, SinkError, Upload},
};

/// Whole files beside the graph. Dropped before its end, nothing of it is ever in the graph.
#[derive(Debug)]
pub struct FilesUpload {
    sink: FilesSink,
    /// There from the first page on, unless a write has failed or is under way.
    work: Option<Box<Work>>,
    begun: bool,
}

/// What an upload holds. It goes to a thread that may block, and comes back: a
/// caller that goes away meanwhile leaves it to end there, with its turn.
#[derive(Debug)]
struct Work {
    folder: Arc<Folder>,
    books: OwnedMutexGuard<Books>,
    fill: Fill,
    staged: Staged,
    /// Nothing of an earlier upload is left.
    cleared: bool,
}

impl FilesUpload {
    pub(super) fn new(sink: FilesSink) -> FilesUpload {
        FilesUpload { sink, work: None, begun: false }
    }

    /// Hands out what the upload holds; what was begun and is not there is lost.
    async fn take_work(&mut self) -> Result<Box<Work>, SinkError> {
        if let Some(work) = self.work.take() {
            return Ok(work);
        }
        if self.begun {
            return Err(self.broken(io::Error::other("a page of the upload is missing")));
        }
        self.begun = true;
        let books = self.sink.turn().await;
        let folder = Arc::clone(&self.sink.folder);
        let (fill, staged) = (Fill::default(), Staged::default());
        Ok(Box::new(Work { folder, books, fill, staged, cleared: false }))
    }

    fn broken(&self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SinkError {
        let doing = format!("write to the folder {}", self.sink.folder.dir().display());
        SinkError { doing, remedy: Remedy::RETRY, cause: cause.into() }
    }

    /// Does something that blocks.
    async fn block<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        spawn_blocking(work).await.unwrap_or_else(|error| Err(self.broken(error)))
    }
}

impl Upload for FilesUpload {
    async fn write(&mut self, page: Arc<Page<Records>>) -> Result<(), SinkError> {
        let mut work = self.take_work().await?;
        let write = move || {
            let taken = work.take(&page);
            drop(page);
            taken.map_err(|trouble| trouble.told(&work.folder))?;
            Ok(work)
        };
        self.work = Some(self.block(write).await?);
        Ok(())
    }

    async fn finish(mut self, coverage: Coverage) -> Result<Ack, SinkError> {
        let work = self.take_work().await?;
        let finish = move || {
            let folder = Arc::clone(&work.folder);
            work.finish(&coverage).map_err(|trouble| trouble.told(&folder))?;
            Ok(Ack::durable(coverage, Vec::new()))
        };
        self.block(finish).await
    }
}

impl Work {
    /// Writes the event records of a page that are not there yet.
    fn take(&mut self, page: &Page<Records>) -> Result<(), Trouble> {
        self.begin()?;
        let Work { folder, books, fill, staged, .. } = self;
        for record in page.items.of(Sharing::Event) {
            fill.take(&record, books, folder, staged)?;
        }
        Ok(())
    }

    /// Makes everything whole, and then part of the graph.
    fn finish(mut self, coverage: &Coverage) -> Result<(), Trouble> {
        self.begin()?;
        let Work { folder, mut books, mut fill, mut staged, .. } = self;
        let Changed { added, removed, vault_removed } = shelves::write(&folder, coverage, &mut staged)?;
        fill.close(&folder, &mut staged)?;
        if staged.is_empty() {
            return Ok(());
        }
        die_at!("files.staged");
        books.halfway = true;
        if removed > 0 {
            books.mark.records = books.mark.records.saturating_sub(removed);
            books.mark.vault_removed |= vault_removed;
            folder.write_mark(&books.mark)?;
        }
        staged.publish(removed > 0)?;
        die_at!("files.published");
        fill.enter(&mut books);
        books.shared = books.shared + added - removed;
        books.mark.records = books.records();
        folder.write_mark(&books.mark)?;
        books.halfway = false;
        Ok(())
    }

    /// Clears away what an upload before this one has left.
    fn begin(&mut self) -> Result<(), Trouble> {
        if self.books.halfway {
            return Err(Trouble::Halfway);
        }
        if !std::mem::replace(&mut self.cleared, true) {
            self.folder.clear_new()?;
        }
        Ok(())
    }
}
