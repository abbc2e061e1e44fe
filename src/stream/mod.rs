//! What an event stream is. One file here per stream, and one line below.

pub mod signinattempts;

pub mod itemusages;

pub mod auditevents;

mod parts;

mod wire;

mod texts;

mod reader;

mod time;

mod decode;

mod told;

mod write;

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;

use opgraph_state::{Fingerprint, UnixMs};
use serde::Deserialize;
use serde_json::value::RawValue;

pub use decode::{Events, Item, Malformed, Read, Rejected, read_events, read_page, read_page_of};
pub use texts::Texts;

use self::{
    reader::{Reader, Unusual},
    told::Told,
    wire::Members,
};
use crate::graph::{Records, Text};

/// One kind of 1Password event as it is on the wire, and what it becomes.
///
/// Everything is optional on the wire (no schema of the API has a `required`
/// list), unknown fields are skipped, and enumerations are plain strings.
trait Event<'a>: Members<'a> + Deserialize<'a> {
    /// What identifies the event within its stream. Without it, it cannot be mapped.
    fn uuid(&self) -> Option<Text<'a>>;

    /// When it happened, RFC 3339.
    fn timestamp(&self) -> Option<Text<'a>>;

    /// Appends the records that the event becomes. Pure: the same event gives
    /// the same records with the same keys, in any process and any order; but
    /// what `told` knows that the page has told is not written again.
    fn map(&self, origin: &Origin<'a>, told: &mut Told<'a>, records: &mut Records);
}

/// What mapping knows of an event beside its fields.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'e> {
    /// The event's uuid; never empty.
    pub uuid: Text<'e>,
    /// When it happened, if that could be read.
    pub at: Option<UnixMs>,
    /// The event as received, when the graph is to keep it.
    pub raw: Option<&'e str>,
    /// The tenant's name, when every entity is to carry it.
    pub account_name: Option<&'e str>,
}

/// What a tenant's configuration says about mapping.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    /// Keep the event as received on its entity (`_rawData`).
    pub raw_data: bool,
    /// The tag `tag.AccountName` of every entity.
    pub account_name: Option<String>,
}

macro_rules! streams {
    ($($(#[$doc:meta])* $variant:ident $name:literal $module:ident::$event:ident;)*) => {
        /// The event streams.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Stream { $($(#[$doc])* $variant,)* }

        impl Stream {
            /// Every stream.
            pub const ALL: &[Stream] = &[$(Stream::$variant),*];

            /// The stream's name: in the endpoint's path, among a token's
            /// features, in the configuration, the state, metrics and logs.
            pub const fn name(self) -> &'static str {
                match self { $(Stream::$variant => $name),* }
            }

            /// Finds a stream by its name.
            pub fn named(name: &str) -> Option<Stream> {
                Stream::ALL.iter().copied().find(|stream| stream.name() == name)
            }
        }

        /// The events of one page, borrowed from the page's text.
        #[derive(Debug)]
        pub enum Decoded<'a> { $($(#[$doc])* $variant(Vec<Item<'a, $module::$event<'a>>>),)* }

        /// Memory of lists of events, each empty.
        #[derive(Debug, Default)]
        struct Lists { $($module: Vec<Vec<Item<'static, $module::$event<'static>>>>,)* }

        impl<'a> Decoded<'a> {
            /// Decodes each item on its own; one that cannot be mapped goes to `rejected`.
            fn read(stream: Stream, items: &[&'a RawValue], rejected: &mut Vec<Rejected>) -> Decoded<'a> {
                match stream { $(Stream::$variant => Decoded::$variant(decode::items(items, rejected)),)* }
            }

            /// Decodes the items where the reader stands, likewise; into memory from `home`, if it has some.
            fn read_on(
                stream: Stream,
                reader: &mut Reader<'a>,
                home: Option<&Texts>,
                rejected: &mut Vec<Rejected>,
            ) -> Result<Decoded<'a>, Unusual> {
                match stream {
                    $(Stream::$variant => {
                        let list = home.and_then(|home| home.lists().$module.pop());
                        let list = list.map(texts::emptied).unwrap_or_default();
                        decode::items_on(reader, list, rejected).map(Decoded::$variant)
                    })*
                }
            }

            /// Takes out all events, and gives `home` the memory of their list.
            fn empty(&mut self, home: &Texts) {
                match self {
                    $(Decoded::$variant(items) => {
                        let (mut lists, items) = (home.lists(), std::mem::take(items));
                        if texts::fits(&items) && lists.$module.len() < texts::MOST_LISTS {
                            lists.$module.push(texts::emptied(items));
                        }
                    })*
                }
            }

            /// How many events there are.
            pub fn len(&self) -> usize {
                match self { $(Decoded::$variant(items) => items.len(),)* }
            }

            /// Whether there is none.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Keeps the events whose fingerprint passes, in order.
            pub fn retain(&mut self, mut keep: impl FnMut(Fingerprint) -> bool) {
                match self { $(Decoded::$variant(items) => items.retain(|item| keep(item.id)),)* }
            }

            /// Keeps the events whose time passes, in order.
            pub fn retain_at(&mut self, mut keep: impl FnMut(Option<UnixMs>) -> bool) {
                match self { $(Decoded::$variant(items) => items.retain(|item| keep(item.at)),)* }
            }

            /// The newest event time that could be read.
            pub fn newest(&self) -> Option<UnixMs> {
                match self { $(Decoded::$variant(items) => items.iter().filter_map(|item| item.at).max(),)* }
            }

            /// The event time in the middle of those that could be read.
            pub fn middle(&self) -> Option<UnixMs> {
                let mut times: Vec<UnixMs> = match self {
                    $(Decoded::$variant(items) => items.iter().filter_map(|item| item.at).collect(),)*
                };
                let middle = times.len() / 2;
                (!times.is_empty()).then(|| *times.select_nth_unstable(middle).1)
            }

            /// The oldest event time that could be read.
            pub fn oldest(&self) -> Option<UnixMs> {
                match self { $(Decoded::$variant(items) => items.iter().filter_map(|item| item.at).min(),)* }
            }

            /// Appends the records of every event, each shared one once as
            /// long as it stays the same.
            pub fn map(&self, mapping: &Mapping, records: &mut Records) {
                let mut told = Told::default();
                match self {
                    $(Decoded::$variant(items) => for item in items {
                        decode::map(item, mapping, &mut told, records)
                    },)*
                }
            }
        }
    };
}

streams! {
    /// Attempts to sign in, successful or not.
    SignInAttempts "signinattempts" signinattempts::SignInAttempt;
    /// Uses of items in shared vaults.
    ItemUsages "itemusages" itemusages::ItemUsage;
    /// What was changed in the account, and by whom.
    AuditEvents "auditevents" auditevents::AuditEvent;
}
