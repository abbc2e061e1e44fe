//! The fuzz target of what JupiterOne says of a job, and of our notes on it.

use opgraph_state::UploadNote;

use super::{
    api::read,
    notes::Note,
    report::{State, Tally},
    verdict::{Doubt, Standing, doubt, standing},
};
use crate::http::{Answer, Outcome};

/// Answers about sync jobs: whatever they say, a job counts as done only if it
/// says `FINISHED` and that it deleted no more than it may; and notes on jobs,
/// which mean the same once they are written again.
pub fn job(data: &[u8]) {
    match read("look at a job", &Answer { status: 200, body: data.to_vec() }) {
        Ok(job) => {
            assert!(!job.id.is_empty(), "a job without an id");
            assert_eq!(State::from(job.state.name().to_owned()), job.state);
            let may = Tally { entities: 2, relationships: 1 };
            if standing(&job, may) == Standing::Done {
                assert_eq!(job.state, State::Finished);
                assert!(!job.deleted().exceeds(may));
            }
            let taken = job.uploaded();
            for unknown in [0, 1, u64::MAX] {
                let settled = doubt(taken.entities, unknown, taken.relationships);
                assert_eq!(settled == Doubt::NotTaken, taken.entities == taken.relationships);
            }
            let _ = job.not_stored().plus(job.deleted());
        }
        Err(failure) => assert_eq!(failure.outcome, Outcome::Unknown, "an answer that was lost on its way"),
    }
    let Ok(text) = String::from_utf8(data.to_vec()) else { return };
    if let Some(note) = Note::read(&UploadNote { name: "jupiterone/any".to_owned(), note: text }) {
        assert_eq!(Note::read(&note.named()), Some(note));
    }
}
