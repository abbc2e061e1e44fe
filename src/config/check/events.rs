//! `[tenant.events]`: where events come from.

use std::{num::NonZeroU32, ops::RangeInclusive};

use super::Check;
use crate::{
    config::{
        EVENTS_URL, Events,
        error::nearest,
        tables::{EventsTable, Given, LimitsTable},
    },
    http::{
        Limits,
        hosts::{self, Known},
    },
    stream::Stream,
};

/// How many readers a stream's past may have: three streams of so many, each with
/// a request of ten seconds in flight, are what 1Password allows.
const MOST_READERS: RangeInclusive<i64> = 1..=32;

impl Check<'_, '_> {
    pub(super) fn events(&mut self, given: &Given<EventsTable>, key: &str) -> Option<Events> {
        let table = &given.value;
        let base_url = table.base_url.as_ref().map(|url| {
            self.base_url(url, &format!("{key}.base_url"), Known::Named(hosts::ONEPASSWORD), EVENTS_URL)
        });
        let token = self.required(
            table.token.as_ref(),
            given,
            key,
            "token",
            "say where it is read from, as in `token = { env = \"OP_EVENTS_TOKEN\" }`",
        );
        let token = token.and_then(|token| self.token(token, &format!("{key}.token"), "OP_EVENTS_TOKEN"));
        let streams = table.streams.as_ref().map(|streams| self.streams(streams, &format!("{key}.streams")));
        let readers = match &table.readers {
            None => Some(None),
            Some(Given { value, .. }) if MOST_READERS.contains(value) => {
                usize::try_from(*value).ok().map(Some)
            }
            Some(Given { at, .. }) => self.refuse(
                at,
                &format!("{key}.readers"),
                "it is out of range",
                "write 1 to 32, or leave it out",
            ),
        };
        let limits = self.limits(table.limits.as_ref(), &format!("{key}.limits"));
        Some(Events {
            base_url: base_url.map_or(Some(None), |made| made.map(Some))?,
            token: token?,
            streams: streams.map_or(Some(None), |made| made.map(Some))?,
            readers: readers?,
            limits: limits?,
        })
    }

    fn streams(&mut self, given: &Given<Vec<Given<String>>>, key: &str) -> Option<Vec<Stream>> {
        let names = || Stream::ALL.iter().map(|stream| stream.name());
        let mut streams = Vec::new();
        let mut all = true;
        for (n, Given { value: name, at }) in given.value.iter().enumerate() {
            let key = format!("{key}[{n}]");
            match Stream::named(name) {
                Some(stream) if streams.contains(&stream) => {
                    self.problems.add(
                        at,
                        &key,
                        format!("`{name}` is named twice"),
                        "name it once".to_owned(),
                    );
                }
                Some(stream) => streams.push(stream),
                None => {
                    all = false;
                    let hint = match nearest(name, names()) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => format!("the streams are {}", names().collect::<Vec<_>>().join(", ")),
                    };
                    self.problems.add(
                        at,
                        &key,
                        format!("there is no stream `{}`", name.escape_debug()),
                        hint,
                    );
                }
            }
        }
        if given.value.is_empty() {
            let hint = "name a stream, or leave `streams` out to read all that the token may read";
            return self.refuse(&given.at, key, "no stream is named", hint);
        }
        all.then_some(streams)
    }

    fn limits(&mut self, given: Option<&Given<LimitsTable>>, key: &str) -> Option<Limits> {
        let documented = Limits::default();
        let Some(Given { value: table, .. }) = given else { return Some(documented) };
        let mut limit = |given: &Option<Given<i64>>, name: &str, default: NonZeroU32| {
            let Some(Given { value, at }) = given else { return Some(default) };
            let read = u32::try_from(*value).ok().and_then(NonZeroU32::new);
            read.or_else(|| {
                let what = format!("`{value}` is no number of requests");
                self.refuse(
                    at,
                    &format!("{key}.{name}"),
                    what,
                    &format!("write 1 or more; 1Password allows {default}"),
                )
            })
        };
        let per_minute = limit(&table.per_minute, "per_minute", documented.per_minute);
        let per_hour = limit(&table.per_hour, "per_hour", documented.per_hour);
        Some(Limits { per_minute: per_minute?, per_hour: per_hour? })
    }
}
