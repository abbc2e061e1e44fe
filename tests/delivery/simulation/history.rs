//! One history: runs that are killed, closed, forgotten or fail, until the faults stop.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use opgraph::{
    graph::{RecordType, Sharing, records::STUB},
    pipeline::{
        self, Drained, Run, Stopped,
        snapshot::{Settings, Snapshots},
    },
    sink::{
        Sink, UploadLimits,
        both::Both,
        memory::{Held, Kept, MemorySink},
    },
    source::Pace,
    stream::{Mapping, Stream},
    telemetry::Meter,
};
use opgraph_state::{Claim, Cursor, Entry, Epoch, MemoryStore, Refused, Store, StoreError, UnixMs};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    sink::{Scripted, number},
    source::Api,
    store::{TENANT, Watched},
    vaults::Listed,
    watch::Counted,
    world::World,
};
use crate::support::key;

/// How a history went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// The same for two histories in which the same happened.
    pub(super) trace: u64,
    /// Runs that were started.
    pub(super) runs: u64,
    pub(super) counted: Counted,
}

/// When everything must be committed once the faults have stopped.
const SETTLED_WITHIN: Duration = Duration::from_secs(600);

/// One run that is going on.
struct Life {
    epoch: Epoch,
    task: JoinHandle<Ended>,
    closing: CancellationToken,
    over: bool,
}

type Ended = Result<Drained, Stopped>;

/// A history on its way.
struct History {
    world: Arc<World>,
    store: Watched,
    sinks: [MemorySink; 2],
    zombies: Vec<Life>,
    runs: u64,
}

/// Lives through the history of a seed.
///
/// # Errors
///
/// The first thing that was not as it must be.
pub(super) async fn history(seed: u64) -> Result<Told, String> {
    let world = World::new(seed);
    let limits = UploadLimits { age: Duration::MAX, events: 0, bytes: 0, finishing: 0 };
    let mut history = History {
        store: Watched { world: world.clone(), inner: MemoryStore::default() },
        sinks: [MemorySink::new(limits), MemorySink::new(limits)],
        zombies: Vec::new(),
        runs: 0,
        world,
    };
    for _ in 0..history.world.plan.rounds {
        history.round().await;
        history.judge()?;
    }
    history.settle().await;
    history.judge()?;
    history.exact().await?;
    let watch = &history.world.watch;
    Ok(Told { trace: watch.trace(), runs: history.runs, counted: watch.seen().counted })
}

impl History {
    fn judge(&self) -> Result<(), String> {
        match &self.world.watch.seen().violation {
            Some(violation) => Err(format!("{violation}\n{:#?}", self.world.plan)),
            None => Ok(()),
        }
    }

    /// One run under faults, from its claim to whatever end it takes.
    async fn round(&mut self) {
        let world = self.world.clone();
        let percent = |of: u32| of * 10;
        if world.happens(percent(world.plan.rewinds)) {
            self.put_back().await;
        }
        if world.happens(30) {
            world.expire();
        }
        let pace = if world.upto(3) == 0 { Pace::Every(Duration::from_millis(400)) } else { Pace::Once };
        let mut life = self.start(pace).await;
        if world.happens(percent(world.plan.leaps)) {
            world.linger(200).await;
            world.leap();
        }
        match world.upto(9) {
            // Killed, whatever it is doing.
            0..=5 => {
                world.linger(600).await;
                self.kill(life).await;
            }
            // Told to close, with some time to drain.
            6..=7 => {
                world.linger(400).await;
                life.closing.cancel();
                self.end_within(&mut life, Duration::from_secs(20)).await;
                self.kill(life).await;
            }
            // Left to itself until it ends or fails.
            _ => {
                self.end_within(&mut life, Duration::from_secs(20)).await;
                self.kill(life).await;
            }
        }
        if world.happens(percent(world.plan.pauses)) {
            world.linger(30 * 3_600_000).await;
        } else {
            world.linger(100).await;
        }
    }

    /// Starts a run, as the supervisor does.
    async fn start(&mut self, pace: Pace) -> Life {
        self.runs += 1;
        let clock = self.world.clock();
        let now = clock.now();
        let first = now.minus(self.world.plan.start);
        let starts: Vec<_> =
            Stream::ALL.iter().map(|stream| (stream.name().to_owned(), Cursor::Since(first))).collect();
        let claim = self.store.claim(TENANT, &starts, now).await.unwrap();
        let epoch = claim.epoch;
        let closing = CancellationToken::new();
        let sink = |number: usize| {
            let (world, inner) = (self.world.clone(), self.sinks[number].clone());
            Scripted { world, epoch, number, inner }
        };
        let task = match self.world.plan.two_sinks {
            true => self.go(claim, first, pace, closing.clone(), Both::new(sink(0), sink(1))),
            false => self.go(claim, first, pace, closing.clone(), sink(0)),
        };
        Life { epoch, task, closing, over: false }
    }

    fn go<K: Sink>(
        &self,
        claim: Claim,
        first: UnixMs,
        pace: Pace,
        closing: CancellationToken,
        sink: K,
    ) -> JoinHandle<Ended> {
        let of = |stream: &Stream| (*stream, claim.checkpoints[stream.name()].clone());
        // With pace `Once` the interval is not asked for.
        let interval = if let Pace::Every(often) = pace { often } else { Duration::ZERO };
        let settings = Settings { interval, details: self.world.plan.details, at_once: 2 };
        let lister = Listed { world: self.world.clone(), epoch: claim.epoch };
        let snapshots = self.world.plan.connect.then_some(Snapshots { lister, settings });
        let run = Run {
            tenant: TENANT.into(),
            epoch: claim.epoch,
            source: Arc::new(Api { world: self.world.clone(), epoch: claim.epoch }),
            snapshots,
            sink: Arc::new(sink),
            store: self.store.clone(),
            streams: Stream::ALL.iter().map(of).collect(),
            first,
            pace,
            mapping: Mapping { raw_data: true, account_name: None },
            limits: self.world.plan.limits,
            room: None,
            clock: self.world.clock(),
            meter: Arc::new(Meter::default()),
            closing,
        };
        tokio::spawn(pipeline::run(run))
    }

    /// Kills a run, or forgets it: then it goes on beside the next one.
    async fn kill(&mut self, mut life: Life) {
        if life.over {
            return;
        }
        if self.world.happens(self.world.plan.zombies * 10) {
            self.zombies.push(life);
            return;
        }
        life.task.abort();
        self.end_within(&mut life, Duration::MAX).await;
    }

    /// Waits for a run to end, and judges how it did.
    async fn end_within(&self, life: &mut Life, time: Duration) {
        let Ok(ended) = timeout(time, &mut life.task).await else { return };
        life.over = true;
        let watch = &self.world.watch;
        watch.note("end", &life.epoch.0);
        let newest = watch.is_newest(life.epoch);
        match ended {
            Err(error) if error.is_cancelled() => (),
            // What was scripted.
            Ok(Err(Stopped::Sink(_) | Stopped::Store(StoreError::Io { .. }))) => (),
            Ok(Err(Stopped::Store(StoreError::Refused(Refused::Fenced { .. })))) if !newest => (),
            Ok(Ok(_)) if newest => watch.drained(life.epoch),
            Ok(Ok(_)) => (),
            ended => watch.violated(format!("run {} ended wrongly: {ended:?}", life.epoch.0)),
        }
    }

    /// A person puts one stream back: far enough for everything that is late.
    async fn put_back(&self) {
        let world = &self.world;
        let stream = Stream::ALL[world.upto(2) as usize];
        let watched = world.watch.newest_event(stream);
        let Some(newest) = watched else { return };
        let to = newest.minus(Duration::from_millis((48 + world.upto(60)) * 3_600_000));
        let now = world.clock().now();
        self.store.rewind(TENANT, stream.name(), Cursor::Since(to), now).await.unwrap();
    }

    /// The faults stop, and the streams catch up.
    async fn settle(&mut self) {
        let world = self.world.clone();
        world.calm();
        let arriving = world.truth.complete().since(world.now());
        let once = world.upto(1) == 0;
        if once {
            sleep(arriving).await;
        }
        let often = (arriving / 10).max(SETTLED_WITHIN / 10);
        let pace = if once { Pace::Once } else { Pace::Every(often) };
        let mut life = self.start(pace).await;
        if !once {
            sleep(arriving + often + SETTLED_WITHIN).await;
            life.closing.cancel();
        }
        self.end_within(&mut life, SETTLED_WITHIN).await;
        if !life.over {
            world
                .watch
                .violated(format!("nothing is wrong any more, and it has not ended in {SETTLED_WITHIN:?}"));
        }
        if once {
            // A vault that was missing for the first time is gone with the second list.
            let mut life = self.start(pace).await;
            self.end_within(&mut life, SETTLED_WITHIN).await;
        }
        for mut zombie in std::mem::take(&mut self.zombies) {
            zombie.task.abort();
            self.end_within(&mut zombie, Duration::MAX).await;
        }
    }

    /// The sinks hold each key once, shared records in their newest version; the
    /// quarantine holds each event that makes no sense once; nothing is missing.
    async fn exact(&self) -> Result<(), String> {
        let World { truth, watch, plan, .. } = &*self.world;
        let missing = watch.missing(truth);
        if missing > 0 {
            return Err(format!("{missing} events are missing at the end\n{plan:#?}"));
        }
        let set_aside = self.store.quarantined(TENANT, usize::MAX).await.unwrap();
        let bodies: HashSet<_> = set_aside.iter().map(|entry| (&entry.stream, &entry.body)).collect();
        if bodies.len() != set_aside.len() {
            return Err("the quarantine holds an event twice".to_owned());
        }
        let sinks = if plan.two_sinks { 2 } else { 1 };
        for sink in &self.sinks[..sinks] {
            self.holds(&sink.held())?;
            if plan.connect {
                self.holds_vaults(&sink.held().records, true)?;
            }
        }
        if plan.connect { self.inventory().await } else { Ok(()) }
    }

    /// A sink or the directory holds the vaults and items that there are, stubs
    /// of vaults that events name, and no others. A sink may hold or lack what
    /// only a run knew of that ended before its commit, or was not the newest.
    fn holds_vaults(&self, held: &BTreeMap<String, Kept>, is_sink: bool) -> Result<(), String> {
        use opgraph::graph::{EntityType::*, RecordType::*, RelationshipType::*};
        let World { vaults, plan, watch, .. } = &*self.world;
        let seen = watch.seen();
        let named = held.iter().filter(|(_, kept)| kept.of == Relationship(ActorPerformedVault));
        let named: HashSet<&str> = named.filter_map(|(key, _)| key.rsplit('|').next()).collect();
        let mut truth = vaults.truth(plan.details);
        let ours = [Entity(Vault), Entity(Secret), Relationship(VaultHasSecret)];
        for (key, kept) in held.iter().filter(|(_, kept)| ours.contains(&kept.of)) {
            let expected = truth.remove(key);
            let is_right = match &expected {
                Some(json) => *json == kept.json,
                None => named.contains(key.as_str()) && kept.version.rank == STUB,
            };
            let is_unknown = is_sink && seen.unknown.contains(&(key.clone(), kept.json.clone()));
            if !is_right && !is_unknown {
                let json = &kept.json;
                return Err(format!("in the end {json} is held, not {expected:?}\n{plan:#?}"));
            }
        }
        match truth.into_keys().find(|key| !(is_sink && seen.undone.contains(key))) {
            Some(key) => Err(format!("in the end {key} is not held\n{plan:#?}")),
            None => Ok(()),
        }
    }

    /// The inventory, and the directory, are as the vaults are.
    async fn inventory(&self) -> Result<(), String> {
        let World { vaults, plan, .. } = &*self.world;
        let mut listed = BTreeMap::new();
        for vault in self.store.listed_vaults(TENANT).await.unwrap() {
            let items = self.store.listed_items(TENANT, &vault.id).await.unwrap();
            listed.insert(vault.id, items.into_iter().map(|item| (item.id, item.version)).collect());
        }
        if listed != vaults.inventory() {
            return Err(format!(
                "the inventory is {listed:?}, there are {:?}\n{plan:#?}",
                vaults.inventory()
            ));
        }
        let mut directory = BTreeMap::new();
        for shard in 0..=u8::MAX {
            for Entry { key, version, record } in self.store.directory_shard(TENANT, shard).await.unwrap() {
                let (of, _) = RecordType::of_key(&key).unwrap();
                directory.insert(key, Kept { of, version, json: record });
            }
        }
        self.holds_vaults(&directory, false)
    }

    fn holds(&self, held: &Held) -> Result<(), String> {
        let World { truth, .. } = &*self.world;
        for (name, kept) in held.records.iter().filter(|(_, kept)| kept.of.sharing() == Sharing::Event) {
            let known = Stream::ALL.iter().any(|stream| {
                let n = number(name);
                truth.log(*stream).events.get(n).is_some_and(|event| !event.poison)
                    && name.ends_with(&key(*stream, n))
            });
            if !known {
                return Err(format!("{name} is in the graph, and never happened: {}", kept.json));
            }
        }
        let there = |stream: Stream, number: usize| held.records.contains_key(&key(stream, number));
        for (person, name) in truth.people(there) {
            let kept = held.records.get(&person).map(|kept| kept.json.as_str()).unwrap_or_default();
            if !kept.contains(&format!("\"{name}\"")) {
                return Err(format!("{person} is not called {name}: {kept}"));
            }
        }
        Ok(())
    }
}
