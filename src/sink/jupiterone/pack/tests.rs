//! Bodies: their limits, what is halved, bared or set aside.

use opgraph_state::Version;
use serde_json::{Value, json};

use super::*;
use crate::{
    allowance::Allowance,
    graph::{EntityType, Records, RelationshipType},
    sink::jupiterone::{EmptiedBodies, packing::ENOUGH},
};

const NOW: UnixMs = UnixMs(7);

fn keys(body: &Packed) -> Vec<String> {
    let value: Value = serde_json::from_slice(&body.body.text()).unwrap();
    let records = value[body.kind.name()].as_array().unwrap();
    assert_eq!(records.len() as u64, body.records());
    records.iter().map(|record| record["_key"].as_str().unwrap().to_owned()).collect()
}

fn record(key: &str, padding: usize) -> String {
    json!({ "_key": key, "x": "p".repeat(padding) }).to_string()
}

#[test]
fn a_body_is_never_over_the_limit_and_loses_no_record() {
    for (limit, gzip) in [40, 64, 100, 1000].into_iter().flat_map(|limit| [(limit, false), (limit, true)]) {
        let mut packer = Packer::new(Kind::Entities, gzip, limit, Packing::default());
        let mut bodies = Vec::new();
        let mut expect = Vec::new();
        for n in 0..60_usize {
            let text = record(&format!("k{n}"), n % 5);
            assert!(text.len() + 15 <= 40, "the test's records fit the smallest limit");
            bodies.extend(packer.push(&text, "", "s").unwrap());
            expect.push(format!("k{n}"));
        }
        bodies.extend(packer.flush());
        assert!(packer.is_empty() && packer.flush().is_none());
        assert!(bodies.iter().all(|body| body.body.text().len() <= limit), "{limit}");
        assert_eq!(bodies.iter().flat_map(keys).collect::<Vec<_>>(), expect);
    }
}

#[test]
fn stretches_of_a_page_fill_the_bodies_that_its_records_would() {
    let mut page = Records::default();
    for n in 0..900_usize {
        let id = format!("{n}{}", "i".repeat(n * 7 % 301));
        page.entity(EntityType::AuditEvent, id.as_str(), Version { rank: 0, at: NOW }).close();
        page.relationship(RelationshipType::ActorPerformedEvent, "a", id.as_str(), NOW);
    }
    for (limit, gzip, most) in [
        (2_000, false, 700),
        (20_000, true, 700),
        (20_000, false, 5_000),
        (LARGEST_BODY, true, STRETCH),
        (LARGEST_BODY, false, STRETCH),
    ] {
        for kind in [Kind::Entities, Kind::Relationships] {
            let mut packers = [(); 2].map(|()| Packer::new(kind, gzip, limit, Packing::default()));
            let (mut together, mut alone, mut at_once) = (Vec::new(), Vec::new(), 0);
            for stretch in page.stretches(kind.lot(), most) {
                let [packer, other] = &mut packers;
                let fits = packer.push_all(stretch, "s");
                at_once += usize::from(fits);
                for record in stretch.iter() {
                    alone.extend(other.push(record.json, "", "s").unwrap());
                    if !fits {
                        together.extend(packer.push(record.json, "", "s").unwrap());
                    }
                }
            }
            together.extend(packers[0].flush());
            alone.extend(packers[1].flush());
            let told = |bodies: &[Packed]| -> Vec<_> {
                let of =
                    |body: &Packed| (body.body.text().into_owned(), keys(body), format!("{:?}", body.pieces));
                bodies.iter().map(of).collect()
            };
            assert_eq!(told(&together), told(&alone), "{limit} {gzip} {most}");
            assert!(at_once > 2, "{limit} {gzip} {most}");
        }
    }
}

#[test]
fn a_body_that_is_sent_as_it_is_ends_earlier_than_a_compressed_one() {
    for (gzip, most) in [(false, ENOUGH), (true, LARGEST_BODY)] {
        let mut packer = Packer::new(Kind::Entities, gzip, LARGEST_BODY, Packing::default());
        let mut bodies = Vec::new();
        for n in 0..30_000 {
            bodies.extend(packer.push(&record(&format!("k{n}"), 300), "", "s").unwrap());
        }
        let sizes: Vec<usize> = bodies.iter().map(|body| body.body.text().len()).collect();
        assert!(
            !sizes.is_empty() && sizes.iter().all(|size| (most - 400..=most).contains(size)),
            "{sizes:?}"
        );
        assert!(bodies.iter().all(|body| body.len() <= ENOUGH));
    }
}

#[test]
fn a_body_is_sent_earlier_where_there_is_little_memory_for_it() {
    let sent = |gzip, enough| {
        let packing = Packing::new(EmptiedBodies::default(), enough, Allowance::alone(enough));
        let mut packer = Packer::new(Kind::Entities, gzip, LARGEST_BODY, packing);
        let records = (0..30_000).map(|n| record(&format!("k{n}"), 300));
        let mut bodies: Vec<Packed> =
            records.filter_map(|record| packer.push(&record, "", "s").unwrap()).collect();
        bodies.extend(packer.flush());
        assert_eq!(bodies.iter().map(Packed::records).sum::<u64>(), 30_000);
        bodies.iter().map(Packed::len).collect::<Vec<_>>()
    };
    for gzip in [false, true] {
        let (many, few) = (sent(gzip, 50_000), sent(gzip, ENOUGH));
        assert!(many.len() > 2 * few.len(), "{gzip}: {} and {}", many.len(), few.len());
        // Of a compressed one there are up to 32 KB of text that nobody knows the length of yet.
        assert!(many.iter().all(|len| *len <= 50_000 + usize::from(gzip) * 16_000), "{gzip}: {many:?}");
    }
}

#[test]
fn a_body_stays_small_while_others_have_the_memory_for_large_ones() {
    let packing = Packing::new(EmptiedBodies::default(), ENOUGH, Allowance::alone(ENOUGH));
    let mut packers = [(); 2].map(|()| Packer::new(Kind::Entities, false, LARGEST_BODY, packing.clone()));
    let mut sizes = [Vec::new(), Vec::new()];
    for n in 0..12_000 {
        for (packer, sizes) in packers.iter_mut().zip(&mut sizes) {
            let body = packer.push(&record(&format!("k{n}"), 300), "", "s").unwrap();
            sizes.extend(body.map(|body| body.len()));
        }
    }
    let [large, small] = sizes;
    assert!(large[0] > ENOUGH / 10 * 9 && small[0] < ENOUGH / 20, "{large:?}, {small:?}");
    // A body that is closed leaves it to whoever needs it next.
    assert!(small.iter().any(|size| *size > ENOUGH / 10 * 9), "{small:?}");
}

#[test]
fn a_record_is_set_aside_under_the_name_of_where_it_came_from() {
    let mut packer = Packer::new(Kind::Entities, true, LARGEST_BODY, Packing::default());
    let origins = ["one", "one", "two", "one"];
    for (n, origin) in origins.into_iter().enumerate() {
        packer.push(&record(&format!("k{n}"), 1), "", origin).unwrap();
    }
    let mut parts = vec![packer.flush().unwrap()];
    let mut aside = Vec::new();
    while let Some(part) = parts.pop() {
        match part.smaller(TOO_LARGE, NOW) {
            Smaller::Halves(left, right) => parts.extend([right, left]),
            Smaller::Bare(_) => panic!("there is no raw data"),
            Smaller::Never(record) => aside.push(record.stream),
        }
    }
    assert_eq!(aside, origins);
}

#[test]
fn a_body_may_be_exactly_as_large_as_the_limit() {
    let text = record("k", 0);
    let exact = format!("{{\"relationships\":[{text},{text}]}}").len();
    let mut packer = Packer::new(Kind::Relationships, true, exact, Packing::default());
    assert!(packer.push(&text, "", "s").unwrap().is_none());
    assert!(packer.push(&text, "", "s").unwrap().is_none());
    assert_eq!(packer.flush().unwrap().body.text().len(), exact);

    let mut packer = Packer::new(Kind::Relationships, true, exact - 1, Packing::default());
    assert!(packer.push(&text, "", "s").unwrap().is_none());
    assert!(packer.push(&text, "", "s").unwrap().is_some());

    let alone = format!("{{\"relationships\":[{text}]}}").len();
    assert!(Packer::new(Kind::Relationships, true, alone, Packing::default()).push(&text, "", "s").is_ok());
    assert_eq!(
        Packer::new(Kind::Relationships, true, alone - 1, Packing::default())
            .push(&text, "", "s")
            .unwrap_err(),
        TooLarge
    );
}

#[test]
fn labels_become_members_of_the_record_and_count() {
    let text = record("k", 0);
    let mut packer = Packer::new(Kind::Relationships, true, 1000, Packing::default());
    packer.push(&text, ",\"_a\":\"b\"", "s").unwrap();
    let body: Value = serde_json::from_slice(&packer.flush().unwrap().body.text()).unwrap();
    assert_eq!(body, json!({ "relationships": [{ "_key": "k", "x": "", "_a": "b" }] }));
    let limit = format!("{{\"relationships\":[{text}]}}").len();
    assert!(
        Packer::new(Kind::Relationships, true, limit, Packing::default())
            .push(&text, ",\"_a\":1", "s")
            .is_err()
    );
}

#[test]
fn a_refused_body_is_halved_then_bared_then_set_aside() {
    let raw = r#"{"_key":"k2","x":",\\\"_rawData\":","_rawData":[{"name":"default","rawData":{"a":1}}]}"#;
    let raw = raw.replace("\\\\\\\"", "\\\"");
    let mut packer = Packer::new(Kind::Entities, true, LARGEST_BODY, Packing::default());
    for text in [&record("k0", 1), &record("k1", 1), &raw] {
        packer.push(text, "", "auditevents").unwrap();
    }
    let whole = packer.flush().unwrap();
    let first = whole.correlation.clone();
    let Smaller::Halves(left, right) = whole.smaller(TOO_LARGE, NOW) else {
        panic!("three records are halved")
    };
    assert_eq!((keys(&left), keys(&right)), (vec!["k0".to_owned()], vec!["k1".to_owned(), "k2".to_owned()]));
    assert!(left.correlation != right.correlation && left.correlation != first);
    let Smaller::Halves(_, last) = right.smaller(TOO_LARGE, NOW) else { panic!("two records are halved") };
    let Smaller::Bare(bare) = last.smaller(TOO_LARGE, NOW) else { panic!("raw data goes first") };
    let value: Value = serde_json::from_slice(&bare.body.text()).unwrap();
    assert_eq!(value, json!({ "entities": [{ "_key": "k2", "x": ",\"_rawData\":" }] }));
    let Smaller::Never(aside) = bare.smaller(TOO_LARGE, NOW) else { panic!("nothing is left to leave out") };
    assert_eq!((aside.stream.as_str(), aside.at), ("auditevents", NOW));
    assert_eq!(aside.body, raw, "whole, so that a retry has all of it");
}

#[test]
fn labels_stay_on_what_is_halved_and_never_reach_the_quarantine() {
    let mut packer = Packer::new(Kind::Relationships, true, LARGEST_BODY, Packing::default());
    for key in ["k0", "k1"] {
        packer.push(&record(key, 1), ",\"_a\":\"{b}\"", "s").unwrap();
    }
    let Smaller::Halves(left, _) = packer.flush().unwrap().smaller(TOO_LARGE, NOW) else {
        panic!("two are halved")
    };
    let value: Value = serde_json::from_slice(&left.body.text()).unwrap();
    assert_eq!(value["relationships"][0]["_a"], "{b}");
    let Smaller::Never(aside) = left.smaller(TOO_LARGE, NOW) else { panic!("one without raw data") };
    assert_eq!(aside.body, record("k0", 1));
}

#[test]
fn a_correlation_id_is_a_version_4_uuid() {
    for _ in 0..100 {
        let id = correlation();
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
        assert_eq!(&id[14..15], "4", "{id}");
        assert!("89ab".contains(&id[19..20]), "{id}");
    }
}
