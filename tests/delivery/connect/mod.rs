//! What snapshots of vaults and items promise, against a scripted lister.

mod fake;

mod requests;

mod moved;

mod removal;

mod kills;

mod failing;

mod bounds;

use std::{collections::BTreeMap, sync::Arc};

use opgraph::{
    graph::{EntityType, RecordType, Records, RelationshipType},
    pipeline::{
        self, Drained, Limits, Run, Stopped,
        snapshot::{Settings, Snapshots},
    },
    sink::memory::MemorySink,
    source::connect::records,
    telemetry::Meter,
};
use opgraph_state::{MemoryStore, Store};

use self::fake::Fake;
use crate::support::{self, Scripted, Trouble};

/// A tenant with a scripted Connect and no events.
struct Place {
    tenant: &'static str,
    fake: Fake,
    store: MemoryStore,
    sink: MemorySink,
    details: bool,
    events: usize,
    limits: Limits,
}

impl Place {
    fn new() -> Place {
        Place {
            tenant: "acme",
            fake: Fake::default(),
            store: MemoryStore::default(),
            sink: MemorySink::default(),
            details: true,
            events: 0,
            limits: Limits::default(),
        }
    }

    async fn run(&self) -> Run<Scripted, MemorySink, MemoryStore, Fake> {
        let source = Scripted::new(self.events, 10, 7, Trouble::default());
        let claim = support::claim(&self.store, self.tenant).await;
        let sink = Arc::new(self.sink.clone());
        let run = support::run(self.tenant, claim, source, sink, self.store.clone(), self.limits);
        let settings = Settings { details: self.details, ..Settings::default() };
        let snapshots = Some(Snapshots { lister: self.fake.clone(), settings });
        let Run { tenant, epoch, source, sink, store, streams, first, pace, mapping, limits, .. } = run;
        let Run { clock, meter, closing, .. } = run;
        Run {
            snapshots,
            tenant,
            epoch,
            source,
            sink,
            store,
            streams,
            first,
            pace,
            mapping,
            limits,
            room: None,
            clock,
            meter,
            closing,
        }
    }

    /// Makes one snapshot; answers how the run ended and what it counted.
    async fn snapshot(&self) -> (Result<Drained, Stopped>, Arc<Meter>) {
        self.fake.forget_calls();
        let run = self.run().await;
        let meter = run.meter.clone();
        (pipeline::run(run).await, meter)
    }

    /// Makes one snapshot that has to be whole.
    async fn whole(&self) -> Arc<Meter> {
        let (ended, meter) = self.snapshot().await;
        let failed = ended.unwrap().snapshots;
        assert!(failed.is_none(), "{failed:?}");
        assert_eq!(meter.snapshots.done.get(), 1);
        meter
    }

    /// What the sink holds of vaults and items: every record but those of events.
    fn held(&self) -> BTreeMap<String, String> {
        let ours = |of: RecordType| {
            matches!(
                of,
                RecordType::Entity(EntityType::Vault | EntityType::Secret)
                    | RecordType::Relationship(RelationshipType::VaultHasSecret)
            )
        };
        let held = self.sink.held();
        let kept = held.records.iter().filter(|(_, kept)| ours(kept.of));
        kept.map(|(key, kept)| (key.clone(), kept.json.clone())).collect()
    }

    /// What there should be: what Connect has now.
    fn truth(&self) -> BTreeMap<String, String> {
        let mut all = Records::default();
        self.fake.with(|account| {
            for (vault, items) in account.vaults.values() {
                records::vault(&mut all, vault, None);
                for item in items.values().filter(|item| item.is_active()) {
                    let labels = self.details.then(|| fake::labels(&item.id));
                    records::secret(&mut all, vault, item, labels.as_ref(), None);
                }
            }
        });
        all.iter().map(|record| (record.key.to_owned(), record.json.to_owned())).collect()
    }

    /// The sink and the directory hold what Connect has, and nothing else.
    async fn is_exact(&self) {
        let truth = self.truth();
        assert_eq!(self.held(), truth);
        let mut directory = BTreeMap::new();
        for shard in 0..=u8::MAX {
            for entry in self.store.directory_shard(self.tenant, shard).await.unwrap() {
                directory.insert(entry.key, entry.record);
            }
        }
        directory
            .retain(|key, _| truth.contains_key(key) || key.contains("_vault:") || key.contains("_secret:"));
        directory.retain(|key, _| !key.contains("actor_details"));
        assert_eq!(directory, truth);
    }
}
