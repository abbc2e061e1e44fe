//! How much memory the process may take, and how it is divided.
//!
//! Two kinds of ceiling. What holds for one tenant, however much there is:
//! no tenant is faster with more. And what all tenants have between them, so
//! that many of them do not multiply it; each has a part of that which nobody
//! else can take ([`crate::allowance`]).

use crate::{
    allowance::{Allowance, Pool},
    pipeline::{Limits, READERS},
    sink::UploadLimits,
    stream::Texts,
};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// What the process may take, unless configured.
pub const MAX_MEMORY: usize = 256 * MIB;

/// Code, threads with their stacks, the database, what the allocator keeps,
/// connections, and the buffers of the stages that are at work: what there is
/// at full speed with every ceiling at its lowest (measured: docs/PERFORMANCE.md).
const BASE: usize = 56 * MIB;
/// The buffers of another tenant's stages while they are at work (half-full
/// bodies with their compressors, a page on its way from one buffer to the
/// next), and how many tenants are at work at one moment on the cores there are.
const AT_WORK: (usize, usize) = (4 * MIB, 16);
/// A tenant that is only polled (measured: docs/PERFORMANCE.md).
const IDLE: usize = 40 * KIB;
/// The least there must be to divide: with less, a page would travel alone.
const LEAST: usize = 16 * MIB;

/// Bytes that dedup needs for an id.
const ID: usize = 21;
/// Streams of a tenant.
const STREAMS: usize = 3;
/// Ids of a stream that dedup remembers, at most and at least.
const IDS: (usize, usize) = (262_144, 16_384);
/// Bytes of pages that one tenant may have in flight: a full one, mapped, beside
/// those that the fetchers hold. More make nothing faster (docs/PERFORMANCE.md).
const PAGES: usize = 3 * MIB;
/// The text of a full page: 1,000 events of 577 bytes (docs/PERFORMANCE.md).
const TEXT: usize = 577_000;
/// Bytes of request bodies that one tenant may have in flight.
const FLYING: usize = 4 * MIB;
/// The least that a request body is let grow to: a request costs as much as packing
/// a hundred events does.
const BODY: usize = 128 * KIB;
/// Bytes of request bodies of one tenant that may wait for a job.
const WAITING: usize = 2 * MIB;
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
/// | program, with one tenant at work       |                 |                    | 56 MB       |
/// | each of 15 more tenants at work        |                 |                    | 4 MB        |
/// | a tenant that is only polled           |                 |                    | 40 KB       |
/// | then, of what is left:                 |                 |                    |             |
/// | the state's cache                      | 1/8             |                    | at most 16 MB |
/// | ids that dedup remembers               | 3/8             | 16.5 MB            | an even part, at least 1 MB |
/// | pages between the fetchers and the sink | 1/4            | 3 MB               | half of an even part |
/// | request bodies in flight               | 1/8             | 4 MB               | half of an even part |
/// | request bodies that wait for a job     | 1/8             | 2 MB               | half of an even part |
#[derive(Clone, Debug)]
pub struct Memory {
    max: usize,
    tenants: usize,
    cache: usize,
    ids: usize,
    pages: Divided,
    flying: Divided,
    waiting: Divided,
    body: usize,
    readers: usize,
    texts: Texts,
}

/// A kind of memory that all tenants share.
#[derive(Clone, Debug)]
struct Divided {
    common: Pool,
    /// What is each tenant's own.
    own: usize,
    /// What a tenant may have of what is common.
    most: usize,
}

impl Divided {
    /// Divides so many bytes; a tenant can do nothing with more than `enough`.
    fn new(bytes: usize, tenants: usize, enough: usize) -> Divided {
        let even = bytes / tenants;
        if even >= enough {
            // Nobody has a use for the rest, until more tenants come.
            return Divided { common: Pool::new(bytes - enough * tenants), own: enough, most: 0 };
        }
        let own = even / 2;
        Divided { common: Pool::new(bytes - own * tenants), own, most: enough - own }
    }

    /// So many more tenants get what is their own out of what is common, which
    /// those that were there go on sharing. Where that is little, they get less,
    /// but never so little that they could not work: at worst there is a quarter
    /// more than was divided, until the next start.
    fn seat(&mut self, more: usize, as_divided: &Divided) {
        let least = if as_divided.most == 0 { as_divided.own } else { as_divided.own / 2 };
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
        Memory {
            max,
            tenants,
            cache: (left / 8).min(CACHE),
            ids: (left * 3 / 8 / tenants / STREAMS / ID).clamp(IDS.1, IDS.0),
            pages: Divided::new(left / 4, tenants, PAGES),
            flying: Divided::new(left / 8, tenants, FLYING),
            waiting: Divided::new(left / 8, tenants, WAITING),
            body: (left / 8 / tenants).max(BODY),
            readers: ((left / 4 / tenants).saturating_sub(PAGES) / STREAMS / TEXT).clamp(1, READERS),
            texts: Texts::default(),
        }
    }

    /// Makes room for tenants that come while others run: what they get is taken
    /// from what is common. Whoever runs keeps what it has.
    pub fn seat(&mut self, tenants: usize) {
        let Some(more) = tenants.checked_sub(self.tenants).filter(|more| *more > 0) else { return };
        let as_divided = Memory::of(self.max.max(Memory::least(tenants)), tenants);
        self.pages.seat(more, &as_divided.pages);
        self.flying.seat(more, &as_divided.flying);
        self.waiting.seat(more, &as_divided.waiting);
        (self.ids, self.body, self.readers) = (as_divided.ids, as_divided.body, as_divided.readers);
        self.tenants = tenants;
    }

    /// What the process may take unless configured: enough for so many tenants.
    pub fn by_default(tenants: usize) -> usize {
        MAX_MEMORY.max(Memory::least(tenants))
    }

    /// The least with which so many tenants can be run.
    pub fn least(tenants: usize) -> usize {
        Memory::fixed(tenants.max(1)) + LEAST
    }

    /// What is not divided.
    fn fixed(tenants: usize) -> usize {
        BASE + tenants * IDLE + (tenants.min(AT_WORK.1) - 1) * AT_WORK.0
    }

    /// Bytes for the state's cache.
    pub fn cache(&self) -> u64 {
        self.cache as u64
    }

    /// How much one tenant may have in flight in its pipeline.
    pub fn limits(&self) -> Limits {
        Limits { bytes: self.pages.own + self.pages.most, recent: self.ids, ..Limits::default() }
    }

    /// How many readers a stream's past has, unless configured. Each may hold a page
    /// beyond the allowance: as many as an even part of the memory for pages has room for.
    pub fn readers(&self) -> usize {
        self.readers
    }

    /// Bytes of one tenant's pages between the fetchers and the sink.
    pub fn pages(&self) -> Allowance {
        self.pages.allowance()
    }

    /// Memory for the texts of pages, of all tenants.
    pub fn texts(&self) -> Texts {
        self.texts.clone()
    }

    /// Bytes that a request body may grow to: one that is not full yet is no smaller
    /// in memory than one in flight.
    pub fn body(&self) -> usize {
        self.body
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
        assert_eq!((memory.ids, memory.pages.own), (IDS.0, PAGES));
        assert_eq!((memory.flying.own, memory.waiting.own), (FLYING, WAITING));
        assert_eq!(memory.keep(JupiterOneSettings::LIMITS), JupiterOneSettings::LIMITS);
        assert!(memory.body() > 1_000_000);
        let shared = Memory::divide(MAX_MEMORY, 100).unwrap();
        assert_eq!(shared.keep(JupiterOneSettings::LIMITS).events, IDS.1 as u64 * 2 / 5);
        assert!((BODY..1_000_000).contains(&shared.body()));
    }

    #[test]
    fn what_is_handed_out_never_adds_up_to_more_than_there_is() {
        for tenants in [1, 2, 3, 7, 20, 50, 200, 1000] {
            for max in [Memory::least(tenants), 2 * Memory::least(tenants), MAX_MEMORY, 1 << 30, 8 << 30] {
                let Ok(memory) = Memory::divide(max, tenants) else { continue };
                let all = |part: &Divided| part.common.bytes() + tenants * part.own;
                let parts = all(&memory.pages) + all(&memory.flying) + all(&memory.waiting);
                let ids = if memory.ids == IDS.1 { 0 } else { tenants * STREAMS * memory.ids * ID };
                let sum = Memory::fixed(tenants) + memory.cache + ids + parts;
                assert!(sum <= max, "{tenants} tenants, {max} bytes: {sum}");
            }
        }
    }

    #[test]
    fn tenants_that_come_later_get_what_is_theirs_out_of_what_is_shared() {
        for (first, later) in [(1, 2), (1, 30), (3, 4), (20, 25), (20, 200), (200, 1000)] {
            let mut memory = Memory::divide(1 << 30, first).unwrap();
            let parts = |memory: &Memory| {
                [&memory.pages, &memory.flying, &memory.waiting].map(|part| (part.common.left(), part.own))
            };
            let before = parts(&memory);
            memory.seat(later);
            for ((common, own), (left, new)) in before.into_iter().zip(parts(&memory)) {
                let there = common + first * own;
                let given = left + first * own + (later - first) * new;
                assert!(given <= there / 4 * 5, "{first} and {later}: {given} of {there}");
                assert!(
                    new == own || new < own && new * 5 > there / later,
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
    fn pages_beyond_the_allowance_have_room_beside_it() {
        let readers = |max, tenants| Memory::divide(max, tenants).unwrap().readers();
        assert_eq!(readers(MAX_MEMORY, 1), READERS);
        assert_eq!(readers(2 << 30, 20), READERS);
        assert_eq!((readers(MAX_MEMORY, 6), readers(MAX_MEMORY, 20)), (2, 1));
        assert_eq!(readers(Memory::least(1000), 1000), 1);
        for tenants in 1..100 {
            let memory = Memory::divide(1 << 30, tenants).unwrap();
            let beyond = if memory.readers() > 1 { memory.readers() * STREAMS * TEXT } else { 0 };
            let even = memory.pages.own + memory.pages.common.bytes() / tenants;
            assert!(beyond + memory.pages.own <= even, "{tenants} tenants");
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
        assert_eq!(text, "10 MB is too little for 20 tenants: at least 133 MB is needed");
    }
}
