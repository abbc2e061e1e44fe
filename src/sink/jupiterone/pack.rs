//! Packs records into request bodies, and makes a refused body smaller.

use opgraph_state::{Quarantined, UnixMs};

use super::packing::Packing;
use crate::{
    allowance::Share,
    graph::{Lot, Stretch},
    http::{Body, BodyWriter},
};

/// The most bytes of JSON a body may have. JupiterOne refuses over 6 MB; its
/// SDK stays at this number, and whether compression counts is not documented.
pub(super) const LARGEST_BODY: usize = 5_000_000;

/// Text of a page's records that is packed at once: enough to be compressed where it lies.
pub(super) const STRETCH: usize = 64 << 10;

/// The two kinds of record; each has an endpoint of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

    /// Event records of this kind.
    pub(super) const fn lot(self) -> Lot {
        match self {
            Kind::Entities => Lot::Entities,
            Kind::Relationships => Lot::Relationships,
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
///
/// It is kept as it goes out until it is taken: a refused one is read back
/// and cut in two.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) kind: Kind,
    pub(super) body: Body,
    /// The same on every repeat of this body, so that JupiterOne's logs show them as one.
    pub(super) correlation: String,
    pieces: Pieces,
    gzip: bool,
    /// The one record as it was, if it has lost its raw data since.
    whole: Option<String>,
}

/// Where the records of a body lie in its text: 8 bytes each, because a body
/// holds thousands.
#[derive(Debug, Default)]
struct Pieces {
    /// Where each ends (a comma is between two), and the bytes of labels before the brace that ends it.
    ends: Vec<(u32, u32)>,
    /// From which record on they come from where.
    origins: Vec<(usize, Origin)>,
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

impl Pieces {
    fn push(&mut self, end: usize, labels: usize, origin: Origin) {
        if self.origins.last().is_none_or(|(_, last)| *last != origin) {
            self.origins.push((self.ends.len(), origin));
        }
        // No body is as large as 4 GB.
        self.ends.push((end as u32, labels as u32));
    }

    /// All of them, in a body of this kind.
    fn all(&self, kind: Kind) -> Vec<Piece> {
        let mut start = opening(kind);
        let mut origins = self.origins.iter().peekable();
        let mut origin = "";
        let piece = |(number, (end, labels)): (usize, &(u32, u32))| {
            if let Some((_, next)) = origins.next_if(|(from, _)| *from == number) {
                origin = *next;
            }
            let piece = Piece { start, end: *end as usize, labels: *labels as usize, origin };
            start = piece.end + 1;
            piece
        };
        self.ends.iter().enumerate().map(piece).collect()
    }
}

/// Bytes before the first record.
const fn opening(kind: Kind) -> usize {
    kind.name().len() + "{\"\":[".len()
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
        self.pieces.ends.len() as u64
    }

    /// Bytes on the wire.
    pub(super) fn len(&self) -> usize {
        self.body.len()
    }

    /// The memory of a body that was taken; none while somebody still reads it.
    pub(super) fn emptied(self) -> Option<Vec<u8>> {
        self.body.emptied()
    }

    /// Makes a refused body smaller. `why` is the reason that a record is set
    /// aside with when it is the last one, and bare.
    pub(super) fn smaller(self, why: &str, now: UnixMs) -> Smaller {
        let text = self.body.text();
        let text = Text(std::str::from_utf8(&text).unwrap_or_default());
        let pieces = self.pieces.all(self.kind);
        if let [piece] = pieces[..] {
            // Set aside as it was mapped: a retry labels it anew.
            let record = text.record(piece);
            return match without_raw_data(&record) {
                Some(bare) => {
                    let bare = pack(self.kind, self.gzip, [(bare.as_str(), "", piece.origin)]);
                    Smaller::Bare(Packed { whole: Some(record), ..bare })
                }
                None => {
                    let whole = self.whole.as_deref().unwrap_or(&record);
                    Smaller::Never(refused(piece.origin, whole, why, now))
                }
            };
        }
        let half = pieces.len() / 2;
        let part = |pieces: &[Piece]| {
            let records: Vec<_> = pieces.iter().map(|piece| (text.record(*piece), *piece)).collect();
            let records =
                records.iter().map(|(record, piece)| (record.as_str(), text.labels(*piece), piece.origin));
            pack(self.kind, self.gzip, records)
        };
        Smaller::Halves(part(&pieces[..half]), part(&pieces[half..]))
    }
}

/// The text of a body.
struct Text<'a>(&'a str);

impl Text<'_> {
    /// A record without its labels.
    fn record(&self, piece: Piece) -> String {
        let mut record = self.0[piece.start..piece.end - 1 - piece.labels].to_owned();
        record.push('}');
        record
    }

    fn labels(&self, piece: Piece) -> &str {
        &self.0[piece.end - 1 - piece.labels..piece.end - 1]
    }
}

/// Packs records that are known to fit.
fn pack<'a>(kind: Kind, gzip: bool, records: impl IntoIterator<Item = (&'a str, &'a str, Origin)>) -> Packed {
    let mut packer = Packer::new(kind, gzip, usize::MAX, Packing::default());
    for (json, labels, origin) in records {
        packer.append(json, labels, origin);
    }
    packer.close()
}

/// Collects records until a body is full.
#[derive(Debug)]
pub(super) struct Packer {
    kind: Kind,
    gzip: bool,
    limit: usize,
    packing: Packing,
    text: BodyWriter,
    pieces: Pieces,
    /// What the body has taken of the memory for those being packed, if it is no small one.
    room: Option<Share>,
}

/// The record alone is larger than a body may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Packer {
    /// Makes a packer for bodies of at most `limit` bytes of text, compressed or not.
    pub(super) fn new(kind: Kind, gzip: bool, limit: usize, packing: Packing) -> Packer {
        let text = BodyWriter::new(gzip);
        Packer { kind, gzip, limit, packing, text, pieces: Pieces::default(), room: None }
    }

    /// Keeps no more memory than the body so far takes: who knows when there is more.
    pub(super) fn rest(&mut self) {
        self.text.rest();
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
        if opening(self.kind) + record + CLOSING.len() > self.limit {
            return Err(TooLarge);
        }
        let full = self.text.len() + 1 + record + CLOSING.len() > self.limit || self.is_enough(record);
        let body = (full && !self.is_empty()).then(|| self.close());
        self.append(json, labels, origin);
        Ok(body)
    }

    /// Adds a stretch of records as it is; false, and nothing was added, if
    /// they do not all fit into this body: then [`Packer::push`] takes each.
    pub(super) fn push_all(&mut self, stretch: Stretch<'_>, origin: Origin) -> bool {
        // The body opens before the first record, without a comma.
        let length = self.text.len().max(opening(self.kind)) + stretch.text.len() + CLOSING.len();
        if length > self.limit || self.is_enough(stretch.text.len()) {
            return false;
        }
        let (skipped, text) = match self.is_empty() {
            true => (1, &stretch.text[1..]),
            false => (0, stretch.text),
        };
        self.open();
        let start = self.text.len();
        self.text.push(text);
        stretch.ends().for_each(|end| self.pieces.push(start + end - skipped, 0, origin));
        true
    }

    /// Whether a body is sent before so many bytes more come into it.
    fn is_enough(&mut self, more: usize) -> bool {
        let (on_wire, was_small) = (self.text.on_wire(), self.room.is_none());
        let is_enough = self.packing.is_enough(on_wire + usize::from(!self.gzip) * more, &mut self.room);
        if was_small && self.room.is_some() {
            self.text.go_on_in(self.packing.take());
        }
        is_enough
    }

    /// The body so far, if there is anything in it.
    pub(super) fn flush(&mut self) -> Option<Packed> {
        (!self.is_empty()).then(|| self.close())
    }

    /// Whether nothing is waiting.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn append(&mut self, json: &str, labels: &str, origin: Origin) {
        if self.is_empty() {
            self.open();
        } else {
            self.text.push(",");
        }
        let text = &mut self.text;
        match json.strip_suffix('}') {
            Some(open) if !labels.is_empty() => {
                text.push(open);
                text.push(labels);
                text.push("}");
            }
            _ => text.push(json),
        }
        self.pieces.push(text.len(), labels.len(), origin);
    }

    /// Writes what is before the first record, unless it is there.
    fn open(&mut self) {
        if self.is_empty() {
            for part in ["{\"", self.kind.name(), "\":["] {
                self.text.push(part);
            }
        }
    }

    fn close(&mut self) -> Packed {
        self.text.push(CLOSING);
        let body = self.text.close();
        self.room = None;
        Packed {
            kind: self.kind,
            body,
            correlation: correlation(),
            pieces: std::mem::take(&mut self.pieces),
            gzip: self.gzip,
            whole: None,
        }
    }
}

/// What follows the last record.
const CLOSING: &str = "]}";

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
mod tests;
