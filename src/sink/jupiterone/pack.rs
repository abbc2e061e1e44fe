//! Packs records into request bodies, and makes a refused body smaller.

use bytes::Bytes;
use opgraph_state::{Quarantined, UnixMs};

/// The most bytes of JSON a body may have. JupiterOne refuses over 6 MB; its
/// SDK stays at this number, and whether compression counts is not documented.
pub(super) const LARGEST_BODY: usize = 5_000_000;

/// The two kinds of record; each has an endpoint of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Entities,
    Relationships,
}

impl Kind {
    /// The name of the endpoint, and of the body's one member.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Kind::Entities => "entities",
            Kind::Relationships => "relationships",
        }
    }

    /// Which kind it is.
    pub(super) const fn of(is_relationship: bool) -> Kind {
        if is_relationship { Kind::Relationships } else { Kind::Entities }
    }
}

/// Where a record comes from: the name that a quarantined one is kept under.
pub(super) type Origin = &'static str;

/// A complete request body.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) kind: Kind,
    /// The JSON text. Kept until the body is taken: a 413 cuts it in two.
    pub(super) json: Bytes,
    /// The same on every repeat of this body, so that JupiterOne's logs show them as one.
    pub(super) correlation: String,
    pieces: Vec<Piece>,
    /// The one record as it was, if it has lost its raw data since.
    whole: Option<String>,
}

/// A record within a body.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: usize,
    end: usize,
    /// Bytes of labels before the brace that ends it.
    labels: usize,
    origin: Origin,
}

/// A body after JupiterOne refused it: as too large, or for a record in it.
#[derive(Debug)]
pub(super) enum Smaller {
    /// Half of the records each.
    Halves(Packed, Packed),
    /// The only record, without its raw data.
    Bare(Packed),
    /// The only record, and nothing to leave out.
    Never(Quarantined),
}

impl Packed {
    /// How many records there are.
    pub(super) fn records(&self) -> u64 {
        self.pieces.len() as u64
    }

    /// The memory of a body that was taken; none while somebody still reads it.
    pub(super) fn emptied(self) -> Option<String> {
        let mut json = self.json.is_unique().then(|| Vec::from(self.json))?;
        json.clear();
        String::from_utf8(json).ok()
    }

    /// Makes a refused body smaller. `why` is the reason that a record is set
    /// aside with when it is the last one, and bare.
    pub(super) fn smaller(self, why: &str, now: UnixMs) -> Smaller {
        if let [piece] = self.pieces[..] {
            // Set aside as it was mapped: a retry labels it anew.
            let record = self.record(piece);
            return match without_raw_data(&record) {
                Some(bare) => {
                    let bare = pack(self.kind, [(bare.as_str(), "", piece.origin)]);
                    Smaller::Bare(Packed { whole: Some(record), ..bare })
                }
                None => {
                    let whole = self.whole.as_deref().unwrap_or(&record);
                    Smaller::Never(refused(piece.origin, whole, why, now))
                }
            };
        }
        let half = self.pieces.len() / 2;
        let part = |pieces: &[Piece]| {
            let records: Vec<_> = pieces.iter().map(|piece| (self.record(*piece), *piece)).collect();
            let records =
                records.iter().map(|(record, piece)| (record.as_str(), self.labels(*piece), piece.origin));
            pack(self.kind, records)
        };
        Smaller::Halves(part(&self.pieces[..half]), part(&self.pieces[half..]))
    }

    /// A record without its labels.
    fn record(&self, piece: Piece) -> String {
        let mut record = self.text(piece.start, piece.end - 1 - piece.labels).to_owned();
        record.push('}');
        record
    }

    fn labels(&self, piece: Piece) -> &str {
        self.text(piece.end - 1 - piece.labels, piece.end - 1)
    }

    fn text(&self, start: usize, end: usize) -> &str {
        // Cut at the bounds of what were strings.
        std::str::from_utf8(&self.json[start..end]).unwrap_or_default()
    }
}

/// Packs records that are known to fit.
fn pack<'a>(kind: Kind, records: impl IntoIterator<Item = (&'a str, &'a str, Origin)>) -> Packed {
    let mut packer = Packer::new(kind, usize::MAX);
    for (json, labels, origin) in records {
        packer.append(json, labels, origin);
    }
    packer.close()
}

/// Collects records until a body is full.
#[derive(Debug)]
pub(super) struct Packer {
    kind: Kind,
    limit: usize,
    json: String,
    pieces: Vec<Piece>,
    /// The memory of an earlier body, for the next one.
    spare: Option<String>,
}

/// The record alone is larger than a body may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Packer {
    /// Makes a packer for bodies of at most `limit` bytes.
    pub(super) fn new(kind: Kind, limit: usize) -> Packer {
        Packer { kind, limit, json: String::new(), pieces: Vec::new(), spare: None }
    }

    /// Adds a record with `labels` (more members, each with a comma before it)
    /// at its end. Answers the body that it no longer fitted into, if any.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if it fits into no body; nothing was added.
    pub(super) fn push(
        &mut self,
        json: &str,
        labels: &str,
        origin: Origin,
    ) -> Result<Option<Packed>, TooLarge> {
        let record = json.len() + labels.len();
        let envelope = self.kind.name().len() + "{\"\":[]}".len();
        if envelope + record > self.limit {
            return Err(TooLarge);
        }
        let full = !self.pieces.is_empty() && self.json.len() + 1 + record + 2 > self.limit;
        let body = full.then(|| self.close());
        self.append(json, labels, origin);
        Ok(body)
    }

    /// The body so far, if there is anything in it.
    pub(super) fn flush(&mut self) -> Option<Packed> {
        (!self.pieces.is_empty()).then(|| self.close())
    }

    /// Whether nothing is waiting.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Takes memory for the next body from `emptied`, unless there is some.
    pub(super) fn spare(&mut self, emptied: &mut Vec<String>) {
        if self.spare.is_none() {
            self.spare = emptied.pop();
        }
    }

    fn append(&mut self, json: &str, labels: &str, origin: Origin) {
        if self.pieces.is_empty() {
            self.json.push_str("{\"");
            self.json.push_str(self.kind.name());
            self.json.push_str("\":[");
        } else {
            self.json.push(',');
        }
        let start = self.json.len();
        self.json.push_str(json);
        if !labels.is_empty() && self.json.ends_with('}') {
            self.json.pop();
            self.json.push_str(labels);
            self.json.push('}');
        }
        self.pieces.push(Piece { start, end: self.json.len(), labels: labels.len(), origin });
    }

    fn close(&mut self) -> Packed {
        let mut json = std::mem::replace(&mut self.json, self.spare.take().unwrap_or_default());
        json.push_str("]}");
        Packed {
            kind: self.kind,
            json: json.into(),
            correlation: correlation(),
            pieces: std::mem::take(&mut self.pieces),
            whole: None,
        }
    }
}

/// A record without its `_rawData`; `None` if it has none.
///
/// A search is exact here: inside a JSON string the quotes would be escaped,
/// and `_rawData` is the last property and the only one with anything nested.
pub(super) fn without_raw_data(json: &str) -> Option<String> {
    let at = json.find(",\"_rawData\":")?;
    Some(format!("{}}}", &json[..at]))
}

/// Why a record that no body can hold is set aside.
pub(super) const TOO_LARGE: &str = "JupiterOne takes no record of this size, even without raw data";

/// Sets aside a record that JupiterOne will never take.
pub(super) fn refused(origin: Origin, json: &str, why: &str, now: UnixMs) -> Quarantined {
    Quarantined { stream: origin.to_owned(), reason: why.to_owned(), body: json.to_owned(), at: now }
}

/// A random uuid (version 4): what JupiterOne's SDK sends with an upload. No
/// secret, so the generator need not be one for secrets.
fn correlation() -> String {
    let bits = fastrand::u128(..) & !(0xf << 76) & !(0b11 << 62) | (4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: UnixMs = UnixMs(7);

    fn keys(body: &Packed) -> Vec<String> {
        let value: Value = serde_json::from_slice(&body.json).unwrap();
        let records = value[body.kind.name()].as_array().unwrap();
        assert_eq!(records.len() as u64, body.records());
        records.iter().map(|record| record["_key"].as_str().unwrap().to_owned()).collect()
    }

    fn record(key: &str, padding: usize) -> String {
        json!({ "_key": key, "x": "p".repeat(padding) }).to_string()
    }

    #[test]
    fn a_body_is_never_over_the_limit_and_loses_no_record() {
        for limit in [40, 64, 100, 1000] {
            let mut packer = Packer::new(Kind::Entities, limit);
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
            assert!(bodies.iter().all(|body| body.json.len() <= limit), "{limit}");
            assert_eq!(bodies.iter().flat_map(keys).collect::<Vec<_>>(), expect);
        }
    }

    #[test]
    fn a_body_in_the_memory_of_another_is_what_it_would_be_in_its_own() {
        let (one, two) = (record("a", 100), record("b", 3));
        let mut packer = Packer::new(Kind::Entities, 1000);
        assert!(packer.push(&two, "", "s").unwrap().is_none());
        let fresh = packer.flush().unwrap();
        assert!(packer.push(&one, "", "s").unwrap().is_none());
        let sent = packer.flush().unwrap();
        let read = sent.json.clone();
        assert!(sent.emptied().is_none(), "somebody still reads it");

        assert!(packer.push(&one, "", "s").unwrap().is_none());
        drop(read);
        let mut emptied: Vec<_> = packer.flush().and_then(Packed::emptied).into_iter().collect();
        let memory = emptied[0].as_ptr();
        packer.spare(&mut emptied);
        assert!(packer.push(&one, "", "s").unwrap().is_none());
        let _ = packer.flush();
        assert!(packer.push(&two, "", "s").unwrap().is_none());
        let again = packer.flush().unwrap();
        assert_eq!((again.json.as_ptr(), &again.json), (memory, &fresh.json));
        assert_eq!(keys(&again), ["b"]);
    }

    #[test]
    fn a_body_may_be_exactly_as_large_as_the_limit() {
        let text = record("k", 0);
        let exact = format!("{{\"relationships\":[{text},{text}]}}").len();
        let mut packer = Packer::new(Kind::Relationships, exact);
        assert!(packer.push(&text, "", "s").unwrap().is_none());
        assert!(packer.push(&text, "", "s").unwrap().is_none());
        assert_eq!(packer.flush().unwrap().json.len(), exact);

        let mut packer = Packer::new(Kind::Relationships, exact - 1);
        assert!(packer.push(&text, "", "s").unwrap().is_none());
        assert!(packer.push(&text, "", "s").unwrap().is_some());

        let alone = format!("{{\"relationships\":[{text}]}}").len();
        assert!(Packer::new(Kind::Relationships, alone).push(&text, "", "s").is_ok());
        assert_eq!(Packer::new(Kind::Relationships, alone - 1).push(&text, "", "s").unwrap_err(), TooLarge);
    }

    #[test]
    fn labels_become_members_of_the_record_and_count() {
        let text = record("k", 0);
        let mut packer = Packer::new(Kind::Relationships, 1000);
        packer.push(&text, ",\"_a\":\"b\"", "s").unwrap();
        let body: Value = serde_json::from_slice(&packer.flush().unwrap().json).unwrap();
        assert_eq!(body, json!({ "relationships": [{ "_key": "k", "x": "", "_a": "b" }] }));
        let limit = format!("{{\"relationships\":[{text}]}}").len();
        assert!(Packer::new(Kind::Relationships, limit).push(&text, ",\"_a\":1", "s").is_err());
    }

    #[test]
    fn a_refused_body_is_halved_then_bared_then_set_aside() {
        let raw = r#"{"_key":"k2","x":",\\\"_rawData\":","_rawData":[{"name":"default","rawData":{"a":1}}]}"#;
        let raw = raw.replace("\\\\\\\"", "\\\"");
        let mut packer = Packer::new(Kind::Entities, LARGEST_BODY);
        for text in [&record("k0", 1), &record("k1", 1), &raw] {
            packer.push(text, "", "auditevents").unwrap();
        }
        let whole = packer.flush().unwrap();
        let first = whole.correlation.clone();
        let Smaller::Halves(left, right) = whole.smaller(TOO_LARGE, NOW) else {
            panic!("three records are halved")
        };
        assert_eq!(
            (keys(&left), keys(&right)),
            (vec!["k0".to_owned()], vec!["k1".to_owned(), "k2".to_owned()])
        );
        assert!(left.correlation != right.correlation && left.correlation != first);
        let Smaller::Halves(_, last) = right.smaller(TOO_LARGE, NOW) else {
            panic!("two records are halved")
        };
        let Smaller::Bare(bare) = last.smaller(TOO_LARGE, NOW) else { panic!("raw data goes first") };
        let value: Value = serde_json::from_slice(&bare.json).unwrap();
        assert_eq!(value, json!({ "entities": [{ "_key": "k2", "x": ",\"_rawData\":" }] }));
        let Smaller::Never(aside) = bare.smaller(TOO_LARGE, NOW) else {
            panic!("nothing is left to leave out")
        };
        assert_eq!((aside.stream.as_str(), aside.at), ("auditevents", NOW));
        assert_eq!(aside.body, raw, "whole, so that a retry has all of it");
    }

    #[test]
    fn labels_stay_on_what_is_halved_and_never_reach_the_quarantine() {
        let mut packer = Packer::new(Kind::Relationships, LARGEST_BODY);
        for key in ["k0", "k1"] {
            packer.push(&record(key, 1), ",\"_a\":\"{b}\"", "s").unwrap();
        }
        let Smaller::Halves(left, _) = packer.flush().unwrap().smaller(TOO_LARGE, NOW) else {
            panic!("two are halved")
        };
        let value: Value = serde_json::from_slice(&left.json).unwrap();
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
}
