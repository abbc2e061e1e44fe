//! Every fault of the wire between us and the Events API, at every place of a run.
//!
//! `table.rs` says what goes wrong and what must come of it, one line a fault;
//! `place.rs` where; `run.rs` runs one case: the simulator with its oracle, the
//! proxy that spoils the chosen requests, a supervised tenant, the log at its
//! most talkative. In every case no token comes out of anything.

mod table;

mod row;

mod place;

mod run;

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use futures::FutureExt;

use self::{place::Place, row::Row};

/// Cases at a time: they wait more than they work.
const WORKERS: usize = 6;

/// Runs every row at each of its places, and tells all failures at once.
fn check(rows: Vec<Row>) {
    let cases: Vec<_> = rows.iter().flat_map(|row| row.places().map(move |place| (row, place))).collect();
    assert!(!cases.is_empty());
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = async || {
        let account = run::account().await;
        let calm = run::requests_of_a_calm_run(&account).await;
        while let Some((row, place)) = cases.get(next.fetch_add(1, Relaxed)) {
            let case = AssertUnwindSafe(run::case(&account, row, *place, calm));
            if case.catch_unwind().await.is_err() {
                failed.lock().unwrap().push(format!("{} at {place:?}", row.name));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                // One thread each: whatever a case logs is logged on it.
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work());
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} cases failed: {failed:#?}", failed.len(), cases.len());
}

#[test]
fn a_fault_that_passes_costs_requests_and_nothing_else() {
    check(table::passing());
}

#[test]
fn a_wait_that_was_asked_for_is_kept_by_every_stream_and_bounded() {
    check(table::waits());
}

#[test]
fn an_odd_answer_that_is_whole_is_taken_as_it_is() {
    check(table::odd());
}

#[test]
fn an_answer_that_makes_no_sense_is_asked_for_again_and_then_stops_its_stream_alone() {
    check(table::senseless());
}

#[test]
fn what_only_a_person_can_mend_stops_with_a_hint_and_skips_nothing() {
    check(table::refusals());
}

#[test]
fn a_refused_cursor_leads_back_in_time_and_in_the_end_to_a_person() {
    check(table::refused_cursors());
}
