//! What is kept in the state about sync jobs: a note for each open job, and
//! one that says the directory is whole.

use opgraph_state::{Epoch, UploadNote};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::report::Tally;

/// What a note says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Note {
    /// A job was started. The commit of what it carried removes the note.
    Job {
        /// JupiterOne's id.
        id: String,
        /// The scope, for plan `scope`.
        #[serde(default)]
        scope: Option<String>,
        /// The stream whose events the scope holds; `None` for shared records.
        #[serde(default)]
        stream: Option<String>,
        /// The job may only add: it has to report that it deleted nothing.
        #[serde(default)]
        append_only: bool,
        /// How much a job that takes something out may delete; none: nobody has counted it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<Tally>,
        /// That it deleted something has been told; it is told once.
        #[serde(default)]
        told: bool,
    },
    /// Plan `scope`: every shared record of the state was in the directory
    /// scopes when the run of this number ended its last upload, and whatever
    /// changed in the state since then was sent. Replaced, never removed.
    Directory {
        /// Which account and scopes; others are another directory.
        destination: String,
        /// The run.
        epoch: Epoch,
    },
}

/// All names start with this: other sinks keep notes too.
const PREFIX: &str = "jupiterone/";

/// The name of the one note about the directory.
pub(super) const DIRECTORY: &str = "jupiterone/directory";

impl Note {
    /// The note under its name, which is unique within the tenant.
    pub(super) fn named(&self) -> UploadNote {
        let name = match self {
            Note::Job { id, .. } => format!("{PREFIX}job/{id}"),
            Note::Directory { .. } => DIRECTORY.to_owned(),
        };
        // An enum of strings and numbers always has a JSON form.
        UploadNote { name, note: serde_json::to_string(self).unwrap_or_default() }
    }

    /// The note of a job, which may delete so much.
    pub(super) fn with_at_most(mut self, most: Option<Tally>) -> Note {
        if let Note::Job { at_most, .. } = &mut self {
            *at_most = most;
        }
        self
    }

    /// Reads a note of this sink; another sink's, or a newer version's, is left alone.
    pub(super) fn read(note: &UploadNote) -> Option<Note> {
        if !note.name.starts_with(PREFIX) {
            return None;
        }
        let read = serde_json::from_str(&note.note);
        if read.is_err() {
            warn!(note = note.name, "note about a sync job cannot be read, left as it is");
        }
        read.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_and_others_are_left_alone() {
        let job = Note::Job {
            id: "j-1".to_owned(),
            scope: Some("p/events/auditevents/0".to_owned()),
            stream: Some("auditevents".to_owned()),
            append_only: true,
            at_most: Some(Tally { entities: 1, relationships: 2 }),
            told: true,
        };
        let directory = Note::Directory { destination: "d".to_owned(), epoch: Epoch(7) };
        for note in [job, directory] {
            assert_eq!(Note::read(&note.named()), Some(note));
        }
        let check = |name: &str, note: &str| {
            let note = UploadNote { name: name.to_owned(), note: note.to_owned() };
            assert_eq!(Note::read(&note), None);
        };
        check("graph/1", r#"{"job":{"id":"j"}}"#);
        check("jupiterone/job/1", r#"{"kiln":{"id":"j"}}"#);
        check("jupiterone/job/1", "");
        let old =
            UploadNote { name: "jupiterone/job/1".to_owned(), note: r#"{"job":{"id":"j"}}"#.to_owned() };
        let expect = Note::Job {
            id: "j".to_owned(),
            scope: None,
            stream: None,
            append_only: false,
            at_most: None,
            told: false,
        };
        assert_eq!(Note::read(&old), Some(expect));
    }
}
