//! Plan `scope`: which scope holds what, in which order, over crashes.

use opgraph::{
    graph::{Records, RelationshipType},
    http::{Halt, Remedy},
    page::{Page, Place},
    stream::Stream,
};
use opgraph_state::{
    Advance, Cursor, Fingerprint, OfWindow, SourceInfo, Split, Store, UnixMs, Window, shard_of,
};
use serde_json::Value;

use super::{
    Rig, TENANT, audit, event,
    fake::{Fault, On, refusal},
    page, scope, sign_ins, token,
};

const ACTOR: &str = "one_password_audit_event_actor_details:u1";

fn shard(key: &str) -> String {
    format!("1p/acme/directory/{:02x}", shard_of(key))
}

fn event_scopes(rig: &Rig) -> Vec<String> {
    let world = rig.fake.world();
    world.graph.keys().filter(|name| name.contains("/events/")).cloned().collect()
}

/// A page with one event of an actor, who also changes a vault.
fn with_vault(from: &str, to: &str, user: &'static str, name: &'static str, at: i64) -> Page<Records> {
    page(Stream::AuditEvents, from, to, &[from], move |records, id| {
        event(records, &format!("e{id}"), user, name, at, "1");
        records.entity(opgraph::graph::EntityType::Vault, "v1", super::version(at)).close();
        records.relationship(RelationshipType::ActorPerformedVault, user, "v1", UnixMs(at));
    })
}

#[tokio::test]
async fn a_directory_scope_is_finished_before_a_job_that_points_into_it_is_finalized() {
    let rig = Rig::new(scope()).await;
    rig.fake.world().polls = 3;
    let run = rig.start().await.unwrap();
    run.deliver([with_vault("0", "1", "u1", "Ann", 1), sign_ins("0", "1", &["i1"])]).await;

    let calls = rig.fake.world().calls.clone();
    let jobs = rig.fake.world().jobs.clone();
    let scope_of = |id: &str| jobs.iter().find(|job| job.id == id).unwrap().scope.clone();
    let is_entities = |name: &str| name.contains("/directory/") && !name.ends_with("/relationships");
    let last_about_entities =
        calls.iter().rposition(|call| call.on != On::Start && is_entities(&scope_of(&call.job))).unwrap();
    let first_other =
        calls.iter().position(|call| call.on == On::Finalize && !is_entities(&scope_of(&call.job))).unwrap();
    assert!(last_about_entities < first_other, "its FINISHED was seen before");

    // Three entity shards at most, one of relationships, and an event job for each stream.
    assert_eq!(jobs.iter().filter(|job| job.scope.contains("/events/")).count(), 2);
    assert_eq!(jobs.iter().filter(|job| job.scope.ends_with("/relationships")).count(), 1);
    assert!(jobs.iter().all(|job| job.state == "FINISHED"));
    assert_eq!(rig.unsettled().await, ["jupiterone/directory"], "only the note that says it is whole stays");
}

#[tokio::test]
async fn a_relationship_names_the_scope_of_each_end_that_lives_elsewhere() {
    let rig = Rig::new(scope()).await;
    let run = rig.start().await.unwrap();
    run.deliver([with_vault("0", "1", "u1", "Ann", 1)]).await;
    let jobs = rig.fake.world().jobs.clone();
    let relationships = |part: &str| -> Vec<Value> {
        jobs.iter().filter(|job| job.scope.contains(part)).flat_map(|job| job.relationships.clone()).collect()
    };
    let [of_event] = &relationships("/events/")[..] else { panic!("one") };
    assert_eq!(of_event["_fromEntityKey"], ACTOR);
    assert_eq!(
        (&of_event["_fromEntitySource"], &of_event["_fromEntityScope"]),
        (&"api".into(), &shard(ACTOR).into())
    );
    assert!(of_event.get("_toEntityScope").is_none() && of_event.get("_toEntitySource").is_none());

    let [shared] = &relationships("/directory/")[..] else { panic!("one") };
    assert_eq!(shared["_fromEntityScope"], shard(ACTOR));
    assert_eq!(shared["_toEntityScope"], shard("one_password_vault:v1"));
    assert_eq!((&shared["_fromEntitySource"], &shared["_toEntitySource"]), (&"api".into(), &"api".into()));
    // Every label leads to an entity that is there.
    for record in [of_event, shared] {
        for end in ["from", "to"] {
            if let Some(name) = record.get(format!("_{end}EntityScope")) {
                let key = record[format!("_{end}EntityKey")].as_str().unwrap();
                assert!(rig.fake.keys(name.as_str().unwrap()).contains(key));
            }
        }
    }
}

#[tokio::test]
async fn a_directory_scope_is_sent_again_only_for_a_change_and_then_whole() {
    let rig = Rig::new(scope()).await;
    // Two users of one shard.
    let other = (2..)
        .map(|n| format!("u{n}"))
        .find(|user| shard_of(&format!("one_password_audit_event_actor_details:{user}")) == shard_of(ACTOR));
    let other: &'static str = other.unwrap().leak();
    let run = rig.start().await.unwrap();
    let jobs_in = |rig: &Rig| {
        let name = shard(ACTOR);
        rig.fake
            .world()
            .jobs
            .iter()
            .filter(|job| job.scope == name)
            .map(|job| job.entities.len())
            .collect::<Vec<_>>()
    };
    run.deliver([with_vault("0", "1", "u1", "Ann", 1)]).await;
    run.deliver([with_vault("1", "2", "u1", "Ann", 2)]).await;
    assert_eq!(jobs_in(&rig), [1], "only the time is newer");
    run.deliver([with_vault("2", "3", other, "Bob", 3)]).await;
    assert_eq!(jobs_in(&rig), [1, 2], "whole");
    // The next run knows from the state, and once has to make sure.
    let run = rig.start().await.unwrap();
    run.deliver([with_vault("3", "4", "u1", "Ann", 4)]).await;
    assert_eq!(jobs_in(&rig), [1, 2, 2]);
    run.deliver([with_vault("4", "5", "u1", "Ann", 5)]).await;
    assert_eq!(jobs_in(&rig), [1, 2, 2]);
    run.deliver([with_vault("5", "6", "u1", "Ann Lee", 6)]).await;
    assert_eq!(jobs_in(&rig), [1, 2, 2, 2]);
    assert!(rig.fake.duplicates().is_empty(), "{:?}", rig.fake.duplicates());
}

/// Ann, Anna for a moment, and Ann again: what a killed run has sent of the moment
/// between, and never committed, does not stay.
#[tokio::test]
async fn what_was_sent_and_never_committed_is_replaced_by_what_was_there_before_it() {
    let rig = Rig::new(scope()).await;
    let run = rig.start().await.unwrap();
    run.deliver([with_vault("0", "1", "u1", "Ann", 1)]).await;
    drop(run.upload([with_vault("1", "2", "u1", "Anna", 2)]).await.unwrap());
    drop(run);
    let run = rig.start().await.unwrap();
    run.deliver([with_vault("1", "2", "u1", "Anna", 2), with_vault("2", "3", "u1", "Ann", 3)]).await;
    let world = rig.fake.world();
    let last = world.jobs.iter().rfind(|job| job.scope == shard(ACTOR)).unwrap();
    assert_eq!(last.entities[0]["name"], "Ann");
}

#[tokio::test]
async fn an_upload_that_is_not_committed_yet_is_part_of_the_directory() {
    let rig = Rig::new(scope()).await;
    let run = rig.start().await.unwrap();
    let first = run.upload([with_vault("0", "1", "u1", "Ann", 1)]).await.unwrap();
    let before = rig.fake.world().jobs.len();
    let second = run.upload([with_vault("1", "2", "u1", "Ann", 2)]).await.unwrap();
    assert_eq!(rig.fake.world().jobs.len(), before + 1, "nothing but the events");
    run.commit(first).await;
    run.commit(second).await;
}

#[tokio::test]
async fn a_directory_that_was_never_sent_here_is_sent_whole_first() {
    let mut rig = Rig::new(scope()).await;
    let run = rig.start().await.unwrap();
    run.deliver([with_vault("0", "1", "u1", "Ann", 1)]).await;
    run.deliver([with_vault("1", "2", "u7", "Eve", 2)]).await;
    // Another prefix, as after a change of the configuration: the state knows
    // both users, the new scopes neither.
    rig.settings.plan = super::Plan::Scope { prefix: "1p/moved".to_owned() };
    let run = rig.start().await.unwrap();
    run.deliver([with_vault("2", "3", "u1", "Ann", 3)]).await;
    let directory = || -> usize {
        let world = rig.fake.world();
        world
            .graph
            .iter()
            .filter(|(name, _)| name.starts_with("1p/moved/directory/"))
            .map(|(_, all)| all.len())
            .sum()
    };
    assert_eq!(directory(), 5, "two actors, a vault and two relationships");
    // A run without this sink in between breaks the chain.
    rig.store.claim(TENANT, &[], UnixMs(1)).await.unwrap();
    rig.fake.world().graph.retain(|name, _| !name.contains("/directory/"));
    let run = rig.start().await.unwrap();
    run.deliver([with_vault("3", "4", "u1", "Ann", 4)]).await;
    assert_eq!(directory(), 5);
}

#[tokio::test]
async fn a_replay_replaces_what_was_never_committed_and_duplicates_nothing() {
    let rig = Rig::new(scope()).await;
    let run = rig.start().await.unwrap();
    run.deliver([audit("0", "1", &["e0"])]).await;
    // Finished at JupiterOne and never committed: two uploads of three pages.
    let _ = run.upload([audit("1", "2", &["e1"]), audit("2", "3", &["e2"])]).await.unwrap();
    let _ = run.upload([audit("3", "4", &["e3"])]).await.unwrap();
    assert_eq!(event_scopes(&rig).len(), 3);

    // The same again, cut otherwise: the second upload's scope has no first
    // cursor any more, and the first upload's covers fewer pages than it did.
    let run = rig.start().await.unwrap();
    run.deliver([audit("1", "2", &["e1"])]).await;
    assert_eq!(rig.fake.world().jobs.last().unwrap().deleted.0, 1, "e2 comes with the next upload");
    run.deliver([audit("2", "4", &["e2", "e3"])]).await;

    assert!(rig.fake.duplicates().is_empty(), "{:?}", rig.fake.duplicates());
    let events: usize = event_scopes(&rig).iter().map(|name| rig.fake.keys(name).len()).sum();
    assert_eq!(events, 2 * 4, "four events, each with its relationship");
    assert_eq!(rig.unsettled().await, ["jupiterone/directory"]);
    assert!(rig.fake.world().crowded.is_empty());
}

#[tokio::test]
async fn what_is_left_of_a_stream_stays_noted_until_an_ack_covers_the_stream() {
    let rig = Rig::new(scope()).await;
    let run = rig.start().await.unwrap();
    let _ = run.upload([audit("0", "1", &["e0"])]).await.unwrap();
    let left = |notes: &[String]| notes.iter().filter(|name| name.contains("/job/")).count();
    let run = rig.start().await.unwrap();
    run.deliver([sign_ins("0", "1", &["i0"])]).await;
    assert_eq!(left(&rig.unsettled().await), 1, "the audit scope may hold what comes again");
    let run = rig.start().await.unwrap();
    // Nothing comes again: what is there has to go all the same.
    run.deliver([page(Stream::AuditEvents, "0", "1", &[], |_, _| ())]).await;
    assert_eq!(left(&rig.unsettled().await), 0);
    let events: usize = event_scopes(&rig).iter().map(|name| rig.fake.keys(name).len()).sum();
    assert_eq!(events, 2, "the sign-in and its relationship");
}

#[tokio::test]
async fn a_first_cursor_that_comes_again_after_its_commit_deletes_nothing() {
    let rig = Rig::new(scope()).await;
    let run = rig.start().await.unwrap();
    run.deliver([audit("0", "1", &["e0", "e1"])]).await;
    let held = event_scopes(&rig);
    // `cursors import`, or a rewind: the same place again, and dedup drops what it knows.
    rig.store.rewind(TENANT, "auditevents", token("0"), UnixMs(3)).await.unwrap();
    let run = rig.start().await.unwrap();
    run.deliver([audit("0", "1", &["e9"])]).await;
    assert_eq!(event_scopes(&rig), held);
    assert_eq!(rig.fake.keys(&held[0]).len(), 6);
    assert!(rig.fake.world().jobs.iter().all(|job| job.deleted == (0, 0)));
}

#[tokio::test]
async fn a_replay_that_removes_more_than_it_can_have_brought_stops_the_tenant() {
    let rig = Rig::new(scope()).await;
    let run = rig.start().await.unwrap();
    run.deliver([audit("0", "1", &["e0", "e1", "e2"])]).await;
    // The same place again, a job with one event, and no commit.
    rig.store.rewind(TENANT, "auditevents", token("0"), UnixMs(3)).await.unwrap();
    let run = rig.start().await.unwrap();
    let _ = run.upload([audit("0", "1", &["e9"])]).await.unwrap();
    let run = rig.start().await.unwrap();
    let error = run.upload([audit("0", "1", &["e9"])]).await.unwrap_err();
    assert!(matches!(error.remedy, Remedy::Halt(Halt::Guard { .. })), "{error:?}");
}

#[tokio::test]
async fn a_job_that_was_never_finalized_leaves_nothing_to_replace() {
    let rig = Rig::new(scope()).await;
    rig.fake.fault(On::Finalize, Fault::Refuse(refusal(401, "UNAUTHORIZED")));
    let _ = rig.upload_one().await.unwrap_err();
    let run = rig.start().await.unwrap();
    assert!(rig.fake.world().jobs.iter().all(|job| job.state == "ABORTED"));
    run.deliver([audit("0", "1", &["e1"])]).await;
    let finalized: Vec<Value> = rig.fake.calls(On::Finalize).iter().map(|call| call.body.clone()).collect();
    assert!(finalized.iter().all(|body| body["partialDatasets"]["types"].is_array()), "{finalized:?}");
}

#[tokio::test]
async fn the_same_first_cursor_gives_the_same_scope() {
    let scopes = |first: Cursor| async move {
        let rig = Rig::new(scope()).await;
        let run = rig.start().await.unwrap();
        let mut records = Records::default();
        event(&mut records, "e1", "u1", "Ann", 1, "1");
        let advance = opgraph_state::Advance::new(first, token("9"));
        let place = opgraph::page::Place::new(Stream::AuditEvents, advance, Default::default());
        let _ = run.upload([Page::new(records, place, None)]).await.unwrap();
        event_scopes(&rig).remove(0)
    };
    assert_eq!(scopes(token("a")).await, scopes(token("a")).await);
    assert_ne!(scopes(token("a")).await, scopes(token("b")).await);
    assert_ne!(scopes(Cursor::Since(UnixMs(5))).await, scopes(token("5")).await);
    // On disk at JupiterOne for ever: must never change.
    let expect = "1p/acme/events/auditevents/";
    assert!(scopes(Cursor::Since(UnixMs(5))).await.starts_with(expect));
}

/// A page of a window, with one audit event if it is named.
fn of_window(from: &Cursor, to: &Cursor, begun: u32, id: Option<&str>) -> Page<Records> {
    let mut records = Records::default();
    id.into_iter().for_each(|id| event(&mut records, id, "u1", "Ann", 1, "1"));
    let advance = Advance::new(from.clone(), to.clone());
    let place = Place::new(Stream::AuditEvents, advance, SourceInfo::default());
    let place = place.with_window(OfWindow { number: 0, begun, done: false });
    let mut page = Page::new(records, place, None);
    page.remember(id.map(Fingerprint::of).into_iter().collect());
    page
}

/// A window is begun anew, and dedup takes out what was committed of it. What a
/// run then leaves uncommitted is replaced by the next one, and nothing else is.
#[tokio::test]
async fn a_window_that_is_begun_anew_takes_nothing_out_of_the_scope_of_its_first_turn() {
    let rig = Rig::new(scope()).await;
    let run = rig.start().await.unwrap();
    let split = Split::cut(UnixMs(0), UnixMs(9 * 3_600_000), 1, 0, None);
    let first = split.windows[0].cursor.clone();
    let anew = Window::beginning(split.windows[0].start, split.windows[0].end, 1);
    let advance = Advance::new(token("0"), Cursor::Since(split.since));
    let place = Place::new(Stream::AuditEvents, advance, SourceInfo::default()).with_split(split);
    run.deliver([Page::new(Records::default(), place, None)]).await;
    let (w, x) = (token("w"), token("x"));
    run.deliver([of_window(&first, &w, 0, Some("e1")), of_window(&w, &anew, 1, None)]).await;
    // Uploaded to the end, and never committed.
    let _ = run.upload([of_window(&anew, &x, 0, Some("e2"))]).await.unwrap();
    drop(run);

    let run = rig.start().await.unwrap();
    run.deliver([of_window(&anew, &x, 0, Some("e2"))]).await;
    let mut held: Vec<String> = Vec::new();
    for scope in event_scopes(&rig) {
        held.extend(
            rig.fake.keys(&scope).into_iter().filter(|key| key.starts_with("one_password_audit_event:")),
        );
    }
    held.sort();
    assert_eq!(held, ["one_password_audit_event:e1", "one_password_audit_event:e2"]);
}
