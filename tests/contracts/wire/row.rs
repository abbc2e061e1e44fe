//! A row of the table: a fault, where it may strike, and what must come of it.

use std::time::Duration;

use super::Place;
use crate::support::{
    answers::without_auditevents,
    chaos::{End, Fault, Rule},
};

/// One line of the table.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) name: &'static str,
    fault: Fault,
    /// How many requests are spoilt.
    pub(super) times: u64,
    expect: Expect,
    /// What the expectation is at introspection instead.
    at_introspection: Option<&'static str>,
    only: Option<Vec<Place>>,
    /// How long nobody asks this again.
    pub(super) wait: Duration,
    /// Whether nobody asks anything meanwhile.
    pub(super) everybody_waits: bool,
    /// Whether the client has little time.
    pub(super) hasty: bool,
    /// Whether it may take fewer requests than expected.
    pub(super) about: bool,
    everywhere: bool,
    lost_feature: bool,
    cursors: bool,
}

/// What must come of a fault.
#[derive(Clone, Debug)]
pub(super) enum Expect {
    /// The run ends exact.
    Exact {
        /// Requests of that kind that it takes more.
        more: u64,
    },
    /// The stream ends, or at introspection the tenant; once the fault is gone, a second run ends exact.
    Ends(Ends),
}

/// How a stream or tenant ends.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    pub(super) kind: Kind,
    /// What the hint says.
    pub(super) hint: &'static str,
    /// How many requests were spoilt; `None` if that is not the point.
    pub(super) asked: Option<u64>,
    /// Whether the other streams are hit as well.
    pub(super) everywhere: bool,
}

/// Which remedy; it decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Credentials,
    Configuration,
    Other,
    Park,
}

impl Row {
    fn new(name: &'static str, fault: Fault, times: u64, expect: Expect) -> Row {
        Row {
            name,
            fault,
            times,
            expect,
            at_introspection: None,
            only: None,
            wait: Duration::ZERO,
            everybody_waits: false,
            hasty: false,
            about: false,
            everywhere: false,
            lost_feature: false,
            cursors: false,
        }
    }

    /// It passes, and costs a request for each time it happens.
    pub(super) fn passes(name: &'static str, fault: Fault, times: u64) -> Row {
        Row::new(name, fault, times, Expect::Exact { more: times })
    }

    /// The answer is as good as any other.
    pub(super) fn taken(name: &'static str, fault: Fault) -> Row {
        Row::new(name, fault, 1, Expect::Exact { more: 0 })
    }

    /// It ends what asked, at once.
    pub(super) fn ends(name: &'static str, fault: Fault, kind: Kind, hint: &'static str) -> Row {
        let ends = Ends { kind, hint, asked: Some(1), everywhere: false };
        Row::new(name, fault, u64::MAX, Expect::Ends(ends))
    }

    /// It ends what asked, after five times.
    pub(super) fn ends_at_last(
        name: &'static str,
        fault: Fault,
        hint: &'static str,
        at_introspection: &'static str,
    ) -> Row {
        let ends = Ends { kind: Kind::Other, hint, asked: Some(5), everywhere: false };
        let row = Row::new(name, fault, u64::MAX, Expect::Ends(ends));
        Row { at_introspection: Some(at_introspection), ..row }
    }

    /// Pages are read again from the beginning for each time it happens to a cursor.
    pub(super) fn rereads(name: &'static str, fault: Fault, times: u64) -> Row {
        // A rewind is a request without a cursor, and all that follow it.
        let row = Row::new(name, fault, times, Expect::Exact { more: 20 * times });
        Row { cursors: true, about: true, only: Some(LATER.to_vec()), ..row }
    }

    /// Only requests that carry a cursor are spoilt; the first three times, that leads to others.
    pub(super) fn refuses_cursors(mut self) -> Row {
        let Expect::Ends(ends) = &mut self.expect else { unreachable!() };
        ends.asked = Some(4);
        Row { cursors: true, only: Some(LATER.to_vec()), ..self }
    }

    /// From the last page, a rewind leads to a page without a cursor that may be the last one again.
    pub(super) fn not_at_the_last(self) -> Row {
        Row { only: Some(vec![Place::Middle, Place::Poll]), ..self }
    }

    pub(super) fn waits(self, wait: Duration) -> Row {
        Row { wait, ..self }
    }

    pub(super) fn everybody_waits(self, wait: Duration) -> Row {
        Row { wait, everybody_waits: true, ..self }
    }

    /// The client's time for a request is short; a slow machine may need a few more of them.
    pub(super) fn hasty(self) -> Row {
        Row { hasty: true, about: true, expect: Expect::Exact { more: self.times + 20 }, ..self }
    }

    pub(super) fn only(self, place: Place) -> Row {
        Row { only: Some(vec![place]), ..self }
    }

    pub(super) fn pages_only(self) -> Row {
        Row { only: Some(Place::PAGES.to_vec()), ..self }
    }

    /// From there on nothing else is answered either.
    pub(super) fn everywhere(mut self) -> Row {
        let Expect::Ends(ends) = &mut self.expect else { unreachable!() };
        (ends.asked, ends.everywhere) = (None, true);
        Row { everywhere: true, ..self }
    }

    /// And whoever asks is told that the token may not read the stream.
    pub(super) fn and_lost_feature(self) -> Row {
        Row { lost_feature: true, ..self.pages_only() }
    }

    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        let all = [Place::Introspection].into_iter().chain(Place::PAGES);
        all.filter(|place| self.only.as_ref().is_none_or(|only| only.contains(place)))
    }

    pub(super) fn expect(&self, place: Place) -> Expect {
        match (&self.expect, self.at_introspection) {
            (Expect::Ends(ends), Some(hint)) if place == Place::Introspection => {
                Expect::Ends(Ends { hint, ..ends.clone() })
            }
            (expect, _) => expect.clone(),
        }
    }

    /// What the proxy has to do, when reading takes `calm` requests without it.
    pub(super) fn rules(&self, place: Place, calm: u64, fill_in: impl Fn(&Fault) -> Fault) -> Vec<Rule> {
        let (fault, times, everywhere) = (fill_in(&self.fault), self.times, self.everywhere);
        let nth = place.nth(calm);
        // The first request carries no cursor.
        let (holding, nth) = if self.cursors { ("\"cursor\"", nth - 1) } else { ("", nth) };
        let mut rules = vec![Rule { at: place.path(), holding, nth, times, everywhere, fault }];
        if self.lost_feature {
            let fault = Fault::Change(without_auditevents, End::Keep);
            let at = Place::Introspection.path();
            rules.push(Rule { at, holding: "", nth: 2, times: u64::MAX, everywhere: false, fault });
        }
        rules
    }
}

const LATER: [Place; 3] = [Place::Middle, Place::Last, Place::Poll];
