//! How much memory the process may take, and how it is divided.
//!
//! Two kinds of ceiling. What holds for one tenant, however much there is:
//! no tenant is faster with more. And what all tenants have between them, so
//! that many of them do not multiply it; each has a part of that which nobody
//! else can take ([`crate::allowance`]).

use std::num::NonZeroU32;

use crate::{
    allowance::{Allowance, Pool},
    page::weight,
    pipeline::{Emptied, Limits, READERS, Room},
    sink::{
        UploadLimits,
        jupiterone::{EmptiedBodies, Packing},
    },
    source::{EVENT, PAGE_SIZE},
    stream::Texts,
};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// What the process may take, unless configured or too little for its tenants.
pub const MAX_MEMORY: usize = 256 * MIB;

/// Code, threads with their stacks, the database without its cache, what the allocator
/// keeps, and what tenants use one after the other: compressors, emptied pages
/// (measured: docs/PERFORMANCE.md).
const BASE: usize = 56 * MIB;
/// A tenant's tasks, channels and connections while it is only polled (measured:
/// docs/PERFORMANCE.md).
const TASKS: usize = 128 * KIB;
/// The least there must be to divide, and of it for each tenant: for pages of eighty
/// events, and bodies of 33 KB.
const LEAST: usize = 16 * MIB;
const EACH: usize = 704 * KIB;

/// Bytes that dedup needs for an id.
const ID: usize = 21;
/// Ids of a tenant that dedup remembers, at most.
const IDS: usize = 262_144;
/// Streams of a tenant.
const STREAMS: usize = 3;
/// Whole pages that a tenant has a use for in flight: one is read in, one is mapped
/// and one goes into a body. More make nothing faster (docs/PERFORMANCE.md).
const PAGES: usize = 3;
/// The largest that a body gets on the wire.
const BODY: usize = MIB;
/// Bytes of request bodies that one tenant may have in flight.
const FLYING: usize = 4 * MIB;
/// Bytes of request bodies of one tenant that may wait for a job.
const WAITING: usize = 2 * MIB;
/// Bytes of shared records in the uploads of one tenant, as they weigh.
const SHARED: usize = 12 * MIB;
/// The state's cache.
const CACHE: usize = 16 * MIB;

/// What was configured is less than the process can do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given} is too little for {n}: at least {least} is needed", given = Size(*.given), n = many(*.tenants), least = Size(*.least))]
pub struct TooLittle {
    /// What was configured, in bytes.
    pub given: usize,
    /// How many tenants there are.
    pub tenants: usize,
    /// What is needed at least, in bytes.
    pub least: usize,
}

/// Bytes as people write them.
#[derive(Clone, Copy, Debug)]
pub struct Size(pub usize);

impl std::fmt::Display for Size {
    /// In whole MB (1,048,576 bytes), rounded up.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} MB", self.0.div_ceil(MIB))
    }
}

fn many(tenants: usize) -> String {
    format!("{tenants} tenant{}", if tenants == 1 { "" } else { "s" })
}

/// How the memory of the process is divided among its tenants.
///
/// | part                                   | of what is left | one tenant at most | its own     |
/// |----------------------------------------|-----------------|--------------------|-------------|
/// | program                                |                 |                    | 56 MB       |
/// | a tenant's tasks and connections       |                 |                    | 128 KB      |
/// | then, of what is left:                 |                 |                    |             |
/// | the state's cache                      | 2/32            |                    | at most 16 MB |
/// | ids that dedup remembers               | 3/32            | 5.5 MB             | an even part |
/// | pages, from before they are read in until the sink has them | 9/32 | three of them | one, or half of an even part |
/// | request bodies being packed            | 3/32            | two of 1 MB        | half of an even part |
/// | request bodies in flight               | 3/32            | 4 MB               | half of an even part |
/// | request bodies that wait for a job     | 2/32            | 2 MB               | half of an even part |
/// | shared records, until they are committed | 10/32         | 12 MB              | half of an even part |
///
/// Where an even part has no room for a page of 1,000 events, pages have fewer.
#[derive(Clone, Debug)]
pub struct Memory {
    max: usize,
    tenants: usize,
    cache: usize,
    ids: usize,
    page_size: NonZeroU32,
    pages: Divided,
    body: usize,
    packing: Divided,
    flying: Divided,
    waiting: Divided,
    shared: Divided,
    readers: usize,
    texts: Texts,
    emptied: Emptied,
    emptied_bodies: EmptiedBodies,
}

/// A kind of memory that all tenants share.
#[derive(Clone, Debug)]
struct Divided {
    common: Pool,
    /// What each would have if nothing were shared.
    even: usize,
    /// What is each tenant's own.
    own: usize,
    /// What a tenant may have of what is common.
    most: usize,
}

impl Divided {
    /// Divides so many bytes; a tenant can do nothing with more than `enough`, and
    /// `one` is the largest thing that it takes some for.
    fn new(bytes: usize, tenants: usize, enough: usize, one: usize) -> Divided {
        let even = bytes / tenants;
        if even >= enough {
            // Nobody has a use for the rest, until more tenants come.
            return Divided { common: Pool::new(bytes - enough * tenants), even, own: enough, most: 0 };
        }
        // With room for one thing at a time nobody depends on the others.
        let own = one.clamp(even / 2, even);
        Divided { common: Pool::new(bytes - own * tenants), even, own, most: enough - own }
    }

    /// So many more tenants get what is their own out of what is common, which
    /// those that were there go on sharing. Where that is little, they get less,
    /// but never so little that they could not work: at worst there is a quarter
    /// more than was divided, until the next start.
    fn seat(&mut self, more: usize, as_divided: &Divided) {
        let least = as_divided.own.min(as_divided.even / 4);
        self.own = as_divided.own.min(self.own).min((self.common.left() / more).max(least));
        self.most = as_divided.most;
        self.common.shrink(self.own * more);
    }

    fn allowance(&self) -> Allowance {
        Allowance::of(&self.common, self.own, self.most)
    }
}

impl Default for Memory {
    /// What one tenant has, unless configured.
    fn default() -> Memory {
        Memory::of(MAX_MEMORY, 1)
    }
}

impl Memory {
    /// Divides `max` bytes among so many tenants.
    ///
    /// # Errors
    ///
    /// [`TooLittle`], with what is needed at least.
    pub fn divide(max: usize, tenants: usize) -> Result<Memory, TooLittle> {
        let least = Memory::least(tenants);
        if max < least {
            return Err(TooLittle { given: max, tenants, least });
        }
        Ok(Memory::of(max, tenants.max(1)))
    }

    fn of(max: usize, tenants: usize) -> Memory {
        let left = max - Memory::fixed(tenants);
        let part = |of_32: usize| left / 32 * of_32;
        let page_size = (part(9) / tenants / weight(EVENT)).clamp(1, PAGE_SIZE.get() as usize);
        let page = weight(page_size * EVENT);
        // One of each kind.
        let body = (part(3) / tenants / 2).min(BODY);
        let reader = 2 * page_size * EVENT;
        let beside = (part(9) / tenants).saturating_sub(PAGES * page) / reader / STREAMS;
        Memory {
            max,
            tenants,
            cache: part(2).min(CACHE),
            ids: (part(3) / tenants / ID).min(IDS),
            page_size: NonZeroU32::new(page_size as u32).unwrap_or(NonZeroU32::MIN),
            pages: Divided::new(part(9), tenants, PAGES * page, page),
            body,
            packing: Divided::new(part(3), tenants, 2 * BODY, body),
            flying: Divided::new(part(3), tenants, FLYING, body),
            waiting: Divided::new(part(2), tenants, WAITING, body),
            shared: Divided::new(part(10), tenants, SHARED, 0),
            readers: beside.clamp(1, READERS),
            texts: Texts::default(),
            emptied: Emptied::default(),
            emptied_bodies: EmptiedBodies::default(),
        }
    }

    /// Makes room for tenants that come while others run: what they get is taken
    /// from what is common. Whoever runs keeps what it has.
    pub fn seat(&mut self, tenants: usize) {
        let Some(more) = tenants.checked_sub(self.tenants).filter(|more| *more > 0) else { return };
        let as_divided = Memory::of(self.max.max(Memory::least(tenants)), tenants);
        self.pages.seat(more, &as_divided.pages);
        self.packing.seat(more, &as_divided.packing);
        self.flying.seat(more, &as_divided.flying);
        self.waiting.seat(more, &as_divided.waiting);
        self.shared.seat(more, &as_divided.shared);
        (self.ids, self.body, self.readers) = (as_divided.ids, as_divided.body, as_divided.readers);
        self.page_size = as_divided.page_size;
        self.tenants = tenants;
    }

    /// What the process may take unless configured: enough for so many tenants.
    pub fn by_default(tenants: usize) -> usize {
        MAX_MEMORY.max(Memory::least(tenants))
    }

    /// The least with which so many tenants can be run.
    pub fn least(tenants: usize) -> usize {
        Memory::fixed(tenants.max(1)) + LEAST.max(tenants * EACH)
    }

    /// What is not divided.
    fn fixed(tenants: usize) -> usize {
        BASE + tenants * TASKS
    }

    /// Bytes for the state's cache.
    pub fn cache(&self) -> u64 {
        self.cache as u64
    }

    /// How much one tenant may have in flight in its pipeline.
    pub fn limits(&self) -> Limits {
        Limits { bytes: self.pages.own + self.pages.most, recent: self.ids, ..Limits::default() }
    }

    /// How many readers a stream's past has, unless configured: as many as an even part
    /// of the memory for pages would have room for, beside those on their way, with a
    /// page in the buffers of the connection and of the network each.
    pub fn readers(&self) -> usize {
        self.readers
    }

    /// How many events a page has at most.
    pub fn page_size(&self) -> NonZeroU32 {
        self.page_size
    }

    /// Memory of one tenant's pipeline.
    pub fn room(&self) -> Room {
        Room { pages: self.pages.allowance(), shared: self.shared.allowance(), emptied: self.emptied.clone() }
    }

    /// Memory for the texts of pages, of all tenants.
    pub fn texts(&self) -> Texts {
        self.texts.clone()
    }

    /// How the request bodies of one tenant are packed.
    pub fn packing(&self) -> Packing {
        Packing::new(self.emptied_bodies.clone(), self.body, self.packing.allowance())
    }

    /// Bytes of one tenant's request bodies in flight.
    pub fn flying(&self) -> Allowance {
        self.flying.allowance()
    }

    /// Bytes of one tenant's request bodies that wait.
    pub fn waiting(&self) -> Allowance {
        self.waiting.allowance()
    }

    /// Keeps uploads so small that dedup remembers all that is not committed yet:
    /// two of them, and as much as one again in pages on their way.
    pub fn keep(&self, limits: UploadLimits) -> UploadLimits {
        UploadLimits { events: limits.events.min(self.ids as u64 * 2 / 5).max(1), ..limits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::jupiterone::JupiterOneSettings;

    #[test]
    fn one_tenant_has_all_that_it_can_use_of_what_is_there_unless_configured() {
        let memory = Memory::divide(MAX_MEMORY, 1).unwrap();
        assert_eq!((memory.ids, memory.page_size()), (IDS, PAGE_SIZE));
        assert_eq!((memory.pages.own, memory.body), (PAGES * weight(1000 * EVENT), BODY));
        assert_eq!((memory.flying.own, memory.waiting.own), (FLYING, WAITING));
        assert_eq!(memory.keep(JupiterOneSettings::LIMITS), JupiterOneSettings::LIMITS);
    }

    #[test]
    fn many_tenants_have_smaller_pages_and_bodies_and_room_for_one_of_each_of_their_own() {
        let mut before = (PAGE_SIZE.get() as usize, BODY);
        for tenants in [1, 2, 7, 20, 50, 100, 200, 1000] {
            let memory = Memory::divide(Memory::by_default(tenants), tenants).unwrap();
            let (page, body) = (memory.page_size().get() as usize, memory.body);
            assert!(memory.pages.own >= weight(page * EVENT), "{tenants} tenants, {page} events");
            assert!(
                memory.flying.own >= body && memory.waiting.own >= body.min(WAITING / 2),
                "{tenants} tenants"
            );
            assert!(page <= before.0 && page >= 75, "{tenants} tenants: {page} events");
            assert!(body <= before.1 && body >= 32 * KIB, "{tenants} tenants: {body}");
            assert!(memory.keep(JupiterOneSettings::LIMITS).events >= 10 * page as u64, "{tenants} tenants");
            before = (page, body);
        }
        assert!(Memory::divide(MAX_MEMORY, 20).unwrap().page_size().get() == 1000);
    }

    #[test]
    fn what_is_handed_out_never_adds_up_to_more_than_there_is() {
        for tenants in [1, 2, 3, 7, 20, 50, 200, 1000] {
            for max in [Memory::least(tenants), 2 * Memory::least(tenants), MAX_MEMORY, 1 << 30, 8 << 30] {
                let Ok(memory) = Memory::divide(max, tenants) else { continue };
                let Memory { pages, packing, flying, waiting, shared, .. } = &memory;
                let parts = [pages, packing, flying, waiting, shared]
                    .map(|part| part.common.bytes() + tenants * part.own);
                let ids = tenants * memory.ids * ID;
                let sum = Memory::fixed(tenants) + memory.cache + ids + parts.iter().sum::<usize>();
                assert!(sum <= max, "{tenants} tenants, {max} bytes: {sum}");
            }
        }
    }

    #[test]
    fn tenants_that_come_later_get_what_is_theirs_out_of_what_is_shared() {
        for (first, later) in [(1, 2), (1, 30), (3, 4), (20, 25), (20, 200), (200, 1000)] {
            let mut memory = Memory::divide(1 << 30, first).unwrap();
            let parts = |memory: &Memory| {
                [&memory.pages, &memory.packing, &memory.flying, &memory.waiting, &memory.shared]
                    .map(|part| (part.common.left(), part.own))
            };
            let before = parts(&memory);
            memory.seat(later);
            for ((common, own), (left, new)) in before.into_iter().zip(parts(&memory)) {
                let there = common + first * own;
                let given = left + first * own + (later - first) * new;
                assert!(given <= there / 4 * 5, "{first} and {later}: {given} of {there}");
                assert!(
                    new == own || new < own && new * 7 > there / later,
                    "{first} and {later}: {new} each of {there}"
                );
            }
            // Fewer make no difference.
            let left = memory.pages.common.left();
            memory.seat(first);
            assert_eq!(memory.pages.common.left(), left);
        }
    }

    #[test]
    fn there_are_as_many_readers_as_answers_have_room_beside_the_pages() {
        let readers = |max, tenants| Memory::divide(max, tenants).unwrap().readers();
        assert_eq!(readers(MAX_MEMORY, 1), READERS);
        assert_eq!(readers(4 << 30, 20), READERS);
        assert_eq!((readers(MAX_MEMORY, 3), readers(MAX_MEMORY, 20)), (3, 1));
        assert_eq!(readers(Memory::least(1000), 1000), 1);
        for tenants in 1..100 {
            let memory = Memory::divide(1 << 30, tenants).unwrap();
            let beside = if memory.readers() > 1 { memory.readers() * STREAMS } else { 0 };
            let text = memory.page_size().get() as usize * EVENT;
            let even = memory.pages.own + memory.pages.common.bytes() / tenants;
            assert!(beside * 2 * text + weight(text) <= even, "{tenants} tenants");
        }
    }

    #[test]
    fn too_little_is_refused_with_what_is_needed() {
        for tenants in [1, 20, 1000] {
            let least = Memory::least(tenants);
            assert!(Memory::divide(least, tenants).is_ok());
            let refused = Memory::divide(least - 1, tenants).unwrap_err();
            assert_eq!((refused.least, refused.tenants), (least, tenants));
        }
        let text = Memory::divide(10 << 20, 20).unwrap_err().to_string();
        assert_eq!(text, "10 MB is too little for 20 tenants: at least 75 MB is needed");
    }
}
