//! `[tenant.connect]`: where vaults and items are listed.

use std::{ops::RangeInclusive, time::Duration};

use super::Check;
use crate::{
    config::{
        CONNECT_INTERVAL, CONNECTIONS, Connect,
        tables::{ConnectTable, DurationText, Given},
        values,
    },
    http::hosts::Known,
};

/// How often vaults are listed. The last is a year: what is longer is a slip.
const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(365 * 24 * 3600);

/// How many requests may be in flight; the server is one small program.
const MOST_CONNECTIONS: RangeInclusive<i64> = 1..=64;

/// What a base URL of Connect looks like.
const EXAMPLE: &str = "http://127.0.0.1:8080";

impl Check<'_, '_> {
    pub(super) fn connect(&mut self, given: &Given<ConnectTable>, key: &str) -> Option<Connect> {
        let table = &given.value;
        let hint = "write where your Connect server is, as in `base_url = \"http://127.0.0.1:8080\"`";
        let base_url = self.required(table.base_url.as_ref(), given, key, "base_url", hint);
        let base_url =
            base_url.and_then(|url| self.base_url(url, &format!("{key}.base_url"), Known::Own, EXAMPLE));
        let token = self.required(
            table.token.as_ref(),
            given,
            key,
            "token",
            "say where it is read from, as in `token = { env = \"OP_CONNECT_TOKEN\" }`",
        );
        let token = token.and_then(|token| self.token(token, &format!("{key}.token"), "OP_CONNECT_TOKEN"));
        let interval = self.interval(table.interval.as_ref(), &format!("{key}.interval"));
        let connections = match &table.connections {
            None => Some(CONNECTIONS),
            Some(Given { value, .. }) if MOST_CONNECTIONS.contains(value) => usize::try_from(*value).ok(),
            Some(Given { at, .. }) => self.refuse(
                at,
                &format!("{key}.connections"),
                "it is out of range",
                "write 1 to 64; 4 is usual",
            ),
        };
        Some(Connect {
            base_url: base_url?,
            token: token?,
            interval: interval?,
            item_details: table.item_details.unwrap_or(true),
            connections: connections?,
        })
    }

    fn interval(&mut self, given: Option<&Given<DurationText>>, key: &str) -> Option<Duration> {
        let Some(Given { value: DurationText(text), at }) = given else { return Some(CONNECT_INTERVAL) };
        match values::duration(text) {
            Ok(interval) if INTERVALS.contains(&interval) => Some(interval),
            Ok(_) => self.refuse(at, key, "it is out of range", "write `10s` or more; `15m` is usual"),
            Err(what) => self.refuse(at, key, what, "`15m` is usual"),
        }
    }
}
