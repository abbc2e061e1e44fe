//! Many committers, few fsyncs.

use super::{claim, commit, ids, open, recorded, token};
use crate::{Commit, Entry, Epoch, Quarantined, Refused, Step, Store, StoreError, UnixMs, Version};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_committers_share_their_fsyncs() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let tenants: Vec<_> = (0..100).map(|tenant| format!("tenant {tenant}")).collect();
    for tenant in &tenants {
        claim(&store, tenant).await;
    }
    let before = recorded(dir.path());
    let mut running = tokio::task::JoinSet::new();
    for tenant in tenants.clone() {
        let store = store.clone();
        running.spawn(async move {
            for number in 0..5 {
                store
                    .commit(commit(&tenant, crate::Epoch(1), number, 1, vec![ids(number, 10)]))
                    .await
                    .unwrap();
            }
        });
    }
    running.join_all().await;
    // Every group is one fsync of the database and one record.
    let groups = recorded(dir.path()) - before;
    assert!(groups < 250, "500 commits took {groups} groups");
    let all = store.checkpoints().await.unwrap();
    assert!(tenants.iter().all(|tenant| all[tenant]["s"].commits == 5));
}

/// Requests that are on their way together see one another's effects in order,
/// and a refused one among them harms no other.
#[tokio::test]
async fn a_refused_commit_leaves_the_rest_of_its_group_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let epoch = claim(&store, "acme").await;
    let step = |number| store.commit(commit("acme", epoch, number, 1, vec![ids(number, 2)]));
    // Chained, chained, refused, chained, refused, chained: all sent before the first answer.
    let (a, b, c, d, e, f) = tokio::join!(step(0), step(1), step(1), step(2), step(7), step(3));
    for made in [a, b, d, f] {
        made.unwrap();
    }
    for refused in [c, e] {
        assert!(matches!(refused, Err(StoreError::Refused(Refused::NotChained { .. }))), "{refused:?}");
    }
    let seen = store.seen("acme", "s", None).await.unwrap();
    let mut expected: Vec<_> = (0..4).flat_map(|number| ids(number, 2)).collect();
    expected.reverse();
    assert_eq!(seen, expected);
}

/// A commit whose second step is refused has put its first one by then.
#[tokio::test]
async fn a_commit_refused_halfway_leaves_nothing_of_itself_in_its_group() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for tenant in ["acme", "other"] {
        let first = ["s", "t"].map(|stream| (stream.to_owned(), token(0)));
        store.claim(tenant, &first, UnixMs(0)).await.unwrap();
    }
    let before = store.checkpoints().await.unwrap()["acme"].clone();
    let mut halfway = commit("acme", Epoch(1), 0, 1, vec![ids(0, 2)]);
    halfway.directory = vec![Entry {
        key: "user".to_owned(),
        version: Version { rank: 2, at: UnixMs(1) },
        record: "r".to_owned(),
    }];
    let bad = commit("acme", Epoch(1), 7, 1, vec![ids(7, 2)]).steps.remove(0);
    halfway.steps.push(Step { stream: "t".to_owned(), ..bad });
    let beside = || store.renew("other", Epoch(1), UnixMs(9));
    let (a, refused, b) = tokio::join!(beside(), store.commit(halfway), beside());
    a.and(b).unwrap();
    assert!(matches!(refused, Err(StoreError::Refused(Refused::NotChained { .. }))), "{refused:?}");
    assert_eq!(store.checkpoints().await.unwrap()["acme"], before);
    assert_eq!(store.seen("acme", "s", None).await.unwrap(), []);
    assert_eq!(store.directory("acme", vec!["user".to_owned()]).await.unwrap(), [None]);
    // The step that was right can be made by itself.
    store.commit(commit("acme", Epoch(1), 0, 1, vec![ids(0, 2)])).await.unwrap();
}

/// The memory that a group takes is bounded, whatever its commits hold.
#[tokio::test]
async fn a_group_takes_no_more_commits_once_it_holds_eight_mebibytes() {
    const HALF: usize = (1 << 20) + 1;
    let directory = |whole: &mut Commit| {
        let version = Version { rank: 2, at: UnixMs(1) };
        whole.directory = vec![Entry { key: "user".to_owned(), version, record: "r".repeat(HALF) }];
    };
    let quarantined = |whole: &mut Commit| {
        let (stream, reason, body) = ("s".to_owned(), String::new(), "b".repeat(HALF));
        whole.quarantined = vec![Quarantined { stream, reason, body, at: UnixMs(1) }];
    };
    let seen = |whole: &mut Commit| whole.steps[0].seen = vec![ids(0, HALF as u64 / 16 + 1)];
    let large: [&dyn Fn(&mut Commit); 3] = [&directory, &quarantined, &seen];
    for large in large {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let epoch = claim(&store, "acme").await;
        let before = recorded(dir.path());
        let step = |number| {
            let mut whole = commit("acme", epoch, number, 1, Vec::new());
            large(&mut whole);
            store.commit(whole)
        };
        // Two to a group; the one without content does not count.
        let small = store.renew("acme", epoch, UnixMs(1));
        let (a, small, b, c, d, e) = tokio::join!(step(0), small, step(1), step(2), step(3), step(4));
        a.and(small).and(b).and(c).and(d).and(e).unwrap();
        let groups = recorded(dir.path()) - before;
        assert!((3..=6).contains(&groups), "{groups} groups");
    }
}
