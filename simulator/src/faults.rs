//! What goes wrong: scripted at a given request, or seeded at a given rate.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{Endpoint, Fault, mix::mix};

/// A fault at a chosen request. In JSON, the body of `POST /script`:
/// `{"endpoint":"finalize","nth":2,"fault":{"kind":"lost_answer"},"times":1}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Which call.
    pub endpoint: Endpoint,
    /// The how-manieth request of that endpoint, counted from 1 from now on. Default 1: the next one.
    #[serde(default = "one")]
    pub nth: u64,
    /// What goes wrong.
    pub fault: Fault,
    /// For how many requests, one after the other. Default 1.
    #[serde(default = "one")]
    pub times: u64,
}

fn one() -> u64 {
    1
}

impl Script {
    /// Returns a script for the next request of `endpoint`.
    pub fn next(endpoint: Endpoint, fault: Fault) -> Script {
        Script { endpoint, nth: 1, fault, times: 1 }
    }

    /// Returns a script for the `nth` request of `endpoint` from now on, counted from 1.
    pub fn nth(endpoint: Endpoint, nth: u64, fault: Fault) -> Script {
        Script { endpoint, nth, fault, times: 1 }
    }

    /// Returns the same script for `times` requests, one after the other.
    pub fn times(self, times: u64) -> Script {
        Script { times, ..self }
    }
}

/// What goes wrong by chance: seeded, the same for the n-th request of an endpoint in every run.
///
/// Every kind here is one a client can recover from, so a run with them can still end exact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Milliseconds before every answer of the Events API.
    pub events_latency_ms: u64,
    /// Milliseconds before every answer of JupiterOne.
    pub jupiterone_latency_ms: u64,
    /// Milliseconds before every answer of Connect.
    pub connect_latency_ms: u64,
    /// Faults of the Events API.
    pub events: Rates,
    /// Faults of JupiterOne.
    pub jupiterone: Rates,
    /// Faults of Connect.
    pub connect: Rates,
    /// Whether Connect's very first request gets 401 `invalid bearer token`, as before 1.7.2.
    pub connect_first_unauthorized: bool,
    /// Requests to Connect that get 500 `failed to initiate, …` before it has synced for the first time.
    pub connect_unsynced: u32,
    /// Most milliseconds of a slow answer.
    pub slow_ms: u64,
    /// Cursors refused by chance, at most this many for each stream in a run.
    pub refused_cursors: u32,
}

/// Chances in a thousand requests. One request has at most one fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Slow answers.
    pub slow: u16,
    /// 429, with and without `Retry-After: 1`.
    pub too_many: u16,
    /// 500, 502 and 503.
    pub server_error: u16,
    /// Connections dropped before the request has any effect.
    pub reset: u16,
    /// Connections dropped after the request took effect.
    pub lost_answer: u16,
    /// Answers cut in half.
    pub truncated: u16,
    /// Answers that are not JSON.
    pub malformed: u16,
    /// Cursors refused with 400 (pages only).
    pub refused_cursor: u16,
    /// False 403s (Connect only, as all that follow).
    pub forbidden: u16,
    /// 500 `database is locked`.
    pub locked: u16,
    /// Answers cut in half by RST.
    pub reset_within: u16,
    /// Empty lists, whatever there is.
    pub empty_list: u16,
    /// Answers with an old version in their header, or with none.
    pub other_version: u16,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults::none()
    }
}

impl Faults {
    /// Returns the faults that a command line names: `none` or `rough`.
    pub fn named(name: &str) -> Option<Faults> {
        match name {
            "none" => Some(Faults::none()),
            "rough" => Some(Faults::rough()),
            _ => None,
        }
    }

    /// Returns a world in which nothing goes wrong.
    pub fn none() -> Faults {
        Faults {
            events_latency_ms: 0,
            jupiterone_latency_ms: 0,
            connect_latency_ms: 0,
            events: Rates::default(),
            jupiterone: Rates::default(),
            connect: Rates::default(),
            connect_first_unauthorized: false,
            connect_unsynced: 0,
            slow_ms: 0,
            refused_cursors: 0,
        }
    }

    /// Returns a world in which a few percent of everything recoverable goes wrong.
    pub fn rough() -> Faults {
        let rates = Rates {
            slow: 20,
            too_many: 4,
            server_error: 15,
            reset: 10,
            lost_answer: 10,
            truncated: 10,
            malformed: 5,
            ..Rates::default()
        };
        Faults {
            events: Rates { refused_cursor: 4, ..rates },
            jupiterone: rates,
            // Nobody has published a rate limit of Connect.
            connect: Rates {
                too_many: 0,
                forbidden: 10,
                locked: 5,
                reset_within: 5,
                empty_list: 5,
                other_version: 5,
                ..rates
            },
            slow_ms: 50,
            refused_cursors: 2,
            ..Faults::none()
        }
    }
}

/// Decides what goes wrong with each request, and counts requests and faults.
#[derive(Debug)]
pub(crate) struct Plan {
    seed: u64,
    faults: Faults,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    requests: BTreeMap<Endpoint, u64>,
    injected: BTreeMap<&'static str, u64>,
    scripts: Vec<Pending>,
    refused_cursors: HashMap<Endpoint, u32>,
}

#[derive(Debug)]
struct Pending {
    endpoint: Endpoint,
    from: u64,
    left: u64,
    fault: Fault,
}

impl Plan {
    pub(crate) fn new(seed: u64, faults: Faults) -> Plan {
        Plan { seed: mix(seed ^ 0x6661_756c_7473), faults, inner: Mutex::default() }
    }

    /// Queues a scripted fault.
    pub(crate) fn script(&self, script: Script) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let so_far = inner.requests.get(&script.endpoint).copied().unwrap_or(0);
        inner.scripts.push(Pending {
            endpoint: script.endpoint,
            from: so_far + script.nth.max(1),
            left: script.times,
            fault: script.fault,
        });
    }

    /// Forgets every scripted fault that is still to come.
    pub(crate) fn calm(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).scripts.clear();
    }

    /// Counts a request and returns its fault. Scripts go before chance.
    pub(crate) fn next(&self, endpoint: Endpoint, has_cursor: bool) -> Option<Fault> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let n = inner.requests.entry(endpoint).or_default();
        *n += 1;
        let n = *n;
        let due = inner.scripts.iter().position(|pending| {
            pending.endpoint == endpoint
                && pending.from <= n
                && (has_cursor || pending.fault != Fault::RefusedCursor)
        });
        let fault = match due {
            Some(at) => {
                let pending = &mut inner.scripts[at];
                pending.left = pending.left.saturating_sub(1);
                let fault = pending.fault.clone();
                if pending.left == 0 {
                    inner.scripts.remove(at);
                }
                Some(fault)
            }
            None => self
                .at_start(&inner, endpoint)
                .or_else(|| self.by_chance(endpoint, n, has_cursor))
                .filter(|fault| {
                    *fault != Fault::RefusedCursor || {
                        let refused = inner.refused_cursors.entry(endpoint).or_default();
                        *refused += 1;
                        *refused <= self.faults.refused_cursors
                    }
                }),
        };
        if let Some(fault) = &fault {
            *inner.injected.entry(fault.name()).or_default() += 1;
        }
        fault
    }

    /// Returns how long every answer of the endpoint's API takes at least.
    pub(crate) fn latency(&self, endpoint: Endpoint) -> Duration {
        Duration::from_millis(match endpoint {
            _ if endpoint.is_events_api() => self.faults.events_latency_ms,
            _ if endpoint.is_connect() => self.faults.connect_latency_ms,
            _ => self.faults.jupiterone_latency_ms,
        })
    }

    /// Returns requests by endpoint and faults by name.
    pub(crate) fn counts(&self) -> (BTreeMap<Endpoint, u64>, BTreeMap<String, u64>) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let injected = inner.injected.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        (inner.requests.clone(), injected)
    }

    /// Returns what goes wrong with the first requests to a Connect server that has just started.
    fn at_start(&self, inner: &Inner, endpoint: Endpoint) -> Option<Fault> {
        if !endpoint.is_connect() {
            return None;
        }
        let so_far: u64 = inner.requests.iter().filter(|(of, _)| of.is_connect()).map(|(_, n)| n).sum();
        let refused = u64::from(self.faults.connect_first_unauthorized);
        let code = match so_far {
            n if n <= refused => 401,
            n if n <= refused + u64::from(self.faults.connect_unsynced) => 500,
            _ => return None,
        };
        Some(Fault::Status { code, retry_after: None })
    }

    /// Rolls a seeded die for the n-th request of an endpoint.
    fn by_chance(&self, endpoint: Endpoint, n: u64, has_cursor: bool) -> Option<Fault> {
        let rates = match endpoint {
            _ if endpoint.is_events_api() => &self.faults.events,
            _ if endpoint.is_connect() => &self.faults.connect,
            _ => &self.faults.jupiterone,
        };
        let die = mix(self.seed ^ mix(n) ^ ((endpoint as u64) << 56));
        let second = mix(die);
        let mut at = (die % 1000) as u16;
        let mut falls_in = |width: u16| match at.checked_sub(width) {
            None => true,
            Some(rest) => {
                at = rest;
                false
            }
        };
        if falls_in(rates.slow) {
            return Some(Fault::Slow { ms: second % (self.faults.slow_ms + 1) });
        }
        if falls_in(rates.too_many) {
            return Some(Fault::Status { code: 429, retry_after: (second & 1 == 0).then_some(1) });
        }
        if falls_in(rates.server_error) {
            return Some(Fault::Status { code: [500, 502, 503][(second % 3) as usize], retry_after: None });
        }
        if falls_in(rates.reset) {
            return Some(Fault::Reset);
        }
        if falls_in(rates.lost_answer) {
            return Some(Fault::LostAnswer);
        }
        if falls_in(rates.truncated) {
            return Some(Fault::Truncated);
        }
        if falls_in(rates.malformed) {
            return Some(Fault::Malformed);
        }
        if falls_in(rates.refused_cursor) && has_cursor {
            return Some(Fault::RefusedCursor);
        }
        if falls_in(rates.forbidden) {
            return Some(Fault::Status { code: 403, retry_after: None });
        }
        if falls_in(rates.locked) {
            return Some(Fault::Locked);
        }
        if falls_in(rates.reset_within) {
            return Some(Fault::ResetWithin);
        }
        if falls_in(rates.empty_list) {
            return Some(Fault::EmptyList);
        }
        if falls_in(rates.other_version) {
            let version = (second & 1 == 0).then(|| "1.5.0".to_owned());
            return Some(Fault::ConnectVersion { version });
        }
        None
    }
}
