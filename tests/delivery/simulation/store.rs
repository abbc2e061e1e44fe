//! A store that watches every commit, and at times is slow or loses its answer.

use std::{collections::HashSet, convert::identity, future::pending, io, sync::Arc};

use opgraph::stream::Stream;
use opgraph_state::{Checkpoint, Claim, Commit, Cursor, Fingerprint, MemoryStore, Store, StoreError, UnixMs};

use super::world::World;
use crate::support::store::passed_on;

/// The tenant of every history.
pub(super) const TENANT: &str = "acme";

/// The state as the runs see it.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) world: Arc<World>,
    pub(super) inner: MemoryStore,
}

impl Watched {
    /// Takes or refuses a commit, and has the watch judge it.
    async fn decide(&self, commit: Commit) -> Result<(), StoreError> {
        let World { watch, truth, vaults, .. } = &*self.world;
        let legal = watch.committing(&commit);
        if legal {
            self.nothing_is_new_twice(&commit).await;
            self.nothing_is_removed_by_mistake(&commit).await;
        }
        let decided = self.inner.commit(commit.clone()).await;
        match &decided {
            Ok(()) if !legal => watch.violated(format!("an old run's commit was taken: {commit:?}")),
            Ok(()) => {
                let stored = self.inner.checkpoints().await?;
                watch.committed(truth, self.world.now(), &commit, &stored[TENANT]);
                vaults.committed(&commit);
            }
            Err(why) => {
                watch.failing(commit.epoch);
                watch.refused_commit(&commit, why);
            }
        }
        decided
    }

    /// What a commit removes is gone from every place where it was known.
    async fn nothing_is_removed_by_mistake(&self, commit: &Commit) {
        if commit.removed.is_empty() {
            return;
        }
        let mut listed = Vec::new();
        for vault in self.inner.listed_vaults(TENANT).await.unwrap() {
            listed.extend(self.inner.listed_items(TENANT, &vault.id).await.unwrap());
        }
        let World { watch, vaults, .. } = &*self.world;
        watch.note("remove", &commit.removed);
        watch.seen().counted.removed += commit.removed.len() as u64;
        if let Some(wrong) = vaults.removed_by_mistake(commit, &listed) {
            watch.violated(wrong);
        }
    }

    /// No event is committed as new that the store remembers.
    async fn nothing_is_new_twice(&self, commit: &Commit) {
        let World { watch, truth, .. } = &*self.world;
        for step in &commit.steps {
            let stream = Stream::named(&step.stream).unwrap();
            let before = |id: &Fingerprint| {
                let number = truth.log(stream).by_id(*id);
                number.is_some_and(|number| watch.seen().streams[stream as usize].committed[number] > 0)
            };
            let again: Vec<Fingerprint> =
                step.seen.iter().flatten().copied().filter(|id| before(id)).collect();
            if again.is_empty() {
                continue;
            }
            let remembered = self.inner.seen(TENANT, &step.stream, None).await.unwrap();
            let remembered: HashSet<Fingerprint> = remembered.into_iter().collect();
            let known: Vec<_> = again.iter().filter(|id| remembered.contains(id)).collect();
            if let Some(id) = known.first() {
                let number = truth.log(stream).by_id(**id);
                let count = known.len();
                watch.violated(format!("{}: {count} events were new twice, such as {number:?}", step.stream));
            }
        }
    }
}

fn lost(doing: &str) -> StoreError {
    StoreError::Io { doing: doing.to_owned(), cause: Arc::new(io::Error::other("scripted")) }
}

impl Store for Watched {
    async fn claim(&self, tenant: &str, first: &[(String, Cursor)], at: UnixMs) -> Result<Claim, StoreError> {
        let claim = self.inner.claim(tenant, first, at).await?;
        self.world.watch.claimed(claim.epoch, &claim.checkpoints);
        self.world.vaults.begun();
        Ok(claim)
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let world = &self.world;
        if world.happens(world.plan.slow_commits) {
            world.linger(40).await;
        }
        let fate = if world.happens(world.plan.bad_commits) { world.upto(3) } else { 4 };
        if matches!(fate, 0 | 2) {
            world.watch.failing(commit.epoch);
        }
        if fate < 2 {
            world.watch.note("no commit", &fate);
            return if fate == 0 { Err(lost("commit")) } else { pending().await };
        }
        self.decide(commit).await?;
        if world.happens(world.plan.slow_commits) {
            world.linger(40).await;
        }
        match fate {
            2 => Err(lost("hear of a commit")),
            3 => pending().await,
            _ => Ok(()),
        }
    }

    async fn rewind(
        &self,
        tenant: &str,
        stream: &str,
        to: Cursor,
        at: UnixMs,
    ) -> Result<Checkpoint, StoreError> {
        let stored = self.inner.rewind(tenant, stream, to, at).await?;
        self.world.watch.put_back(Stream::named(stream).unwrap(), &stored);
        Ok(stored)
    }

    passed_on! { identity;
        renew release import note_upload seen directory directory_shard listed_vaults listed_items quarantined quarantine_list
        quarantine_entry quarantine_drop quarantine_len active_until checkpoints
    }
}
