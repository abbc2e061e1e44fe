//! From the text of an answer to events that borrow from it.

use opgraph_state::{Cursor, Fingerprint, UnixMs};
use self_cell::self_cell;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Decoded, Event, Mapping, Origin, Stream,
    parts::{Object, filled},
    reader::{Reader, Unusual},
    texts::{PageText, Texts},
    time::instant,
    told::Told,
};
use crate::{
    allowance::Share,
    graph::{Records, Textual},
};

self_cell!(
    /// The events of one page together with the text they borrow from.
    pub struct Events {
        owner: PageText,
        #[covariant]
        dependent: Decoded,
    }

    impl {Debug}
);

impl Events {
    /// A page without events.
    pub fn none(stream: Stream) -> Events {
        Events::new(PageText::default(), |_| Decoded::read(stream, &[], &mut Vec::new()))
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.borrow_dependent().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of text the events borrow from, dropped events included.
    pub fn bytes(&self) -> usize {
        self.borrow_owner().len()
    }

    /// Keeps the events whose fingerprint passes, in order.
    pub fn retain(&mut self, keep: impl FnMut(Fingerprint) -> bool) {
        self.with_dependent_mut(|_, decoded| decoded.retain(keep));
    }

    /// Keeps the events whose time passes, in order; `None` is one that could not be read.
    pub fn retain_at(&mut self, keep: impl FnMut(Option<UnixMs>) -> bool) {
        self.with_dependent_mut(|_, decoded| decoded.retain_at(keep));
    }

    /// Drops the events, and lets the next page of the stream have their memory.
    pub fn done(mut self) {
        self.with_dependent_mut(|text, decoded| {
            if let Some(home) = text.home() {
                decoded.empty(home);
            }
        });
    }

    /// Appends the records of every event.
    pub fn map(&self, mapping: &Mapping, records: &mut Records) {
        self.borrow_dependent().map(mapping, records);
    }

    /// The newest event time that could be read.
    pub fn newest(&self) -> Option<UnixMs> {
        self.borrow_dependent().newest()
    }

    /// The event time in the middle of those that could be read.
    pub fn middle(&self) -> Option<UnixMs> {
        self.borrow_dependent().middle()
    }

    /// The oldest event time that could be read.
    pub fn oldest(&self) -> Option<UnixMs> {
        self.borrow_dependent().oldest()
    }
}

/// One event of a page.
#[derive(Debug)]
pub struct Item<'a, E> {
    /// The event as received.
    pub raw: &'a str,
    /// The fingerprint of its uuid.
    pub id: Fingerprint,
    /// When it happened, if that could be read.
    pub at: Option<UnixMs>,
    /// Its fields.
    pub event: E,
}

/// An answer of the Events API, read.
#[derive(Debug)]
pub struct Read {
    /// The events that can be mapped.
    pub events: Events,
    /// The ones that cannot.
    pub rejected: Vec<Rejected>,
    /// Where to go on; came with the answer even if it held no event.
    pub next: Cursor,
    /// Whether more may be waiting. It never promises an event.
    pub has_more: bool,
    /// Its share of the tenant's bytes in flight, if it was taken before the page was read in.
    pub share: Option<Share>,
}

/// An event that cannot be mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Why. May quote the event: for the quarantine, not for logs.
    pub reason: String,
    /// The event as received.
    pub body: String,
}

/// An answer that is not a page. Says where, and quotes nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

/// The envelope of a page: `{"cursor": "…", "has_more": true, "items": [ … ]}`
/// (1Password's OpenAPI file, v2). `items` of an empty page may be `null`, as Go
/// writes an empty list; where it is missing, what the cursor would pass is unknown.
#[derive(Deserialize)]
struct Envelope<'a> {
    cursor: String,
    has_more: bool,
    // With a function of its own, serde takes a missing field for an error.
    #[serde(borrow, deserialize_with = "Deserialize::deserialize")]
    items: Option<Vec<&'a RawValue>>,
}

/// Reads a page from the body of a 200.
///
/// One event that makes no sense is set aside and the others are kept. Ok
/// guarantees a cursor that is not empty.
///
/// # Errors
///
/// [`Malformed`] if the body is not UTF-8, not JSON, or not a page.
pub fn read_page(stream: Stream, body: Vec<u8>) -> Result<Read, Malformed> {
    read_page_of(stream, body, None)
}

/// Like [`read_page`]; the body's memory goes to `home` once the events are dropped.
///
/// # Errors
///
/// As for [`read_page`].
pub fn read_page_of(stream: Stream, body: Vec<u8>, home: Option<Texts>) -> Result<Read, Malformed> {
    let text = String::from_utf8(body).map_err(|error| {
        Malformed(format!("the page is not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
    })?;
    let (mut rejected, mut place) = (Vec::new(), None);
    let events = Events::try_new(PageText::new(text, home), |text| {
        let (next, events) = match quickly(stream, text, text.home(), &mut rejected) {
            Ok(page) => page,
            Err(Unusual) => {
                rejected.clear();
                thoroughly(stream, text, &mut rejected)?
            }
        };
        place = Some(next);
        Ok(events)
    })?;
    let Next { cursor, has_more } = place.expect("set whenever the events could be made");
    Ok(Read { events, rejected, next: Cursor::Token(cursor), has_more, share: None })
}

/// What a page says beside its events.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next {
    cursor: String,
    has_more: bool,
}

/// Reads a page as it always is, in one pass.
pub(super) fn quickly<'a>(
    stream: Stream,
    text: &'a str,
    home: Option<&Texts>,
    rejected: &mut Vec<Rejected>,
) -> Result<(Next, Decoded<'a>), Unusual> {
    let mut reader = Reader::new(text);
    let (mut cursor, mut has_more, mut events) = (None, None, None);
    reader.take(b'{')?;
    let mut first = true;
    while reader.next(&mut first, b'}')? {
        match reader.name()? {
            "cursor" if cursor.is_none() => cursor = Some(reader.text()?.says().into_owned()),
            "has_more" if has_more.is_none() => has_more = Some(reader.value()?),
            "items" if events.is_none() => {
                events = Some(Decoded::read_on(stream, &mut reader, home, rejected)?)
            }
            "cursor" | "has_more" | "items" => return Err(Unusual),
            _ => reader.skip()?,
        }
    }
    match (cursor, has_more, events, reader.peek()) {
        (Some(cursor), Some(has_more), Some(events), None) if !cursor.is_empty() => {
            Ok((Next { cursor, has_more }, events))
        }
        _ => Err(Unusual),
    }
}

/// Reads a page whatever it looks like, or says what is wrong with it.
pub(super) fn thoroughly<'a>(
    stream: Stream,
    text: &'a str,
    rejected: &mut Vec<Rejected>,
) -> Result<(Next, Decoded<'a>), Malformed> {
    let Object(envelope): Object<Envelope<'_>> = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Malformed(format!(
            "the page is not what the API documents ({:?} error at {line}:{column})",
            error.classify()
        ))
    })?;
    let Envelope { cursor, has_more, items } = envelope;
    if cursor.is_empty() {
        return Err(Malformed("the page has an empty cursor".to_owned()));
    }
    let events = Decoded::read(stream, items.as_deref().unwrap_or_default(), rejected);
    Ok((Next { cursor, has_more }, events))
}

/// Reads events that were set aside, each the text of one.
///
/// One that is no event goes to the rejected ones, with why and its text.
///
/// # Errors
///
/// [`Malformed`] if one of the texts is not JSON.
pub fn read_events<'t>(
    stream: Stream,
    texts: impl IntoIterator<Item = &'t str>,
) -> Result<(Events, Vec<Rejected>), Malformed> {
    let mut list = String::from("[");
    for text in texts {
        if list.len() > 1 {
            list.push(',');
        }
        list.push_str(text);
    }
    list.push(']');
    let mut rejected = Vec::new();
    let events = Events::try_new(PageText::new(list, None), |list| {
        let items: Vec<&RawValue> =
            serde_json::from_str(list).map_err(|_| Malformed("an event is not JSON".to_owned()))?;
        Ok(Decoded::read(stream, &items, &mut rejected))
    })?;
    Ok((events, rejected))
}

/// Decodes the items of one stream.
pub(super) fn items<'a, E: Event<'a>>(
    raw: &[&'a RawValue],
    rejected: &mut Vec<Rejected>,
) -> Vec<Item<'a, E>> {
    let mut items = Vec::with_capacity(raw.len());
    for raw in raw {
        match item(raw.get()) {
            Ok(item) => items.push(item),
            Err(reject) => rejected.push(reject),
        }
    }
    items
}

/// Decodes a list of items, or `null`, where the reader stands, into an empty list.
pub(super) fn items_on<'a, E: Event<'a>>(
    reader: &mut Reader<'a>,
    mut items: Vec<Item<'a, E>>,
    rejected: &mut Vec<Rejected>,
) -> Result<Vec<Item<'a, E>>, Unusual> {
    if reader.peek() == Some(b'n') {
        return reader.value().map(|()| items);
    }
    reader.take(b'[')?;
    let mut first = true;
    while reader.next(&mut first, b']')? {
        let (mark, left) = (reader.mark(), reader.left());
        let event = reader.object::<E>().ok();
        match event.and_then(|event| identified(reader.since(mark), event)) {
            Some(item) => {
                // About as many as the first of them goes into what is left.
                if items.is_empty() {
                    items.reserve(left / item.raw.len());
                }
                items.push(item);
            }
            None => {
                reader.back_to(mark);
                match item(reader.value::<&RawValue>()?.get()) {
                    Ok(item) => items.push(item),
                    Err(reject) => rejected.push(reject),
                }
            }
        }
    }
    Ok(items)
}

/// Decodes one item, or says why it is none.
fn item<'a, E: Event<'a>>(raw: &'a str) -> Result<Item<'a, E>, Rejected> {
    let reject = |reason| Rejected { reason, body: raw.to_owned() };
    let Object(event) = serde_json::from_str::<Object<E>>(raw)
        .map_err(|error| reject(format!("the event cannot be read: {error}")))?;
    identified(raw, event).ok_or_else(|| reject("the event has no uuid".to_owned()))
}

/// The event under its uuid, if it has one.
fn identified<'a, E: Event<'a>>(raw: &'a str, event: E) -> Option<Item<'a, E>> {
    let id = Fingerprint::of(&filled(event.uuid())?.says());
    let at = event.timestamp().and_then(|at| instant(&at.says()));
    Some(Item { raw, id, at, event })
}

/// How deeply an event may be nested to be kept as received; the documented ones
/// have three levels.
///
/// Whoever reads the graph stops somewhere (SQLite at 1,000 levels, serde_json
/// at 128), and a single record beyond that would make its whole table unreadable.
const DEEPEST: usize = 64;

/// Whether a JSON text is nested more deeply than [`DEEPEST`].
fn is_too_deep(json: &str) -> bool {
    // The two differ in this one bit, and nothing else becomes either by setting it.
    let opens = |byte: u8| byte | 0x20 == b'{';
    // With so few brackets it cannot be, and no event has more. Counted in bytes
    // that cannot overflow, many at a time.
    let few = |part: &[u8]| usize::from(part.iter().map(|byte| u8::from(opens(*byte))).sum::<u8>());
    if json.as_bytes().chunks(128).map(few).sum::<usize>() <= DEEPEST {
        return false;
    }
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    json.bytes().any(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => (),
            b'}' | b']' => depth -= 1,
            _ => depth += usize::from(opens(byte)),
        }
        depth > DEEPEST
    })
}

/// Maps one event.
pub(super) fn map<'a, E: Event<'a>>(
    item: &Item<'a, E>,
    mapping: &'a Mapping,
    told: &mut Told<'a>,
    records: &mut Records,
) {
    let Some(uuid) = item.event.uuid() else { return };
    if item.at.is_none() && item.event.timestamp().is_some_and(|text| !text.is_empty()) {
        records.counts.unreadable_times += 1;
    }
    let kept = mapping.raw_data && !is_too_deep(item.raw);
    records.counts.raw_data_too_deep += u64::from(mapping.raw_data && !kept);
    let raw = kept.then_some(item.raw);
    let origin = Origin { uuid, at: item.at, raw, account_name: mapping.account_name.as_deref() };
    item.event.map(&origin, told, records);
}
