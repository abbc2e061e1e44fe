//! Reads the time of an event.

use opgraph_state::UnixMs;

/// Reads an RFC 3339 time: 0 to 9 fraction digits, `Z` or an offset.
pub(super) fn instant(text: &str) -> Option<UnixMs> {
    // Every event has a time, and nearly all are written alike: a tenth of the
    // work of a reader that knows calendars and zones.
    usual(text.as_bytes()).or_else(|| {
        let at: jiff::Timestamp = text.parse().ok()?;
        Some(UnixMs(at.as_millisecond()))
    })
}

/// Reads `2026-02-03T04:05:06.789Z` and `2026-02-03T04:05:06.789+02:00`; `None`
/// of any other form, of times before 1970, and of such as do not exist.
fn usual(text: &[u8]) -> Option<UnixMs> {
    let (time, rest) = text.split_first_chunk::<19>()?;
    let [a, b, c, d, b'-', e, f, b'-', g, h, b'T', i, j, b':', k, l, b':', m, n] = *time else {
        return None;
    };
    let digits = [a, b, c, d, e, f, g, h, i, j, k, l, m, n].map(|byte| byte.wrapping_sub(b'0'));
    if digits.iter().any(|digit| *digit > 9) {
        return None;
    }
    let two = |at: usize| i64::from(digits[at]) * 10 + i64::from(digits[at + 1]);
    let (year, month, day) = (two(0) * 100 + two(2), two(4), two(6));
    let (hour, minute, second) = (two(8), two(10), two(12));
    // The last year ends earlier than others: what is in it is for those who know.
    let exists = (1970..9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of(month, year)).contains(&day)
        && (hour < 24 && minute < 60 && second < 60);
    let seconds = ((days_before(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    let (ms, seconds) = match rest {
        [fraction @ .., b'Z'] => (thousandths(fraction)?, seconds),
        [fraction @ .., sign, h, hour, b':', m, minute] => {
            let [h, hour, m, minute] = [h, hour, m, minute].map(|byte| i64::from(byte.wrapping_sub(b'0')));
            let ahead = (h * 10 + hour) * 3600 + (m * 10 + minute) * 60;
            match (sign, h < 2 && hour < 10 && m < 6 && minute < 10) {
                (b'+', true) => (thousandths(fraction)?, seconds - ahead),
                (b'-', true) => (thousandths(fraction)?, seconds + ahead),
                _ => return None,
            }
        }
        _ => return None,
    };
    (exists && seconds >= 0).then_some(UnixMs(seconds * 1000 + ms))
}

/// Reads a fraction of 0 to 9 digits, its dot included; what is behind the thousandths is cut off.
fn thousandths(fraction: &[u8]) -> Option<i64> {
    let digits = match fraction {
        [] => return Some(0),
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => digits,
        _ => return None,
    };
    let digit = |at: usize| i64::from(digits.get(at).map_or(0, |byte| byte - b'0'));
    let all = digits.iter().all(u8::is_ascii_digit);
    all.then(|| digit(0) * 100 + digit(1) * 10 + digit(2))
}

/// Days in a month.
fn days_of(month: i64, year: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `days_from_civil`): years begin in March, so that what a leap
/// year adds comes last.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_jiff(text: &str) -> Option<UnixMs> {
        let at: jiff::Timestamp = text.parse().ok()?;
        Some(UnixMs(at.as_millisecond()))
    }

    proptest! {
        #[test]
        fn a_time_is_what_jiff_takes_it_for(
            (year, month, day) in (1968i64..2110, 0i64..14, 0i64..33),
            (hour, minute, second) in (0i64..25, 0i64..61, 0i64..61),
            fraction in prop::sample::select(vec!["", ".", ".0", ".7", ".06", ".999", ".1239", ".123456789", ".1234567891", ".1x"]),
            zone in prop::sample::select(vec!["Z", "z", "", "+02:00", "-00:30", "+19:59", "-00:00", "+20:00", "-25:59", "+01:60", "Zx", "+2", "+0a:00", "02:00"]),
            between in prop::sample::select(vec!["T", "T", "T", "t", " "]),
        ) {
            let text = format!(
                "{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}{fraction}{zone}"
            );
            prop_assert_eq!(instant(&text), by_jiff(&text), "{}", text);
        }

        #[test]
        fn no_text_is_taken_for_another_time(text in "[0-9]{4}.[0-9]{2}.[0-9]{2}.[0-9]{2}.[0-9]{2}.[0-9]{2}.{0,4}") {
            prop_assert_eq!(instant(&text), by_jiff(&text), "{}", text);
        }
    }

    #[test]
    fn every_day_is_where_jiff_has_it() {
        let mut day = jiff::civil::date(1970, 1, 1);
        while day.year() < 2410 {
            let text = format!("{day}T23:59:59.999Z");
            assert!(usual(text.as_bytes()).is_some(), "{text} is usual");
            assert_eq!(instant(&text), by_jiff(&text), "{text}");
            day = day.tomorrow().unwrap();
        }
        for text in
            ["9998-12-31T23:59:59Z", "9999-12-30T23:00:00Z", "9999-12-31T00:00:00Z", "1969-12-31T23:59:59.9Z"]
        {
            assert_eq!(instant(text), by_jiff(text), "{text}");
        }
    }
}
