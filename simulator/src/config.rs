//! What a simulator is asked to be: how much it holds, how strict it is, what goes wrong.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use jiff::Timestamp;

use crate::Faults;

/// The settings of one simulated 1Password account, its Connect server and its JupiterOne.
///
/// Two simulators with equal settings, `now` included, serve the same bytes to the same requests.
#[derive(Clone, Debug)]
pub struct Config {
    /// Everything generated comes from this number.
    pub seed: u64,
    /// Events that have already arrived when the simulator starts, over the three streams:
    /// 20 % sign-ins, 55 % item usages, 25 % audit events.
    pub events: u64,
    /// How far back the backlog reaches.
    pub history: Duration,
    /// Events that arrive per second from the start on, over the three streams in the same shares.
    pub rate: f64,
    /// The time at the start, from which the simulated clock runs on. `None`: the wall clock.
    pub now: Option<Timestamp>,
    /// How many users the events are about, at least 8.
    pub users: u32,
    /// How many vaults the account has, 1 to 1000. Audit events and item usages name them, and Connect lists them.
    pub vaults: u32,
    /// How many active items each vault holds, below a million; the last one of several vaults is empty.
    /// Item usages name them, and now and then one that was deleted since.
    pub items_per_vault: u32,
    /// Changes of vaults and items per hour from the start on: edits, new ones, removals, moves, renames.
    pub connect_changes_per_hour: f64,
    /// Whether Connect lists archived and deleted items too, each with its `state`. Its OpenAPI file has the member,
    /// but says that no such item is returned.
    pub connect_lists_trashed: bool,
    /// The share of events that cannot be mapped (no uuid, a wrong type), 0.0 to 1.0.
    pub poison: f64,
    /// The two rate limits of the Events API.
    pub limits: Limits,
    /// The most events a page holds, whatever its cursor asks for. 1 to 1000.
    pub page_cap: u16,
    /// Which streams [`Simulator::events_token`](crate::Simulator::events_token) may read.
    pub features: Vec<Stream>,
    /// How long the events token is valid, from the start on. `None`: for ever.
    pub token_lifetime: Option<Duration>,
    /// How long JupiterOne takes between `finalize` and `FINISHED`.
    pub finalize: Finalize,
    /// The most bytes of an upload body, after gunzip, before it gets 413.
    pub body_limit: usize,
    /// Whether `finalize` spares the types in `partialDatasets`. `false` is the JupiterOne one hopes
    /// not to meet: it deletes them too. For tests of a client's delete guard.
    pub honour_partial_datasets: bool,
    /// What goes wrong, and how often.
    pub faults: Faults,
    /// Where to listen. Loopback only.
    pub listen: SocketAddr,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            seed: 1,
            events: 10_000,
            history: Duration::from_secs(30 * 24 * 3600),
            rate: 0.0,
            now: None,
            users: 400,
            vaults: 60,
            items_per_vault: 32,
            connect_changes_per_hour: 0.0,
            connect_lists_trashed: false,
            poison: 0.0,
            limits: Limits::default(),
            page_cap: 1000,
            features: Stream::ALL.to_vec(),
            token_lifetime: None,
            finalize: Finalize::default(),
            body_limit: 6_000_000,
            honour_partial_datasets: true,
            faults: Faults::none(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        }
    }
}

/// Requests the Events API takes from one account, each in any sliding window of its length.
///
/// Source: 1Password docs, rate limits: 600 a minute and 30,000 an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in any 60 seconds.
    pub per_minute: u32,
    /// Requests in any 3,600 seconds.
    pub per_hour: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { per_minute: 600, per_hour: 30_000 }
    }
}

/// What moves a finalized job from `FINALIZE_PENDING` to `FINISHED`.
///
/// Finalizing is asynchronous in the cloud and answers `FINALIZE_PENDING` (JupiterOne docs, 2023).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalize {
    /// Time on tokio's clock: a third of it in each of the three states. Zero: at the first look.
    After(Duration),
    /// `GET`s of the job: this many for each step to the next state, at least one.
    Polls(u32),
}

impl Default for Finalize {
    fn default() -> Finalize {
        Finalize::After(Duration::from_millis(60))
    }
}

/// One kind of 1Password event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// `POST /api/v2/signinattempts`
    SigninAttempts,
    /// `POST /api/v2/itemusages`
    ItemUsages,
    /// `POST /api/v2/auditevents`
    AuditEvents,
}

impl Stream {
    /// The three streams, in the order of their numbers.
    pub const ALL: [Stream; 3] = [Stream::SigninAttempts, Stream::ItemUsages, Stream::AuditEvents];

    /// Returns the name that paths and token features use.
    pub fn name(self) -> &'static str {
        match self {
            Stream::SigninAttempts => "signinattempts",
            Stream::ItemUsages => "itemusages",
            Stream::AuditEvents => "auditevents",
        }
    }

    /// Returns the number that arrays indexed by stream use: 0, 1 or 2.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// Returns this stream's share of all events, in hundredths.
    pub(crate) fn percent(self) -> u64 {
        match self {
            Stream::SigninAttempts => 20,
            Stream::ItemUsages => 55,
            Stream::AuditEvents => 25,
        }
    }
}
