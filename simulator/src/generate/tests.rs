//! What is generated has every variety, and the oracle reads it as it is written.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::kinds::{ACTOR, AUX, OBJECT, TARGET_USER, USAGE_USER};

const START: i64 = 1_767_225_600_000_000_000;

fn world(config: Config) -> World {
    World::new(&config, START)
}

fn read(world: &World, stream: Stream, index: u64) -> Value {
    let mut out = Vec::new();
    world.write(stream, index, &world.event(stream, index), &mut out);
    serde_json::from_slice(&out).expect("an event is JSON")
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_does_not() {
    let bytes = |seed| {
        let world = world(Config { seed, ..Config::default() });
        let mut out = Vec::new();
        for stream in Stream::ALL {
            for index in 0..200 {
                world.write(stream, index, &world.event(stream, index), &mut out);
            }
        }
        out
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

#[test]
fn every_optional_field_is_somewhere_there_absent_null_and_empty() {
    let world = world(Config { events: 50_000, ..Config::default() });
    for stream in Stream::ALL {
        let events: Vec<Value> = (0..8000).map(|index| read(&world, stream, index)).collect();
        let mut states: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        let paths: BTreeSet<String> = events.iter().flat_map(|event| paths_of("", event)).collect();
        for event in &events {
            for path in paths.iter().filter(|path| !path.starts_with("/schema_hint")) {
                let parent = &path[..path.rfind('/').expect("a path has a slash")];
                if !event.pointer(parent).is_some_and(Value::is_object) {
                    continue;
                }
                let state = match event.pointer(path) {
                    None => "absent",
                    Some(Value::Null) => "null",
                    Some(Value::String(text)) if text.is_empty() => "empty",
                    Some(_) => "there",
                };
                states.entry(path.clone()).or_default().insert(state);
            }
        }
        assert!(states.len() > 20);
        for (path, states) in states {
            let always =
                path == "/uuid" || path.ends_with("/user_type") || path.ends_with("/user_account_uuid");
            for state in ["there", "absent", "null"] {
                assert!(always || states.contains(state), "{stream:?} {path} is never {state}");
            }
        }
    }
}

fn paths_of(at: &str, value: &Value) -> Vec<String> {
    let Value::Object(fields) = value else { return vec![] };
    let deeper = fields.iter().flat_map(|(name, value)| {
        let path = format!("{at}/{name}");
        let below = paths_of(&path, value);
        [path].into_iter().chain(below)
    });
    deeper.collect()
}

#[test]
fn timestamps_come_with_every_number_of_digits_and_with_offsets_from_utc() {
    let world = world(Config { events: 50_000, ..Config::default() });
    for stream in Stream::ALL {
        let (mut digits, mut ends) = (BTreeSet::new(), BTreeSet::new());
        for index in 0..4096 {
            let event = read(&world, stream, index);
            let Some(rest) = event["timestamp"].as_str().map(|text| &text[19..]) else { continue };
            let end = rest.trim_start_matches(|letter: char| letter == '.' || letter.is_ascii_digit());
            digits.insert((rest.len() - end.len()).saturating_sub(1));
            ends.insert(end.to_owned());
        }
        assert_eq!(digits, (0..=9).collect());
        assert_eq!(ends.len(), 6, "{ends:?}");
    }
}

#[test]
fn the_odd_users_are_seen() {
    let world = world(Config { events: 50_000, ..Config::default() });
    for stream in Stream::ALL {
        let (mut odd, mut longest) = (BTreeSet::new(), 0);
        for index in 0..4096 {
            let event = world.event(stream, index);
            for mention in event.truth.into_iter().flat_map(|truth| &truth.mentions) {
                odd.insert(world.cast.people.len() - mention.user as usize);
                longest = longest.max(mention.label.as_deref().unwrap_or_default().chars().count());
            }
        }
        assert!((1..=people::ODD).all(|user| odd.contains(&user)), "{stream:?}");
        assert_eq!(longest, 4096, "cut to what a property keeps");
    }
}

#[test]
fn users_change_names_and_some_are_long_foreign_or_blank() {
    let world = world(Config { events: 400_000, ..Config::default() });
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for index in (0..220_000).step_by(3) {
        let event = read(&world, Stream::ItemUsages, index);
        if let (Some(uuid), Some(name)) = (
            event.pointer("/user/uuid").and_then(Value::as_str),
            event.pointer("/user/name").and_then(Value::as_str),
        ) {
            names.entry(uuid.to_owned()).or_default().insert(name.to_owned());
        }
    }
    assert!(names.values().filter(|names| names.len() > 1).count() > 10, "users change names");
    assert!(names.values().flatten().any(|name| !name.is_ascii()));
    let unknown = (0..8000)
        .map(|index| read(&world, Stream::AuditEvents, index))
        .filter(|event| event["action"] == "teleport" || event["object_type"] == "orchard");
    assert!(unknown.count() > 0, "values that no list has");
}

/// Derives the truth again, from the JSON as a client sees it, and compares.
#[test]
fn the_oracle_reads_an_event_as_it_is_written() {
    for seed in 1..=3 {
        let world = world(Config { seed, events: 20_000, ..Config::default() });
        for (stream, index) in
            Stream::ALL.into_iter().flat_map(|stream| (0..4000).map(move |at| (stream, at)))
        {
            let event = world.event(stream, index);
            let truth = event.truth.expect("no poison was asked for");
            let json = read(&world, stream, index);
            let text =
                |path: &str| json.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
            let first = |paths: &[&str]| paths.iter().find_map(|path| text(path)).map(str::to_owned);
            let cut = |text: String| text.chars().take(4096).collect::<String>();
            let of = |details: &str, ids: &[&str], role| {
                json.pointer(details).filter(|user| user.is_object())?;
                let label = first(&[&format!("{details}/name"), &format!("{details}/email")]).map(cut);
                Some((role, first(ids)?, label))
            };
            let (name, mentions, vault) = match stream {
                Stream::SigninAttempts => (
                    [text("/category"), text("/type")],
                    vec![of("/target_user", &["/target_user/uuid"], TARGET_USER)],
                    None,
                ),
                Stream::ItemUsages => (
                    [text("/action"), None],
                    [USAGE_USER, TARGET_USER].map(|role| of("/user", &["/user/uuid"], role)).to_vec(),
                    None,
                ),
                Stream::AuditEvents => (
                    [text("/action"), text("/object_type")],
                    vec![
                        first(&["/actor_uuid", "/actor_details/uuid"]).map(|uuid| {
                            (ACTOR, uuid, first(&["/actor_details/name", "/actor_details/email"]).map(cut))
                        }),
                        of("/aux_details", &["/aux_details/uuid", "/aux_uuid"], AUX),
                        of("/object_details", &["/object_details/uuid", "/object_uuid"], OBJECT),
                    ],
                    text("/object_uuid")
                        .filter(|_| matches!(text("/object_type"), Some("vault" | "uva" | "gva"))),
                ),
            };
            let name = name.into_iter().flatten().collect::<Vec<_>>().join(" ");
            assert_eq!(truth.name.as_deref().unwrap_or_default(), name, "{json}");
            let told: Vec<_> = truth
                .mentions
                .iter()
                .map(|mention| {
                    let uuid = world.cast.people[mention.user as usize].uuid.clone();
                    (mention.role, uuid, mention.label.as_deref().map(str::to_owned))
                })
                .collect();
            assert_eq!(told, mentions.into_iter().flatten().collect::<Vec<_>>(), "{json}");
            assert_eq!(truth.vault.map(|at| world.cast.vaults[at as usize].as_str()), vault, "{json}");
            let written = text("/timestamp").map(|text| {
                let time: jiff::Timestamp = text.parse().expect("RFC 3339");
                time.as_nanosecond().div_euclid(1_000_000) as i64
            });
            assert_eq!(event.created_on(), written, "{json}");
            assert!(vault.is_none() || truth.mentions.iter().any(|mention| mention.role == ACTOR));
        }
    }
}

#[test]
fn poison_comes_only_when_asked_for_and_then_in_its_share() {
    let world = world(Config { events: 100_000, poison: 0.01, ..Config::default() });
    let poison = (0..50_000).filter(|index| world.event(Stream::ItemUsages, *index).truth.is_none()).count();
    assert!((300..700).contains(&poison), "{poison}");
}
