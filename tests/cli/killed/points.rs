//! Every place at which the process is killed, and when it gets there.

use std::collections::BTreeMap;

use super::Sink::{self, Files, Graph, Instance, Scope};

/// One fail point of the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) name: &'static str,
    /// How often a run comes by.
    pub(super) times: Times,
    /// The sinks whose runs come by.
    pub(super) sinks: &'static [Sink],
    /// What `FAILPOINTS` was in a run before, so that there is a reason to come by.
    pub(super) after: Option<&'static str>,
}

/// How often a run comes by a point, and so at which of these times it dies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    /// Once a run, and these runs do not fail by themselves: the first time is the only one.
    Run,
    /// Once a page, a job, a body, or more often.
    Page,
    /// Once an upload. The local graph's are closed by age: the third time takes a slow source.
    Upload,
    /// Once an upload that holds poison: not every one does, and the third may hold none.
    Poison,
    /// Once a write of the state: claim, renew, commits, notes, release. The
    /// fourth is the first commit, where there is no other sink than the graph.
    Write,
}

const ALL: &[Sink] = &[Graph, Instance, Scope];
/// Where a run's files, or the state beside them, are half of the matter.
const AND_FILES: &[Sink] = &[Graph, Instance, Scope, Files];
const JUPITERONE: &[Sink] = &[Instance, Scope];
/// The instance has the graph beside it.
const GRAPH: &[Sink] = &[Graph, Instance];

/// Leaves a job behind that was sent something.
const JOB_LEFT: Option<&str> = Some("entities.after=return");
/// Leaves the jobs of three uploads behind, finished and never committed.
const UNCOMMITTED: Option<&str> = Some("commit.before=sleep(5000);ack.made=2*off->1*return");

const fn point(name: &'static str, times: Times, sinks: &'static [Sink]) -> Point {
    Point { name, times, sinks, after: None }
}

/// The fail points, in the order in which a run first comes by.
pub(super) const POINTS: &[Point] = &[
    point("run.start", Times::Run, ALL),
    point("claim.after", Times::Run, ALL),
    point("renew.after", Times::Run, ALL),
    point("introspect.after", Times::Run, ALL),
    // Jobs that an earlier run left open.
    Point { after: JOB_LEFT, ..point("left.found", Times::Run, JUPITERONE) },
    Point { after: JOB_LEFT, ..point("left.aborted", Times::Run, JUPITERONE) },
    // Windows.
    point("split.made", Times::Page, ALL),
    point("window.before", Times::Page, ALL),
    point("window.answered", Times::Page, ALL),
    point("window.done", Times::Page, ALL),
    point("window.begun", Times::Run, ALL),
    // Pages.
    point("fetch.before", Times::Page, ALL),
    point("fetch.answered", Times::Page, ALL),
    point("fetch.decoded", Times::Page, ALL),
    point("quarantine.found", Times::Page, ALL),
    point("rewind.made", Times::Page, ALL),
    point("fetch.after", Times::Page, ALL),
    point("dedup.before", Times::Page, ALL),
    point("rewind.recalled", Times::Page, ALL),
    point("dedup.after", Times::Page, ALL),
    point("map.after", Times::Page, ALL),
    // Uploads.
    point("upload.open", Times::Upload, ALL),
    point("upload.written", Times::Page, AND_FILES),
    point("upload.finish", Times::Upload, ALL),
    point("graph.insert", Times::Page, GRAPH),
    point("graph.before_commit", Times::Upload, GRAPH),
    point("graph.after_commit", Times::Upload, GRAPH),
    point("files.staged", Times::Run, &[Files]),
    point("files.renamed", Times::Page, &[Files]),
    point("files.published", Times::Run, &[Files]),
    Point { after: UNCOMMITTED, ..point("scope.emptied", Times::Run, &[Scope]) },
    point("job.before", Times::Page, JUPITERONE),
    point("job.started", Times::Page, JUPITERONE),
    point("job.noted", Times::Page, JUPITERONE),
    point("entities.before", Times::Page, JUPITERONE),
    point("entities.after", Times::Page, JUPITERONE),
    point("relationships.before", Times::Page, JUPITERONE),
    point("relationships.after", Times::Page, JUPITERONE),
    point("finalize.before", Times::Page, JUPITERONE),
    point("finalize.after", Times::Page, JUPITERONE),
    point("poll.after", Times::Page, JUPITERONE),
    point("poll.finished", Times::Page, JUPITERONE),
    point("job.over", Times::Page, JUPITERONE),
    point("directory.noted", Times::Run, &[Scope]),
    point("ack.made", Times::Upload, AND_FILES),
    point("ack.before", Times::Upload, ALL),
    point("ack.after", Times::Upload, ALL),
    // Commits.
    point("quarantine.before", Times::Poison, ALL),
    point("commit.before", Times::Upload, AND_FILES),
    point("transaction.before", Times::Write, ALL),
    point("transaction.after", Times::Write, AND_FILES),
    point("flush.before", Times::Write, ALL),
    point("flush.after", Times::Write, ALL),
    point("fsync.after", Times::Write, AND_FILES),
    point("file.written", Times::Write, ALL),
    point("file.renamed", Times::Write, ALL),
    point("file.synced", Times::Write, ALL),
    point("commit.after", Times::Upload, AND_FILES),
    point("release.before", Times::Run, ALL),
    point("run.end", Times::Run, AND_FILES),
];

/// The points of snapshots, in the order in which a run first comes by.
pub(super) const SNAPSHOTS: &[Point] = &[
    point("snapshot.before", Times::Run, ALL),
    point("connect.before", Times::Page, ALL),
    point("connect.vaults", Times::Run, ALL),
    point("snapshot.vaults", Times::Run, ALL),
    point("snapshot.announced", Times::Run, AND_FILES),
    point("connect.items", Times::Page, ALL),
    point("snapshot.items", Times::Page, AND_FILES),
    point("connect.labels", Times::Page, ALL),
    point("snapshot.sent", Times::Page, AND_FILES),
    point("snapshot.removing", Times::Run, AND_FILES),
    point("vault.sent", Times::Page, &[Scope]),
    point("snapshot.done", Times::Run, AND_FILES),
];

/// The points at which a run dies twice in a row before it recovers.
pub(super) const TWICE: &[&str] = &[
    "graph.before_commit",
    "graph.after_commit",
    "files.renamed",
    "job.noted",
    "finalize.before",
    "finalize.after",
    "poll.finished",
    "ack.made",
    "ack.before",
    "commit.before",
    "transaction.after",
    "fsync.after",
    "file.renamed",
    "commit.after",
];

#[test]
fn the_fail_points_that_are_tried_are_those_of_the_sources_each_once() {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for (path, text) in crate::tidy::sources() {
        if path.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        for after in text.split("die_at!(\"").skip(1) {
            *found.entry(after.split('"').next().unwrap().to_owned()).or_default() += 1;
        }
    }
    // A request is begun in two places, and it is the same for both.
    assert_eq!(found.insert("connect.before".to_owned(), 1), Some(2));
    // The state opens its database anew only after megabytes. Its own tests, which
    // open it anew after every commit, kill it anywhere.
    assert_eq!(found.remove("renew.closed"), Some(1));
    let names = POINTS.iter().chain(SNAPSHOTS).map(|point| point.name);
    let tried: BTreeMap<String, usize> = names.map(|name| (name.to_owned(), 1)).collect();
    assert_eq!(tried.len(), POINTS.len() + SNAPSHOTS.len(), "no point is listed twice");
    assert_eq!(found, tried);
    for name in TWICE {
        assert!(tried.contains_key(*name), "{name} is no fail point");
    }
}
