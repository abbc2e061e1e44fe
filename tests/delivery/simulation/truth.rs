//! What happened: the events of each stream, in the order they reach the API.

use std::{collections::HashMap, fmt::Write, time::Duration};

use opgraph::stream::Stream;
use opgraph_state::{Fingerprint, UnixMs};

use super::plan::Plan;
use crate::support::{START, uuid};

/// The events of all streams.
pub(super) struct Truth {
    logs: Vec<Log>,
}

/// The events of one stream, in the order of arrival.
pub(super) struct Log {
    pub(super) events: Vec<Happened>,
    by_id: HashMap<Fingerprint, usize>,
    by_body: HashMap<String, usize>,
}

/// One event.
pub(super) struct Happened {
    /// When the API has it.
    pub(super) arrives: UnixMs,
    /// When it happened, as it says itself: up to a day and a half before it
    /// arrives, or some hours after, where a person's clock is wrong.
    pub(super) at: UnixMs,
    /// As the API sends it.
    pub(super) body: String,
    /// It cannot be mapped.
    pub(super) poison: bool,
}

/// How many people there are.
const PEOPLE: usize = 5;

impl Truth {
    pub(super) fn of(plan: &Plan, dice: &mut fastrand::Rng) -> Truth {
        let logs = Stream::ALL.iter().map(|stream| Log::of(*stream, plan, dice)).collect();
        Truth { logs }
    }

    pub(super) fn log(&self, stream: Stream) -> &Log {
        &self.logs[stream as usize]
    }

    /// When the last event of all reaches the API.
    pub(super) fn complete(&self) -> UnixMs {
        self.logs.iter().map(|log| log.events.last().unwrap().arrives).max().unwrap()
    }

    /// The shared records the graph ends with: key, and the name it must carry.
    pub(super) fn people(&self, counts: impl Fn(Stream, usize) -> bool) -> Vec<(String, String)> {
        use Stream::{AuditEvents, ItemUsages, SignInAttempts};
        let kinds: [(&str, &[Stream]); 3] = [
            ("one_password_signin_attempt_target_user", &[SignInAttempts, ItemUsages]),
            ("one_password_item_usage_user", &[ItemUsages]),
            ("one_password_audit_event_actor_details", &[AuditEvents]),
        ];
        let mut people = Vec::new();
        for (kind, streams) in kinds {
            for person in 0..PEOPLE {
                let told = streams.iter().flat_map(|stream| {
                    let events = self.log(*stream).events.iter().enumerate();
                    events.map(move |(number, event)| (*stream, number, event))
                });
                let newest = told
                    .filter(|(stream, number, event)| {
                        number % PEOPLE == person && !event.poison && counts(*stream, *number)
                    })
                    .max_by_key(|(_, _, event)| event.at);
                if let Some((stream, number, _)) = newest {
                    people.push((format!("{kind}:USER{person}"), name(stream, number)));
                }
            }
        }
        people
    }
}

impl Log {
    fn of(stream: Stream, plan: &Plan, dice: &mut fastrand::Rng) -> Log {
        let events = dice.usize(plan.events / 2..=plan.events).max(1);
        let mut arrives = START.minus(plan.backlog);
        let mut log = Log { events: Vec::new(), by_id: HashMap::new(), by_body: HashMap::new() };
        for number in 0..events {
            let backlog = number < events * plan.backlog_share / 100;
            let gap = if backlog { plan.gap_before } else { plan.gap_after };
            if !backlog {
                arrives = arrives.max(START);
            }
            arrives = arrives.plus(Duration::from_millis(dice.u64(0..=gap)));
            if backlog {
                arrives = arrives.min(START);
            }
            let at = happened(arrives, stream, number, plan, dice);
            let poison = dice.u32(0..1000) < plan.poison;
            let body = if poison { nonsense(stream, number, at) } else { body(stream, number, at) };
            log.by_id.insert(Fingerprint::of(&uuid(stream, number)), number);
            log.by_body.insert(body.clone(), number);
            log.events.push(Happened { arrives, at, body, poison });
        }
        log
    }

    /// How many events the API has by `now`.
    pub(super) fn arrived(&self, now: UnixMs) -> usize {
        self.events.partition_point(|event| event.arrives <= now)
    }

    pub(super) fn by_id(&self, id: Fingerprint) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn by_body(&self, body: &str) -> Option<usize> {
        self.by_body.get(body).copied()
    }
}

/// When an event says it happened. No two events of a seed say the same.
fn happened(arrives: UnixMs, stream: Stream, number: usize, plan: &Plan, dice: &mut fastrand::Rng) -> UnixMs {
    let hours = |hours: u64| hours * 3_600_000;
    let roll = dice.u32(0..1000);
    let at = if roll < plan.late {
        arrives.minus(Duration::from_millis(dice.u64(0..hours(36))))
    } else if roll < plan.late + plan.ahead {
        arrives.plus(Duration::from_millis(dice.u64(0..hours(6))))
    } else {
        arrives.minus(Duration::from_millis(dice.u64(0..2_000)))
    };
    UnixMs(at.0 - at.0.rem_euclid(1000) + (number * Stream::ALL.len() + stream as usize) as i64 % 1000)
}

fn name(stream: Stream, number: usize) -> String {
    format!("Ann {}{number}", stream.name())
}

fn body(stream: Stream, number: usize, at: UnixMs) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap();
    let (id, name) = (uuid(stream, number), name(stream, number));
    let who = match stream {
        Stream::SignInAttempts => "target_user",
        Stream::ItemUsages => "user",
        Stream::AuditEvents => "actor_details",
    };
    let mut body = format!(
        r#"{{"uuid":"{id}","timestamp":"{at}","{who}":{{"uuid":"USER{}","name":"{name}"}}"#,
        number % PEOPLE
    );
    if stream == Stream::AuditEvents {
        let _ = write!(body, r#","action":"grant","object_type":"uva","object_uuid":"vault{}""#, number % 3);
    }
    body.push('}');
    body
}

/// An event that cannot be mapped: without a uuid, or with one that is none.
fn nonsense(stream: Stream, number: usize, at: UnixMs) -> String {
    let uuid = if number.is_multiple_of(2) { "" } else { r#","uuid":7"# };
    format!(r#"{{"timestamp":"{}","nonsense":"{}{number}"{uuid}}}"#, at.0, stream.name())
}
