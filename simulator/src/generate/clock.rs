//! When events arrive, how late they are, and how their timestamps are written.

use std::time::Duration;

use crate::{Stream, mix::mix};

const SECOND: u64 = 1_000_000_000;

/// The latest an item usage arrives after it happened: just under two days.
///
/// Source: 1Password docs and Panther's: usage is sent when a device syncs, up to a day or two later.
const LATEST: u64 = (48 * 3600 - 60) * SECOND;

/// The arrival of one stream's events, on the simulated clock. Nanoseconds since the epoch throughout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrivals {
    seed: u64,
    stream: Stream,
    /// Events that arrived before the start.
    backlog: u64,
    oldest: i64,
    start: i64,
    /// When the second, third and fourth quarter of the history begin.
    eras: [i64; 3],
    /// Nanoseconds between two events of the backlog, with 32 binary places.
    step: u128,
    /// Events a second after the start.
    rate: f64,
}

impl Arrivals {
    pub(crate) fn new(
        seed: u64,
        stream: Stream,
        backlog: u64,
        start: i64,
        history: Duration,
        rate: f64,
    ) -> Arrivals {
        let history = history.as_nanos().min(i64::MAX as u128 / 2);
        let oldest = start - history as i64;
        Arrivals {
            seed: mix(seed ^ stream.index() as u64 ^ 0x6c61_7465),
            stream,
            backlog,
            oldest,
            eras: [1, 2, 3].map(|quarter| oldest + (history * quarter / 4) as i64),
            start,
            step: (history << 32) / u128::from(backlog.max(1)),
            rate,
        }
    }

    /// Returns how many events have arrived `elapsed` after the start.
    pub(crate) fn arrived(&self, elapsed: Duration) -> u64 {
        self.backlog + (elapsed.as_secs_f64() * self.rate) as u64
    }

    /// Returns when an event arrives. Never decreases with the index.
    pub(crate) fn arrival(&self, index: u64) -> i64 {
        match index.checked_sub(self.backlog) {
            None => self.oldest + ((u128::from(index + 1) * self.step) >> 32) as i64,
            // At rate 0 the next event is infinitely far: the end of time.
            Some(live) => self.start.saturating_add(((live + 1) as f64 / self.rate * 1e9) as i64),
        }
    }

    /// Returns the first of `arrived` events that arrives at `time` or later.
    pub(crate) fn first_at(&self, time: i64, arrived: u64) -> u64 {
        let (mut low, mut high) = (0, arrived);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.arrival(middle) < time { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Returns when an event happened: before it arrived, item usages up to two days before.
    pub(crate) fn happened(&self, index: u64) -> i64 {
        let die = mix(self.seed ^ index);
        let amount = die >> 8;
        let late = match (self.stream, die & 127) {
            (Stream::ItemUsages, 0) => amount % LATEST,
            (Stream::ItemUsages, 1..=12) => amount % (24 * 3600 * SECOND),
            (Stream::ItemUsages, 13..=50) => amount % (1800 * SECOND),
            _ => amount % (3 * SECOND),
        };
        self.arrival(index) - late as i64
    }

    /// Returns which quarter of the history a time falls in, 0 to 3. What comes after the start is in the last.
    pub(crate) fn era(&self, time: i64) -> usize {
        self.eras.iter().filter(|begins| time >= **begins).count()
    }
}

/// How a template writes its timestamp. The width is always the same.
///
/// Source: samples hold 0, 3, 6, 8 and 9 fraction digits; the docs show offsets such as `-03:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeForm {
    /// Digits of the fraction, 0 to 9.
    pub(crate) digits: u8,
    /// Minutes east of UTC; `None` writes `Z`.
    pub(crate) east: Option<i16>,
}

impl TimeForm {
    /// Returns the bytes that [`write`](Self::write) takes.
    pub(crate) fn width(self) -> usize {
        19 + if self.digits > 0 { 1 + self.digits as usize } else { 0 }
            + if self.east.is_some() { 6 } else { 1 }
    }

    /// Returns `time` with the digits cut off that this form does not write.
    pub(crate) fn cut(self, time: i64) -> i64 {
        time - time.rem_euclid(10i64.pow(9 - u32::from(self.digits)))
    }

    /// Writes `time` as RFC 3339 into exactly [`width`](Self::width) bytes.
    pub(crate) fn write(self, time: i64, out: &mut [u8]) {
        let local = time + i64::from(self.east.unwrap_or(0)) * 60 * SECOND as i64;
        let (seconds, nanos) = (local.div_euclid(SECOND as i64), local.rem_euclid(SECOND as i64));
        let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, date) = civil(day);
        digits(&mut out[0..4], year as u64);
        out[4] = b'-';
        digits(&mut out[5..7], month);
        out[7] = b'-';
        digits(&mut out[8..10], date);
        out[10] = b'T';
        digits(&mut out[11..13], second as u64 / 3600);
        out[13] = b':';
        digits(&mut out[14..16], second as u64 / 60 % 60);
        out[16] = b':';
        digits(&mut out[17..19], second as u64 % 60);
        let mut at = 19;
        if self.digits > 0 {
            out[at] = b'.';
            let end = at + 1 + self.digits as usize;
            digits(&mut out[at + 1..end], nanos as u64 / 10u64.pow(9 - u32::from(self.digits)));
            at = end;
        }
        match self.east {
            None => out[at] = b'Z',
            Some(east) => {
                out[at] = if east < 0 { b'-' } else { b'+' };
                digits(&mut out[at + 1..at + 3], u64::from(east.unsigned_abs()) / 60);
                out[at + 3] = b':';
                digits(&mut out[at + 4..at + 6], u64::from(east.unsigned_abs()) % 60);
            }
        }
    }

    /// Returns `time` as text.
    pub(crate) fn text(self, time: i64) -> String {
        let mut bytes = vec![0; self.width()];
        self.write(time, &mut bytes);
        String::from_utf8(bytes).unwrap_or_default()
    }
}

/// Writes the last decimal digits of `number`, as many as fit.
fn digits(out: &mut [u8], mut number: u64) {
    for place in out.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Returns year, month and day of a day since the epoch (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(day: i64) -> (i64, u64, u64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097) as u64;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era as i64 + era * 400 + i64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rfc_3339_in_every_form() {
        for time in [0, 951_782_399_999_999_999, 1_709_164_800_000_000_001, 1_798_761_599_123_456_789] {
            for digits in 0..=9 {
                for east in [None, Some(0), Some(-180), Some(345), Some(120)] {
                    let form = TimeForm { digits, east };
                    let text = form.text(time);
                    assert_eq!(text.len(), form.width());
                    let read: jiff::Timestamp = text.parse().expect("RFC 3339");
                    assert_eq!(read.as_nanosecond(), i128::from(form.cut(time)), "{text}");
                }
            }
        }
    }

    #[test]
    fn arrivals_are_in_order_and_what_happened_is_not() {
        let start = 1_767_225_600_000_000_000;
        let history = Duration::from_secs(30 * 24 * 3600);
        let usages = Arrivals::new(3, Stream::ItemUsages, 20_000, start, history, 10.0);
        let mut latest = 0;
        let mut backwards = 0;
        for index in 1..25_000 {
            assert!(usages.arrival(index) >= usages.arrival(index - 1));
            let late = usages.arrival(index) - usages.happened(index);
            assert!((0..=LATEST as i64).contains(&late));
            latest = latest.max(late);
            backwards += u64::from(usages.happened(index) < usages.happened(index - 1));
        }
        assert!(latest > 40 * 3600 * SECOND as i64, "some item usages are nearly two days late");
        assert!(backwards > 1000);
        assert_eq!(usages.arrival(19_999), start);
        assert_eq!(usages.arrived(Duration::from_secs(2)), 20_020);
        assert_eq!(usages.first_at(usages.arrival(777), 20_000), 777);
        assert_eq!(usages.first_at(i64::MAX, 20_000), 20_000);
        assert_eq!((usages.era(0), usages.era(start - 1), usages.era(start + 1)), (0, 3, 3));
    }
}
