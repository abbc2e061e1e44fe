//! How durations and times are written: in the file, in flags and in commands.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo, Timestamp};
use opgraph_state::UnixMs;

use crate::supervisor::Start;

/// Reads a duration such as `30s`, `15m`, `2h30m`, `120d` or `PT30S`. A day is
/// 24 hours; months and years have no fixed length and are refused.
///
/// # Errors
///
/// A sentence that shows how to write one.
pub fn duration(text: &str) -> Result<Duration, String> {
    let read = |text: &str| {
        let span: Span = text.trim().parse().ok()?;
        let exact = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        Duration::try_from(exact).ok()
    };
    read(text).ok_or_else(|| {
        format!("`{}` is not a duration; write one like `30s`, `15m`, `2h30m` or `120d`", text.escape_debug())
    })
}

/// Reads a size such as `256MB`, `1.5 GB` or `262144`: bytes, or units of
/// 1,024 of the one below. `MiB` and `M` mean the same as `MB`.
///
/// # Errors
///
/// A sentence that shows how to write one.
pub fn size(text: &str) -> Result<usize, String> {
    let read = |text: &str| {
        let text = text.trim().to_ascii_lowercase();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let number: f64 = text[..digits].parse().ok()?;
        let unit = match text[digits..].trim_start() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 1,
            "m" | "mb" | "mib" => 2,
            "g" | "gb" | "gib" => 3,
            _ => return None,
        };
        let bytes = number * 1024_f64.powi(unit);
        // Far beyond any machine, and a whole number still.
        (bytes < 1e15).then_some(bytes as usize)
    };
    read(text)
        .ok_or_else(|| format!("`{}` is not a size; write one like `256MB` or `1.5GB`", text.escape_debug()))
}

/// Reads an instant in RFC 3339.
///
/// # Errors
///
/// A sentence that shows how to write one.
pub fn time(text: &str) -> Result<UnixMs, String> {
    let at: Timestamp = text.trim().parse().map_err(|_| {
        format!("`{}` is not a time; write one like `2026-01-31T00:00:00Z`", text.escape_debug())
    })?;
    Ok(UnixMs(at.as_millisecond()))
}

/// Reads how far back to begin: a duration or an instant.
///
/// # Errors
///
/// A sentence that shows how to write either.
pub fn start(text: &str) -> Result<Start, String> {
    time(text).map(Start::At).or_else(|_| duration(text).map(Start::Ago)).map_err(|_| {
        format!(
            "`{}` is neither a duration nor a time; write it like `120d` or `2026-01-31T00:00:00Z`",
            text.escape_debug(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let check =
            |text: &str, seconds: u64| assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        check("30s", 30);
        check("15m", 900);
        check("2h30m", 9_000);
        check("2h 30m", 9_000);
        check("1.5h", 5_400);
        check("120d", 120 * 86_400);
        check("1d 12h", 129_600);
        check("2 weeks", 14 * 86_400);
        check("PT30S", 30);
        check("P1D", 86_400);
        check(" 30 seconds ", 30);
        check("0s", 0);
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    }

    #[test]
    fn what_is_no_duration_is_answered_with_examples() {
        for wrong in
            ["", "30", "s", "soon", "-30s", "3h ago", "1mo", "1y", "120 d ays", "1h-", "9999999999999999d"]
        {
            let expect =
                format!("`{wrong}` is not a duration; write one like `30s`, `15m`, `2h30m` or `120d`");
            assert_eq!(duration(wrong), Err(expect));
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let check = |text: &str, expect: usize| assert_eq!(size(text), Ok(expect), "{text}");
        check("256MB", 256 << 20);
        check("256 MiB", 256 << 20);
        check("256m", 256 << 20);
        check("1.5GB", 3 << 29);
        check(" 64 kb ", 64 << 10);
        check("262144", 262_144);
        check("0", 0);
        for wrong in ["", "MB", "64 megs", "-1MB", "1e9", "1..5GB", "inf", "NaN", "99999999GB"] {
            let expect = format!("`{wrong}` is not a size; write one like `256MB` or `1.5GB`");
            assert_eq!(size(wrong), Err(expect));
        }
    }

    #[test]
    fn a_start_is_a_duration_or_a_time() {
        assert_eq!(start("120d"), Ok(Start::Ago(Duration::from_secs(120 * 86_400))));
        assert_eq!(start("1970-01-01T00:00:01Z"), Ok(Start::At(UnixMs(1_000))));
        assert_eq!(start("1970-01-01T02:00:01+02:00"), Ok(Start::At(UnixMs(1_000))));
        assert_eq!(
            start("2026-01-31"),
            Err("`2026-01-31` is neither a duration nor a time; write it like `120d` or `2026-01-31T00:00:00Z`"
                .to_owned())
        );
        assert!(time("120d").is_err());
    }
}
