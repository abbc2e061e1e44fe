//! commit: the state on a real folder, with its syncs.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput};
use opgraph_state::{
    Advance, Commit, Cursor, Epoch, Fingerprint, OpenOptions, SledStore, SourceInfo, Step, Store, UnixMs,
};
use tokio::task::JoinSet;

use super::RUNTIME;

/// One tenant's place.
#[derive(Clone)]
struct Tenant {
    name: String,
    epoch: Epoch,
    at: Cursor,
    commits: u64,
}

/// Commits of an upload of 10 pages: alone, and by 32 tenants at once.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    for (tenants, pages) in [(1, 1), (1, 100), (32, 1), (32, 100)] {
        // Not in memory, wherever temporary files are kept.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let (store, mut all) = state(dir.path(), tenants);
        group.throughput(Throughput::Elements(tenants * pages * 1000));
        group.bench_function(format!("{tenants} at once, {pages} pages each"), |bencher| {
            bencher.iter_custom(|times| {
                let mut took = Duration::ZERO;
                for _ in 0..times {
                    let commits: Vec<_> = all.iter_mut().map(|tenant| tenant.next(pages)).collect();
                    let begun = Instant::now();
                    RUNTIME.block_on(at_once(&store, commits));
                    took += begun.elapsed();
                }
                took
            });
        });
    }
    group.finish();
}

async fn at_once(store: &SledStore, commits: Vec<Commit>) {
    let mut running = JoinSet::new();
    for commit in commits {
        let store = store.clone();
        running.spawn(async move { store.commit(commit).await.expect("a commit") });
    }
    running.join_all().await;
}

fn state(dir: &Path, tenants: u64) -> (SledStore, Vec<Tenant>) {
    let store = SledStore::open(dir, OpenOptions::default()).expect("a state");
    let at = Cursor::Since(UnixMs(0));
    let starts = [("auditevents".to_owned(), at.clone())];
    let all = (0..tenants).map(|number| {
        let name = format!("tenant {number}");
        let claim = RUNTIME.block_on(store.claim(&name, &starts, UnixMs(0))).expect("a claim");
        Tenant { name, epoch: claim.epoch, at: at.clone(), commits: 0 }
    });
    let all = all.collect();
    (store, all)
}

impl Tenant {
    /// The commit that follows. An hour passes with each, so that ids are pruned as they would be.
    fn next(&mut self, pages: u64) -> Commit {
        self.commits += 1;
        let (number, to) = (self.commits, Cursor::Token(self.commits.to_string()));
        let at = UnixMs(number as i64 * 3_600_000);
        let ids = |page: u64| {
            let of = |id| Fingerprint::of(&format!("{number} {page} {id}"));
            (0..1000).map(of).collect()
        };
        let step = Step {
            stream: "auditevents".to_owned(),
            advance: Advance::new(std::mem::replace(&mut self.at, to.clone()), to),
            source: SourceInfo::default(),
            newest_event: Some(at),
            latest: Some(at),
            seen: (0..pages).map(ids).collect(),
            rewound: false,
            through: true,
            window: None,
            split: None,
        };
        Commit {
            tenant: self.name.clone(),
            epoch: self.epoch,
            at,
            steps: vec![step],
            removed: Vec::new(),
            directory: Vec::new(),
            inventory: Vec::new(),
            released: Vec::new(),
            quarantined: Vec::new(),
            settled: Vec::new(),
        }
    }
}
