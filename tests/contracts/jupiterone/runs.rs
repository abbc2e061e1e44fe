//! Jobs over several uploads and several runs.

use std::{sync::Arc, time::Duration};

use opgraph::{
    page::Coverage,
    sink::{Sink, Upload},
};

use super::{
    INSTANCE, Rig, audit,
    fake::{Fault, On, refusal},
    instance, sign_ins,
};

#[tokio::test]
async fn a_job_left_open_by_an_earlier_run_is_aborted_and_its_note_settled() {
    let rig = Rig::new(instance()).await;
    rig.fake.fault(On::Entities, Fault::Refuse(refusal(401, "UNAUTHORIZED")));
    let _ = rig.upload_one().await.unwrap_err();
    assert_eq!(rig.unsettled().await, ["jupiterone/job/job-0"], "noted before anything was uploaded");

    let run = rig.start().await.unwrap();
    assert_eq!(rig.fake.world().jobs[0].state, "ABORTED");
    assert_eq!(rig.fake.calls(On::Start).len(), 1, "no job before there is something to send");
    run.deliver([audit("0", "1", &["e1"])]).await;
    assert_eq!(rig.unsettled().await, Vec::<String>::new());
}

#[tokio::test]
async fn jobs_that_need_no_abort_do_not_stop_the_next_run() {
    // What became of the job while nobody looked.
    for state in ["FINISHED", "ABORTED", "ERROR_BAD_DATA", "FINALIZING_ENTITIES", "gone"] {
        let rig = Rig::new(instance()).await;
        rig.fake.fault(On::Entities, Fault::Refuse(refusal(401, "UNAUTHORIZED")));
        let _ = rig.upload_one().await.unwrap_err();
        match state {
            "gone" => rig.fake.world().jobs[0].id = "another".to_owned(),
            state => rig.fake.world().jobs[0].state = state.to_owned(),
        }
        let run = rig.start().await.unwrap();
        // One that is said to be unknown is aborted all the same, should it be there.
        assert_eq!(rig.fake.calls(On::Abort).len(), usize::from(state == "gone"), "{state}");
        assert_ne!(rig.fake.world().jobs[0].state, "FINALIZING_ENTITIES", "it is waited for");
        run.deliver([audit("0", "1", &["e1"])]).await;
        assert_eq!(rig.unsettled().await, Vec::<String>::new(), "{state}");
    }
}

#[tokio::test]
async fn a_job_that_closes_while_it_is_aborted_is_fine() {
    let rig = Rig::new(instance()).await;
    rig.fake.fault(On::Entities, Fault::Refuse(refusal(401, "UNAUTHORIZED")));
    let _ = rig.upload_one().await.unwrap_err();
    // The abort is done and its answer lost; the repeat is refused.
    rig.fake.fault(On::Abort, Fault::LoseAnswer);
    let _ = rig.start().await.unwrap();
    assert_eq!(rig.fake.calls(On::Abort).len(), 2);
    assert_eq!(rig.fake.world().jobs[0].state, "ABORTED");
}

#[tokio::test]
async fn two_uploads_never_have_two_jobs_open_in_one_instance() {
    let rig = Rig::new(instance()).await;
    rig.fake.world().polls = 8;
    let run = rig.start().await.unwrap();
    let mut finishing = Vec::new();
    for n in 0..4 {
        let mut upload = run.sink.open();
        let mut coverage = Coverage::default();
        for page in [
            audit(&n.to_string(), &(n + 1).to_string(), &[&format!("e{n}")]),
            sign_ins(&n.to_string(), &(n + 1).to_string(), &[&format!("i{n}")]),
        ] {
            coverage.add(&page).unwrap();
            // Returns at once: the records wait while the job before is finalized.
            let wrote = tokio::time::timeout(Duration::from_secs(1), upload.write(Arc::new(page))).await;
            wrote.unwrap().unwrap();
        }
        finishing.push(tokio::spawn(upload.finish(coverage)));
    }
    for upload in finishing {
        let ack = upload.await.unwrap().unwrap();
        run.commit(ack).await;
    }
    let world = rig.fake.world();
    assert_eq!(world.jobs.len(), 4);
    assert!(world.crowded.is_empty(), "{:?}", world.crowded);
    assert_eq!(world.graph[INSTANCE].len(), 18);
}

#[tokio::test]
async fn after_a_failed_job_nobody_opens_another_in_the_same_run() {
    let rig = Rig::new(instance()).await;
    let run = rig.start().await.unwrap();
    rig.fake.fault(On::Finalize, Fault::Refuse(refusal(400, "BAD")));
    let _ = run.upload([audit("0", "1", &["e1"])]).await.unwrap_err();
    let error = run.upload([audit("1", "2", &["e2"])]).await.unwrap_err();
    assert_eq!(error.remedy.name(), "retry");
    assert_eq!(rig.fake.world().jobs.len(), 1, "the first may still be open");
    let _ = rig.upload_one().await.unwrap();
    assert!(rig.fake.world().crowded.is_empty());
}

#[tokio::test]
async fn an_older_version_of_a_shared_record_never_follows_a_newer_one() {
    use super::{Stream, event, page};
    let rig = Rig::new(instance()).await;
    let run = rig.start().await.unwrap();
    let named = |from: &str, to: &str, name: &'static str, at: i64| {
        page(Stream::AuditEvents, from, to, &[from], move |records, id| {
            event(records, id, "u1", name, at, "1")
        })
    };
    let first = run.upload([named("0", "1", "Ann New", 9)]).await.unwrap();
    // Not committed yet, and the state knows nothing.
    let second = run.upload([named("1", "2", "Ann Old", 5)]).await.unwrap();
    let name = || {
        let world = rig.fake.world();
        world.graph[INSTANCE]["one_password_audit_event_actor_details:u1"]["name"].clone()
    };
    assert_eq!(name(), "Ann New");
    run.commit(first).await;
    run.commit(second).await;
    run.deliver([named("2", "3", "Ann Older", 4)]).await;
    assert_eq!(name(), "Ann New", "the committed version counts as well");
    run.deliver([named("3", "4", "Ann Newest", 10)]).await;
    assert_eq!(name(), "Ann Newest");
}
