//! The fault table: what goes wrong at JupiterOne, and what becomes of the upload.

use std::time::{Duration, Instant};

use opgraph::{
    graph::Records,
    http::{Halt, Remedy},
    page::Page,
    sink::{Ack, SinkError},
    stream::Stream,
};
use opgraph_state::{Store, UnixMs};
use wiremock::ResponseTemplate;

use super::{
    Rig, audit, event,
    fake::{Fault, On, refusal},
    instance, page,
};

/// The text of an error and all its causes.
fn text(error: &SinkError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn retries(result: Result<Ack, SinkError>, says: &str) {
    let error = result.expect_err("must not be acknowledged");
    assert!(matches!(error.remedy, Remedy::Retry { .. }), "{error:?}");
    assert!(text(&error).contains(says), "{}", text(&error));
}

/// Waits for no answer longer than a moment.
async fn impatient() -> Rig {
    Rig { timeout: Duration::from_millis(400), ..Rig::new(instance()).await }
}

#[tokio::test]
async fn an_upload_whose_answer_was_lost_is_settled_by_the_jobs_counters() {
    // Which call, what happens to it, and how often the body is sent in all.
    let cases = [
        (On::Entities, Fault::LoseRequest, 2),
        (On::Entities, Fault::LoseAnswer, 1),
        (On::Entities, Fault::Hang, 1),
        (On::Relationships, Fault::LoseRequest, 2),
        (On::Relationships, Fault::LoseAnswer, 1),
        (On::Entities, Fault::Refuse(ResponseTemplate::new(503)), 2),
    ];
    for (on, fault, times) in cases {
        let rig = impatient().await;
        rig.fake.fault(on, fault);
        let _ = rig.upload_one().await.unwrap();
        let sent = rig.fake.calls(on);
        assert_eq!(sent.len(), times);
        let same = |call: &&super::fake::Call| {
            call.headers["jupiterone-correlation-id"] == sent[0].headers["jupiterone-correlation-id"]
        };
        assert!(sent.iter().all(|call| same(&call)), "every repeat of a body has its id");
        let world = rig.fake.world();
        assert_eq!((world.jobs[0].entities.len(), world.jobs[0].relationships.len()), (2, 1), "no duplicate");
        assert_eq!(world.jobs.len(), 1);
    }
}

#[tokio::test]
async fn lost_answers_of_both_kinds_are_settled_each_by_its_own_counter() {
    let rig = Rig::new(instance()).await;
    rig.fake.fault(On::Entities, Fault::LoseAnswer);
    rig.fake.fault(On::Relationships, Fault::LoseRequest);
    let _ = rig.upload_one().await.unwrap();
    assert_eq!((rig.fake.calls(On::Entities).len(), rig.fake.calls(On::Relationships).len()), (1, 2));
}

#[tokio::test]
async fn a_body_that_was_taken_in_part_costs_the_job() {
    let rig = Rig::new(instance()).await;
    rig.fake.fault(On::Entities, Fault::TakeHalf);
    retries(rig.upload_one().await, "answer to an upload was lost");
    assert_eq!(rig.fake.world().jobs[0].state, "ABORTED");
    assert!(rig.fake.calls(On::Finalize).is_empty());
}

#[tokio::test]
async fn a_job_that_counts_something_else_is_aborted_and_never_finalized() {
    let rig = Rig::new(instance()).await;
    rig.fake.world().miscounts = 1;
    retries(rig.upload_one().await, "counted 3 entities and 1 relationships where 2 and 1");
    assert_eq!(rig.fake.world().jobs[0].state, "ABORTED");
    assert!(rig.fake.calls(On::Finalize).is_empty());
}

#[tokio::test]
async fn counters_that_lag_are_read_again() {
    let rig = Rig::new(instance()).await;
    rig.fake.world().lags = 2;
    let _ = rig.upload_one().await.unwrap();
    assert!(rig.fake.calls(On::Abort).is_empty());
}

#[tokio::test]
async fn a_lost_answer_to_finalize_is_settled_by_asking() {
    for (fault, times) in [(Fault::LoseRequest, 2), (Fault::LoseAnswer, 1), (Fault::Hang, 1)] {
        let rig = impatient().await;
        rig.fake.fault(On::Finalize, fault);
        let _ = rig.upload_one().await.unwrap();
        assert_eq!(rig.fake.calls(On::Finalize).len(), times);
        assert_eq!(rig.fake.world().jobs[0].state, "FINISHED");
    }
}

#[tokio::test]
async fn a_lost_answer_to_start_is_repeated_and_leaves_an_empty_orphan() {
    let rig = Rig::new(instance()).await;
    rig.fake.fault(On::Start, Fault::LoseAnswer);
    let _ = rig.upload_one().await.unwrap();
    let world = rig.fake.world();
    assert_eq!(world.jobs.len(), 2);
    assert!(world.jobs[0].entities.is_empty() && world.jobs[1].state == "FINISHED");
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_asked_for_again() {
    for on in [On::Start, On::Status, On::Entities, On::Finalize] {
        let rig = Rig::new(instance()).await;
        rig.fake.world().polls = 1;
        rig.fake.fault(on, Fault::Garble);
        let _ = rig.upload_one().await.unwrap();
        assert_eq!(rig.fake.world().jobs.last().unwrap().state, "FINISHED", "{on:?}");
    }
}

#[tokio::test]
async fn a_job_that_takes_no_more_uploads_costs_the_run_and_nothing_else() {
    for answer in [refusal(400, "JOB_NOT_AWAITING_UPLOADS"), refusal(404, "NOT_FOUND")] {
        let rig = Rig::new(instance()).await;
        rig.fake.fault(On::Entities, Fault::Refuse(answer));
        retries(rig.upload_one().await, "upload entities to sync job job-0");
        // The next run starts with a new job.
        let _ = rig.upload_one().await.unwrap();
        assert_eq!(rig.fake.world().jobs[1].state, "FINISHED");
    }
}

#[tokio::test]
async fn a_job_that_ends_in_an_error_is_not_acknowledged() {
    for state in
        ["ERROR_BAD_DATA", "ERROR_UNEXPECTED_FAILURE", "ABORTED", "ABORTED_DUE_TO_INVALID_CONFIGURATION"]
    {
        let rig = Rig::new(instance()).await;
        rig.fake.world().ends_in = Some(state.to_owned());
        retries(rig.upload_one().await, state);
    }
}

#[tokio::test]
async fn an_ack_waits_for_finished_and_a_deadline_ends_the_wait() {
    let rig = Rig::new(instance()).await;
    rig.fake.world().polls = 5;
    let _ = rig.upload_one().await.unwrap();
    assert!(rig.fake.calls(On::Status).len() > 5);

    let rig = Rig::new(instance()).await;
    rig.fake.world().polls = usize::MAX;
    retries(rig.upload_one().await, "still FINALIZING_ENTITIES");
}

#[tokio::test]
async fn an_adding_job_that_deleted_something_stops_the_tenant_once() {
    let rig = Rig::new(instance()).await;
    let run = rig.start().await.unwrap();
    run.deliver([audit("0", "1", &["e1"])]).await;
    rig.fake.world().forgets_partial = true;
    let error = run.upload([audit("1", "2", &["e2"])]).await.unwrap_err();
    let Remedy::Halt(Halt::Guard { hint }) = &error.remedy else { panic!("{error:?}") };
    assert!(hint.contains("deleted 1 entities and 1 relationships") && hint.contains("7 days"), "{hint}");
    // Whoever starts again has been told; what else would they do.
    let _ = rig.start().await.unwrap();
}

#[tokio::test]
async fn deletions_of_a_job_that_a_crash_cut_short_are_told_by_the_next_run_once() {
    let rig = Rig::new(instance()).await;
    let run = rig.start().await.unwrap();
    run.deliver([audit("0", "1", &["e1"])]).await;
    rig.fake.world().forgets_partial = true;
    rig.fake.fault(On::Finalize, Fault::LoseAnswer);
    rig.fake.fault(On::Status, Fault::Refuse(refusal(404, "NOT_FOUND"))); // the gate's question
    let _ = run.upload([audit("1", "2", &["e2"])]).await.unwrap_err();
    rig.fake.world().jobs[1].deleted = (1, 0);
    rig.fake.world().jobs[1].state = "FINISHED".to_owned();

    let error = rig.start().await.err().expect("the guard looks at what was left");
    assert!(matches!(error.remedy, Remedy::Halt(Halt::Guard { .. })), "{error:?}");
    let _ = rig.start().await.unwrap();
}

#[tokio::test]
async fn refused_credentials_need_a_person_at_any_call() {
    for on in [On::Start, On::Entities, On::Relationships, On::Status, On::Finalize] {
        for status in [401, 403] {
            let rig = Rig::new(instance()).await;
            rig.fake.fault(on, Fault::Refuse(refusal(status, "UNAUTHORIZED")));
            let error = rig.upload_one().await.unwrap_err();
            assert!(matches!(error.remedy, Remedy::Halt(Halt::Credentials { .. })), "{on:?}: {error:?}");
            assert!(!text(&error).contains("a-token"));
        }
    }
}

#[tokio::test]
async fn an_instance_that_does_not_exist_is_a_matter_of_configuration() {
    let rig = Rig::new(instance()).await;
    rig.fake.fault(On::Start, Fault::Refuse(refusal(400, "SYNC_JOB_INVALID_INTEGRATION_INSTANCE")));
    let error = rig.upload_one().await.unwrap_err();
    assert!(matches!(error.remedy, Remedy::Halt(Halt::Configuration { .. })), "{error:?}");
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_kept_whatever_the_call() {
    for status in [429, 503] {
        for on in [On::Start, On::Entities, On::Finalize, On::Status] {
            let rig = Rig::new(instance()).await;
            let busy = ResponseTemplate::new(status).insert_header("Retry-After", "0.2");
            rig.fake.fault(on, Fault::Refuse(busy));
            let start = Instant::now();
            let _ = rig.upload_one().await.unwrap();
            assert!(start.elapsed() >= Duration::from_millis(200), "{status} to {on:?}");
            assert!(rig.meter.retries.get() > 0 || on == On::Finalize);
        }
    }
}

/// A page of events that each have so many bytes of raw data.
fn raw(sizes: &[usize]) -> Page<Records> {
    let ids: Vec<String> = (0..sizes.len()).map(|n| format!("e{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    page(Stream::AuditEvents, "0", "1", &ids, |records, id| {
        let size = sizes[id[1..].parse::<usize>().unwrap()];
        event(records, id, "u1", "Ann", 1, &format!("\"{}\"", "r".repeat(size)));
    })
}

#[tokio::test]
async fn a_body_that_is_too_large_is_halved_then_bared_then_set_aside() {
    let rig = Rig::new(instance()).await;
    // Too small for one event with raw data, and large enough without.
    rig.fake.world().largest = Some(340);
    let run = rig.start().await.unwrap();
    let ack = run.upload([raw(&[10, 10, 10, 300, 10])]).await.unwrap();
    assert_eq!((ack.quarantined(), rig.meter.raw_data_dropped.get()), (0, 1));
    let events: Vec<_> = rig.fake.world().jobs[0].entities.clone();
    assert_eq!(events.len(), 6);
    let bare = events.iter().filter(|event| event["_key"] == "one_password_audit_event:e3");
    assert!(bare.clone().all(|event| event.get("_rawData").is_none()) && bare.count() == 1);
    run.commit(ack).await;
}

#[tokio::test]
async fn what_jupiterone_takes_at_no_size_is_quarantined_and_the_job_goes_on() {
    let rig = Rig::new(instance()).await;
    rig.fake.world().largest = Some(180);
    let run = rig.start().await.unwrap();
    let ack = run.upload([audit("0", "1", &["e1"])]).await.unwrap();
    // The relationship has no raw data to leave out.
    assert_eq!(ack.quarantined(), 1);
    run.commit(ack).await;
    let aside = rig.store.quarantined("acme", 10).await.unwrap();
    assert_eq!(aside[0].stream, "auditevents");
    assert!(aside[0].body.contains("one_password_audit_event_actor_details:u1|performed|"));
    assert!(aside[0].at > UnixMs(0) && aside[0].reason.contains("size"));
    assert_eq!(rig.fake.world().jobs[0].state, "FINISHED");
    assert_eq!(rig.fake.keys(super::INSTANCE).len(), 2);
}

#[tokio::test]
async fn a_record_over_the_limit_never_leaves_with_its_raw_data() {
    let rig = Rig::new(instance()).await;
    let run = rig.start().await.unwrap();
    let _ = run.upload([raw(&[5_000_000, 10])]).await.unwrap();
    assert_eq!(rig.meter.raw_data_dropped.get(), 1);
    let world = rig.fake.world();
    assert!(world.jobs[0].entities.iter().any(|event| event.get("_rawData").is_some()));
    assert_eq!(world.jobs[0].entities.len(), 3);
}

#[tokio::test]
async fn many_bodies_are_sent_side_by_side_and_all_arrive_once() {
    let rig = Rig::new(instance()).await;
    let run = rig.start().await.unwrap();
    let _ = run.upload([raw(&[400_000; 30])]).await.unwrap();
    let bodies = rig.fake.calls(On::Entities).len();
    // A body that is not compressed ends at 1 MB.
    assert!((15..=16).contains(&bodies), "{bodies}");
    let world = rig.fake.world();
    assert_eq!((world.jobs[0].entities.len(), world.jobs[0].relationships.len()), (31, 30));
    assert_eq!(world.graph[super::INSTANCE].len(), 61);
}

#[tokio::test]
async fn records_that_could_not_be_stored_are_counted_and_do_not_hold_up_the_rest() {
    let rig = Rig::new(instance()).await;
    rig.fake.world().create_errors = 3;
    let _ = rig.upload_one().await.unwrap();
    assert_eq!(rig.meter.not_stored.get(), 3);
}
