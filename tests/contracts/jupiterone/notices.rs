//! What people are told in JupiterOne of a job, and that nothing depends on it.

use std::time::{Duration, Instant};

use super::{
    Rig, audit,
    fake::{Fault, On, refusal},
    instance, scope, sign_ins,
};

/// A rig whose jobs belong to an integration.
async fn rig() -> Rig {
    let rig = Rig::new(instance()).await;
    rig.fake.world().of_integration = true;
    rig
}

/// What was told of a job, once so much of it has come: nobody waits for it.
async fn told(rig: &Rig, job: &str, count: usize) -> Vec<(String, String)> {
    for _ in 0..2_000 {
        let told: Vec<_> = rig.fake.world().told.iter().filter(|(of, ..)| of == job).cloned().collect();
        if told.len() >= count {
            return told.into_iter().map(|(_, name, description)| (name, description)).collect();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{count} notices of {job}: {:?}", rig.fake.world().told);
}

#[tokio::test]
async fn people_read_in_jupiterone_what_each_job_began_and_ended_with() {
    let rig = rig().await;
    let run = rig.start().await.unwrap();
    run.deliver([audit("0", "1", &["e1", "e2"]), sign_ins("0", "1", &["e3"])]).await;
    run.deliver([audit("1", "2", &["e4"])]).await;
    let first = told(&rig, "job-0", 8).await;
    let names: Vec<&str> = first.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[0], "sync_upload_start");
    assert_eq!(names.iter().filter(|name| **name == "step_start").count(), 3, "{names:?}");
    assert_eq!(names[4..], ["step_end", "step_end", "step_end", "sync_upload_end"]);
    let said = |text: &str| first.iter().any(|(_, description)| description == text);
    assert!(said("Starting step \"Audit events\"..."), "{first:?}");
    assert!(said("Completed step \"Audit events\" (entities: 2, relationships: 2)."), "{first:?}");
    assert!(said("Completed step \"Sign-in attempts\" (entities: 1, relationships: 1)."), "{first:?}");
    let second = told(&rig, "job-1", 6).await;
    assert_eq!(second.last().unwrap().0, "sync_upload_end");

    // Neither a secret nor anything of an event; and a name with this word would mark the job as failed.
    let sent = rig.fake.calls(On::Events);
    assert!(sent.len() < 14, "what is waiting goes together: {}", sent.len());
    for call in &sent {
        let text = call.body.to_string();
        for foreign in ["a-token", "an-account", "one_password", "e1", "e2", "e3", "e4"] {
            assert!(!text.contains(foreign), "`{foreign}` is in {text}");
        }
        assert_eq!(call.headers["jupiterone-account"], "an-account");
        let events = call.body["events"].as_array().unwrap();
        assert!(events.iter().all(|event| !event["name"].as_str().unwrap().contains("error")));
    }
}

#[tokio::test]
async fn a_job_that_no_integration_has_is_told_of_to_nobody_nor_one_where_that_is_off() {
    for (plan, of_integration, job_events) in
        [(instance(), false, true), (instance(), true, false), (scope(), false, true)]
    {
        let mut rig = Rig::new(plan).await;
        rig.fake.world().of_integration = of_integration;
        rig.settings.job_events = job_events;
        let _ = rig.upload_one().await.unwrap();
        assert!(rig.fake.calls(On::Events).is_empty());
    }
}

#[tokio::test]
async fn notices_that_are_refused_lost_or_never_answered_neither_fail_nor_delay_an_upload() {
    let faults = [
        || Fault::Refuse(refusal(401, "UNAUTHORIZED")),
        || Fault::Refuse(refusal(429, "TOO_MANY").insert_header("retry-after", "60")),
        || Fault::LoseRequest,
        || Fault::LoseAnswer,
        || Fault::Garble,
        || Fault::Hang,
    ];
    for fault in faults {
        let rig = rig().await;
        for _ in 0..9 {
            rig.fake.fault(On::Events, fault());
        }
        let begun = Instant::now();
        let _ = rig.upload_one().await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(rig.fake.world().jobs[0].state, "FINISHED");
        assert_eq!(rig.meter.retries.get(), 0, "nothing is repeated");
    }
}

#[tokio::test]
async fn what_is_set_aside_and_what_stops_a_tenant_is_told() {
    let rig = rig().await;
    rig.fake.world().dislikes = Some("one_password_audit_event:e1\"");
    let _ = rig.start().await.unwrap().upload([audit("0", "1", &["e0", "e1"])]).await.unwrap();
    let warned = told(&rig, "job-0", 7).await;
    let warning = warned.iter().find(|(name, _)| name == "warn_records_set_aside").unwrap();
    assert!(warning.1.contains("were set aside"), "{warning:?}");

    rig.fake.world().dislikes = None;
    rig.fake.world().forgets_partial = true;
    let stopped = rig.start().await.unwrap().upload([audit("1", "2", &["e9"])]).await.unwrap_err();
    let job = rig.fake.world().jobs.last().unwrap().id.clone();
    let warned = told(&rig, &job, 7).await;
    let (name, description) = warned.last().unwrap();
    assert_eq!(name, "warn_upload_given_up");
    assert!(description.contains(stopped.remedy.hint().unwrap()), "{description}");
}
