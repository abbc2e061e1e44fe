//! Delivers quarantined entries again, through the same stages as any page.
//!
//! ```text
//!  entries ─┬─ events ──► dedup ──► map ──┬─► upload ──► commit
//!           └─ records ───────────────────┘   Ack        entries released
//! ```
//!
//! Entries travel in pages whose steps stay where their streams stand. An entry
//! leaves the quarantine in the commit of the ack that covers it, so wherever
//! this ends it is in quarantine or delivered, or both: its keys are the same
//! the next time. Its uuid is remembered as seen with that commit, so the event
//! is not delivered anew when a rewind reads it again.

use std::{collections::BTreeMap, sync::Arc};

use opgraph_state::{Checkpoint, Epoch, QuarantineId, Quarantined, Refused, Store, StoreError};
use tokio::{
    sync::{
        mpsc::{Sender, channel},
        watch,
    },
    task::JoinSet,
};
use tracing::Instrument;

use super::{Limits, Room, Stopped, commit, commit::Commits, dedup, map, upload};
use crate::{
    clock::Clock,
    graph::{Records, Written},
    page::{Mapped, Page, Place},
    sink::Sink,
    stream::{Events, Mapping, Stream, read_events},
    telemetry::Meter,
};

/// Entries a page: few enough that a page of the longest is no burden.
const ENTRIES: usize = 200;

/// Everything a retry works with.
#[derive(Debug)]
pub struct Retry<K, T> {
    /// The tenant.
    pub tenant: Arc<str>,
    /// The number of this run.
    pub epoch: Epoch,
    /// Where records go.
    pub sink: Arc<K>,
    /// What survives a crash.
    pub store: T,
    /// Where each stream of the tenant stands.
    pub streams: BTreeMap<Stream, Checkpoint>,
    /// What to deliver; each is named once.
    pub entries: Vec<QuarantineId>,
    /// How events are mapped.
    pub mapping: Mapping,
    /// How much may be in flight.
    pub limits: Limits,
    /// The wall clock.
    pub clock: Clock,
    /// The tenant's counters.
    pub meter: Arc<Meter>,
}

/// Delivers the entries. One that fails again stays, with its newest reason.
///
/// # Errors
///
/// On failure every stage is dropped with all it held. What was not committed
/// is still in quarantine.
pub async fn run<K: Sink, T: Store + Clone>(retry: Retry<K, T>) -> Result<(), Stopped> {
    let Retry { tenant, epoch, sink, store, streams, entries, limits, clock, meter, mapping } = retry;
    let stands: Vec<_> = streams.iter().map(|(stream, at)| (*stream, at.clone())).collect();
    let seen = dedup::Memory::load(&store, &tenant, &stands, limits.recent).await?;

    let (events_out, events) = channel(limits.pages);
    let (fresh_out, fresh) = channel(limits.pages);
    let (mapped_out, mapped) = channel(limits.pages);
    let (acks_out, acks) = channel(limits.pages);
    let (count, committed) = watch::channel(0);

    let Room { shared, emptied, .. } = Room::alone(limits.bytes);
    let reader = Reader { store: store.clone(), tenant: tenant.clone(), streams };
    let mut stages = JoinSet::new();
    stages.spawn(reader.run(entries, events_out, mapped_out.clone()).in_current_span());
    stages.spawn(
        dedup::run(events, seen, store.clone(), tenant.clone(), meter.clone(), fresh_out).in_current_span(),
    );
    stages.spawn(map::run(fresh, mapping, meter.clone(), emptied.clone(), mapped_out).in_current_span());
    let (name, counts) = (tenant.clone(), meter.clone());
    stages.spawn(
        upload::run(mapped, sink, name, acks_out, committed, (shared, emptied), counts).in_current_span(),
    );
    let ceiling = limits.quarantine;
    let commits = Commits { store, tenant, epoch, ceiling, clock, meter, committed: count };
    stages.spawn(commit::run(acks, commits).in_current_span());
    while let Some(ended) = stages.join_next().await {
        ended.map_err(Stopped::Panic)??;
    }
    Ok(())
}

/// Reads entries from the quarantine and makes pages of them.
struct Reader<T> {
    store: T,
    tenant: Arc<str>,
    streams: BTreeMap<Stream, Checkpoint>,
}

impl<T: Store> Reader<T> {
    async fn run(
        self,
        mut entries: Vec<QuarantineId>,
        events_out: Sender<Page<Events>>,
        records_out: Sender<Mapped>,
    ) -> Result<(), Stopped> {
        entries.sort();
        for ids in entries.chunk_by(|one, next| one.stream == next.stream).flat_map(|of| of.chunks(ENTRIES)) {
            let (events, records) = self.read(ids).await?;
            if !events.is_empty()
                && let Some(page) = self.events(events)
                && events_out.send(page).await.is_err()
            {
                break;
            }
            if !records.is_empty()
                && let Some(page) = self.records(&records).await?
                && records_out.send(Mapped::Page(page)).await.is_err()
            {
                break;
            }
        }
        Ok(())
    }

    /// Reads entries; tells events from records.
    async fn read(&self, ids: &[QuarantineId]) -> Result<(Vec<Quarantined>, Vec<Quarantined>), StoreError> {
        let (mut events, mut records) = (Vec::new(), Vec::new());
        for id in ids {
            let entry = self.store.quarantine_entry(&self.tenant, id).await?;
            let gone = || Refused::NotInQuarantine { id: id.clone() };
            let entry = entry.ok_or_else(gone)?;
            let of = if Written::read(&entry.body).is_some() { &mut records } else { &mut events };
            of.push(entry);
        }
        Ok((events, records))
    }

    /// The place of a page with these entries. Shared records are of no one
    /// stream and go with the first.
    fn place(&self, entries: &[Quarantined]) -> Option<Place> {
        let named = entries.first().and_then(|entry| Stream::named(&entry.stream));
        let of_it = named.and_then(|stream| self.streams.get_key_value(&stream));
        let (stream, at) = of_it.or_else(|| self.streams.first_key_value())?;
        Some(Place::staying(*stream, at, entries.iter().map(Quarantined::id).collect()))
    }

    /// Decodes events of one stream, as the present program reads them.
    fn events(&self, entries: Vec<Quarantined>) -> Option<Page<Events>> {
        let place = self.place(&entries)?;
        let Some(stream) = entries.first().and_then(|entry| Stream::named(&entry.stream)) else {
            let still = entries.into_iter().map(|entry| {
                let reason = format!("this opgraph knows no stream `{}`", entry.stream);
                Quarantined { reason, ..entry }
            });
            let none = Events::none(Stream::AuditEvents);
            return Some(Page::new(none, place.with_quarantined(still.collect()), None));
        };
        let (mut sound, mut still) = (Vec::new(), Vec::new());
        for entry in entries {
            match unreadable(stream, &entry.body) {
                None => sound.push(entry),
                Some(reason) => still.push(Quarantined { reason, ..entry }),
            }
        }
        let events = match read_events(stream, sound.iter().map(|entry| entry.body.as_str())) {
            Ok((events, _)) => events,
            // Each of them can be read; should all together not be, all stay.
            Err(malformed) => {
                let stays = |entry| Quarantined { reason: malformed.to_string(), ..entry };
                still.extend(sound.into_iter().map(stays));
                Events::none(stream)
            }
        };
        Some(Page::new(events, place.with_quarantined(still), None))
    }

    /// Takes records as they were written; shared ones in the newest version that is known.
    async fn records(&self, entries: &[Quarantined]) -> Result<Option<Page<Records>>, StoreError> {
        let Some(place) = self.place(entries) else { return Ok(None) };
        let mut records = Records::default();
        for entry in entries {
            let Some(written) = Written::read(&entry.body) else { continue };
            if let Some(version) = written.version() {
                records.take(&written, &entry.body, version);
                continue;
            }
            let stored = self.store.directory(&self.tenant, vec![written.key.to_string()]).await?;
            let newest = stored.first().and_then(Option::as_ref);
            // It was in the directory since the commit that set it aside. If it is not any more,
            // what it tells of was removed, and must not come back.
            if let Some((newest, written)) = newest.and_then(|it| Some((it, Written::read(&it.record)?))) {
                records.take(&written, &newest.record, newest.version);
            }
        }
        Ok(Some(Page::new(records, place, None)))
    }
}

/// Why an entry is not one event that can be mapped; `None` if it is.
fn unreadable(stream: Stream, text: &str) -> Option<String> {
    match read_events(stream, [text]) {
        Ok((events, _)) if events.len() == 1 => None,
        Ok((_, rejected)) => {
            let first = rejected.into_iter().next().map(|rejected| rejected.reason);
            Some(first.unwrap_or_else(|| "it is not one event".to_owned()))
        }
        Err(malformed) => Some(malformed.to_string()),
    }
}
