//! What comes out of the quarantine and goes to JupiterOne.

use std::{collections::BTreeMap, sync::Arc};

use opgraph::{
    clock::Clock,
    graph::Records,
    page::{Page, Place},
    pipeline::{self, Limits, retry::Retry},
    stream::{Mapping, Stream},
};
use opgraph_state::{QuarantineId, Quarantined, Store, UnixMs};

use super::{Rig, TENANT, audit, event, instance, scope};

/// How often each key is in the graph, over all scopes.
fn held(rig: &Rig) -> BTreeMap<String, usize> {
    let mut held = BTreeMap::new();
    for keys in rig.fake.world().graph.values() {
        for key in keys.keys() {
            *held.entry(key.clone()).or_default() += 1;
        }
    }
    held
}

async fn entries(rig: &Rig) -> Vec<Quarantined> {
    rig.store.quarantined(TENANT, 100).await.unwrap()
}

/// Retries everything, as the command does.
async fn retry(rig: &Rig) {
    let run = rig.start().await.unwrap();
    let streams = run.claim.checkpoints.iter();
    let retry = Retry {
        tenant: TENANT.into(),
        epoch: run.claim.epoch,
        sink: run.sink.clone(),
        store: rig.store.clone(),
        streams: streams.map(|(name, at)| (Stream::named(name).unwrap(), at.clone())).collect(),
        entries: entries(rig).await.iter().map(Quarantined::id).collect(),
        mapping: Mapping::default(),
        limits: Limits::default(),
        clock: Clock::starting_at(UnixMs(3)),
        meter: Arc::clone(&rig.meter),
    };
    pipeline::retry::run(retry).await.unwrap();
}

#[tokio::test]
async fn what_was_too_large_is_delivered_once_jupiterone_takes_it() {
    for plan in [instance(), scope()] {
        let rig = Rig::new(plan).await;
        // Not one record fits: neither the event nor its relationship nor the shared actor.
        rig.fake.world().largest = Some(60);
        let run = rig.start().await.unwrap();
        run.deliver([audit("0", "1", &["e1"])]).await;
        let aside = entries(&rig).await;
        assert_eq!((aside.len(), held(&rig).len()), (3, 0), "{aside:?}");
        assert!(aside.iter().all(|entry| !entry.body.contains("EntityScope")), "{aside:?}");
        assert!(aside.iter().any(|entry| entry.body.contains("_rawData")), "whole: {aside:?}");

        let ids = |entries: &[Quarantined]| {
            entries.iter().map(Quarantined::id).collect::<std::collections::BTreeSet<QuarantineId>>()
        };
        retry(&rig).await;
        assert_eq!(ids(&entries(&rig).await), ids(&aside), "still too large: each stays, under its id");

        rig.fake.world().largest = None;
        retry(&rig).await;
        assert_eq!(entries(&rig).await, []);
        let held = held(&rig);
        assert_eq!(held.len(), 3, "{held:?}");
        assert!(held.values().all(|times| *times == 1), "{held:?}");
        assert_eq!(rig.unsettled().await.iter().filter(|name| name.contains("/job/")).count(), 0);
    }
}

/// A page that holds one entry again.
async fn staying(rig: &Rig, id: &str, entry: &Quarantined) -> Page<Records> {
    let mut records = Records::default();
    event(&mut records, id, "u1", "Ann", 1, "{}");
    let at = rig.store.checkpoints().await.unwrap()[TENANT]["auditevents"].clone();
    Page::new(records, Place::staying(Stream::AuditEvents, &at, vec![entry.id()]), None)
}

#[tokio::test]
async fn a_retry_and_a_replay_do_not_take_each_others_records_away() {
    for plan in [instance(), scope()] {
        let rig = Rig::new(plan).await;
        rig.start().await.unwrap().deliver([audit("0", "1", &["e1"])]).await;
        let entry = Quarantined {
            stream: "auditevents".to_owned(),
            reason: "of old".to_owned(),
            body: "{}".to_owned(),
            at: UnixMs(1),
        };
        let run = rig.start().await.unwrap();
        let ack = run.upload([audit("1", "2", &["e2"])]).await.unwrap();
        let mut commit = ack.into_commit(TENANT, run.claim.epoch, UnixMs(2));
        commit.quarantined = vec![entry.clone()];
        rig.store.commit(commit).await.unwrap();

        // A retry that ends between FINISHED and its commit, and a run after it.
        let run = rig.start().await.unwrap();
        let _ = run.upload([staying(&rig, "e9", &entry).await]).await.unwrap();
        rig.start().await.unwrap().deliver([audit("2", "3", &["e3"])]).await;
        assert_eq!(entries(&rig).await, std::slice::from_ref(&entry));
        // A run that ends so, and a retry after it; then the run's pages come again.
        let _ = rig.start().await.unwrap().upload([audit("3", "4", &["e4"])]).await.unwrap();
        rig.start().await.unwrap().deliver([staying(&rig, "e9", &entry).await]).await;
        assert_eq!(entries(&rig).await, []);
        // And twice more from the cursor at which the retry stood.
        let _ = rig.start().await.unwrap().upload([audit("3", "4", &["e4"])]).await.unwrap();
        rig.start().await.unwrap().deliver([audit("3", "4", &["e4"])]).await;

        let held = held(&rig);
        for id in ["e1", "e2", "e3", "e4", "e9"] {
            assert_eq!(held.get(&format!("one_password_audit_event:{id}")), Some(&1), "{id}: {held:?}");
        }
        assert_eq!(held.len(), 2 * 5 + 1, "{held:?}");
    }
}

#[tokio::test]
async fn a_record_refused_by_name_is_set_aside_alone_and_comes_again_once_it_is_taken() {
    for plan in [instance(), scope()] {
        let rig = Rig::new(plan).await;
        let names: Vec<String> = (0..1000).map(|number| format!("e{number:04}")).collect();
        let ids: Vec<&str> = names.iter().map(String::as_str).collect();
        rig.fake.world().dislikes = Some("audit_event:e0617\",");
        rig.start().await.unwrap().deliver([audit("0", "1", &ids)]).await;
        let aside = entries(&rig).await;
        // The event, and the relationship that names it last.
        assert!(aside.iter().all(|entry| entry.body.contains("audit_event:e0617")), "{aside:?}");
        assert!(aside.iter().all(|entry| entry.reason.contains("JupiterOne refuses it")), "{aside:?}");
        assert!(aside.iter().any(|entry| entry.body.contains("_rawData")), "whole: {aside:?}");
        assert_eq!(held(&rig).len() + aside.len(), 2001);
        rig.fake.world().dislikes = None;
        retry(&rig).await;
        assert_eq!(entries(&rig).await, []);
        assert_eq!(held(&rig).len(), 2001);
        assert!(held(&rig).values().all(|times| *times == 1));
    }
}

#[tokio::test]
async fn a_jupiterone_that_refuses_everything_halts_the_tenant_and_empties_nothing_into_the_quarantine() {
    let rig = Rig::new(instance()).await;
    let names: Vec<String> = (0..1000).map(|number| format!("e{number:04}")).collect();
    let ids: Vec<&str> = names.iter().map(String::as_str).collect();
    rig.fake.world().dislikes = Some("audit_event");
    let run = rig.start().await.unwrap();
    let error = run.upload([audit("0", "1", &ids)]).await.unwrap_err();
    assert_eq!(error.remedy.name(), "halt");
    assert_eq!((held(&rig).len(), entries(&rig).await.len()), (0, 0));
}
