//! What the JupiterOne sink sends, and what it makes of every answer.

#![allow(clippy::unwrap_used, reason = "what the tests share may fail them too")]

mod fake;

mod faults;

mod notices;

mod lost_state;

mod plan_scope;

mod removal;

mod retries;

mod runs;

mod shapes;

mod wire;

use std::{sync::Arc, time::Duration};

use opgraph::{
    clock::Clock,
    graph::{EntityType, Records, RelationshipType},
    http::{Client, ClientSettings},
    page::{Coverage, Page, Place},
    sink::{
        Ack, Sink, SinkError, Upload, UploadLimits,
        jupiterone::{Home, JupiterOne, JupiterOneSettings, Pauses, Plan},
    },
    stream::Stream,
    telemetry::Meter,
};
use opgraph_state::{Advance, Claim, Cursor, Fingerprint, MemoryStore, SourceInfo, Store, UnixMs, Version};

use fake::Fake;

const TENANT: &str = "acme";
const INSTANCE: &str = "11111111-2222-4333-8444-555555555555";

/// A sink with its destination and its state.
struct Rig {
    fake: Fake,
    store: MemoryStore,
    settings: JupiterOneSettings,
    meter: Arc<Meter>,
    /// How long a request may take.
    timeout: Duration,
}

/// One run of the rig.
struct Run {
    store: MemoryStore,
    claim: Claim,
    sink: Arc<JupiterOne<MemoryStore>>,
}

fn instance() -> Plan {
    Plan::Instance { id: INSTANCE.to_owned(), source: "integration-external".to_owned() }
}

fn scope() -> Plan {
    Plan::Scope { prefix: "1p/acme".to_owned() }
}

impl Rig {
    async fn new(plan: Plan) -> Rig {
        let fake = Fake::start().await;
        let pauses = Pauses { first: Duration::from_millis(2), longest: Duration::from_millis(10) };
        let settings = JupiterOneSettings {
            gzip: false,
            retry: pauses,
            poll: pauses,
            finalize_deadline: Duration::from_millis(500),
            limits: UploadLimits { age: Duration::from_secs(1), events: 1000, bytes: 1 << 20, finishing: 1 },
            ..JupiterOneSettings::new(
                fake.server.uri().parse().unwrap(),
                "an-account".to_owned(),
                "a-token".to_owned().into(),
                plan,
            )
        };
        let (store, meter) = (MemoryStore::default(), Arc::new(Meter::default()));
        Rig { fake, store, settings, meter, timeout: Duration::from_secs(20) }
    }

    fn client(&self) -> Client {
        Client::new(&ClientSettings { timeout: self.timeout, ..ClientSettings::default() }).unwrap()
    }

    /// Starts a run as the supervisor does: claim, then the sink.
    async fn start(&self) -> Result<Run, SinkError> {
        let first: Vec<_> = Stream::ALL.iter().map(|stream| (stream.name().to_owned(), token("0"))).collect();
        let claim = self.store.claim(TENANT, &first, UnixMs(1)).await.unwrap();
        let home = Home {
            store: self.store.clone(),
            tenant: TENANT.into(),
            epoch: claim.epoch,
            clock: Clock::starting_at(UnixMs(1_780_000_000_000)),
        };
        let settings = Arc::new(self.settings.clone());
        let unsettled = claim.unsettled.clone();
        let sink =
            JupiterOne::start(self.client(), settings, home, unsettled, Arc::clone(&self.meter)).await?;
        Ok(Run { store: self.store.clone(), claim, sink: Arc::new(sink) })
    }

    /// One run that uploads one page of one audit event.
    async fn upload_one(&self) -> Result<Ack, SinkError> {
        self.start().await?.upload([audit("0", "1", &["e1"])]).await
    }

    /// What is noted and not settled. (Claims, so it ends the run.)
    async fn unsettled(&self) -> Vec<String> {
        let claim = self.store.claim(TENANT, &[], UnixMs(1)).await.unwrap();
        claim.unsettled.into_iter().map(|note| note.name).collect()
    }
}

impl Run {
    async fn upload(&self, pages: impl IntoIterator<Item = Page<Records>>) -> Result<Ack, SinkError> {
        let mut upload = self.sink.open();
        let mut coverage = Coverage::default();
        for page in pages {
            coverage.add(&page).unwrap();
            upload.write(Arc::new(page)).await?;
        }
        upload.finish(coverage).await
    }

    async fn commit(&self, ack: Ack) {
        let commit = ack.into_commit(TENANT, self.claim.epoch, UnixMs(2));
        self.store.commit(commit).await.unwrap();
    }

    /// Uploads and commits.
    async fn deliver(&self, pages: impl IntoIterator<Item = Page<Records>>) {
        let ack = self.upload(pages).await.unwrap();
        self.commit(ack).await;
    }
}

fn token(text: &str) -> Cursor {
    Cursor::Token(text.to_owned())
}

fn version(at: i64) -> Version {
    Version { rank: 2, at: UnixMs(at) }
}

/// A page of a stream from one cursor to the next, with the events that `fill` adds.
fn page(
    stream: Stream,
    from: &str,
    to: &str,
    ids: &[&str],
    fill: impl Fn(&mut Records, &str),
) -> Page<Records> {
    let mut records = Records::default();
    ids.iter().for_each(|id| fill(&mut records, id));
    let place = Place::new(stream, Advance::new(token(from), token(to)), SourceInfo::default());
    let mut page = Page::new(records, place, None);
    page.remember(ids.iter().map(|id| Fingerprint::of(id)).collect());
    page
}

/// A page of audit events, all by the actor `u1`.
fn audit(from: &str, to: &str, ids: &[&str]) -> Page<Records> {
    page(Stream::AuditEvents, from, to, ids, |records, id| event(records, id, "u1", "Ann", 1, "{}"))
}

/// An audit event with its actor and their relationship.
fn event(records: &mut Records, id: &str, user: &str, name: &str, at: i64, raw: &str) {
    let mut entity = records.entity(EntityType::AuditEvent, id, version(at));
    entity.text("name", Some("create user"));
    entity.raw_data(raw);
    entity.close();
    let mut entity = records.entity(EntityType::ActorDetails, user, version(at));
    entity.text("name", Some(name));
    entity.close();
    records.relationship(RelationshipType::ActorPerformedEvent, user, id, UnixMs(at));
}

/// A page of sign-ins, all by the user `s1`.
fn sign_ins(from: &str, to: &str, ids: &[&str]) -> Page<Records> {
    page(Stream::SignInAttempts, from, to, ids, |records, id| {
        records.entity(EntityType::SignInAttemptEvent, id, version(1)).close();
        records.entity(EntityType::SignInTargetUser, "s1", version(1)).close();
        records.relationship(RelationshipType::TargetUserPerformedSignIn, "s1", id, UnixMs(1));
    })
}
