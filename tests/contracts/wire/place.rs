//! Where in a run a fault strikes.

/// One question of a run. The pages are those of `auditevents`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// What may the token do?
    Introspection,
    /// The page from the start time on.
    First,
    /// A page from a cursor.
    Middle,
    /// The page after which nothing more is waiting.
    Last,
    /// Asking again some time later.
    Poll,
}

impl Place {
    pub(super) const PAGES: [Place; 4] = [Place::First, Place::Middle, Place::Last, Place::Poll];

    /// How the path of its request ends.
    pub(super) fn path(self) -> &'static str {
        match self {
            Place::Introspection => "/auth/introspect",
            _ => "/auditevents",
        }
    }

    /// Which request to that path it is, counted from 1, when reading takes `calm` of them.
    pub(super) fn nth(self, calm: u64) -> u64 {
        match self {
            Place::Introspection | Place::First => 1,
            Place::Middle => calm / 2 + 1,
            Place::Last => calm,
            // After a poll that found nothing.
            Place::Poll => calm + 2,
        }
    }
}
