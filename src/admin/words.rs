//! Numbers as people read them, and text that is safe in a page.

use std::time::Duration;

/// What cannot be told.
pub(crate) const UNKNOWN: &str = "–";

/// Text for a page, an attribute's value included.
pub(crate) fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(char),
        }
    }
    safe
}

/// A count, in groups of three digits.
pub(crate) fn count(number: f64) -> String {
    // A sum of nothing is minus zero.
    let digits = format!("{:.0}", number.max(0.0) + 0.0);
    let mut grouped = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n) % 3 == 0 {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A rate: what is below ten has a decimal.
pub(crate) fn rate(number: f64) -> String {
    if number > 0.0 && number < 9.95 { format!("{number:.1}") } else { count(number) }
}

/// Bytes, in the unit that fits.
pub(crate) fn bytes(number: f64) -> String {
    let mut number = number.max(0.0) + 0.0;
    for unit in ["B", "KiB", "MiB"] {
        if number < 1024.0 {
            let decimals = usize::from(unit != "B" && number < 10.0);
            return format!("{number:.decimals$} {unit}");
        }
        number /= 1024.0;
    }
    format!("{number:.1} GiB")
}

/// A length of time, in its largest unit.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match time.as_secs() {
        0 if seconds > 0.0 && seconds < 0.9995 => format!("{:.0} ms", (seconds * 1e3).max(1.0)),
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// How far a stream is behind.
pub(crate) fn lag(seconds: Option<f64>) -> String {
    match seconds {
        None => UNKNOWN.to_owned(),
        Some(seconds) if seconds >= 0.5 => span(Duration::from_secs_f64(seconds.clamp(1.0, 1e12))),
        Some(_) => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(count(1_234_567.4), "1\u{202f}234\u{202f}567");
        assert_eq!([0.0, 999.0, -3.0, -0.0].map(count), ["0", "999", "0", "0"]);
        assert_eq!([0.0, 0.14, 9.94, 9.96, 1234.5].map(rate), ["0", "0.1", "9.9", "10", "1\u{202f}234"]);
        assert_eq!(
            [0.0, 1023.0, 1536.0, 25_165_824.0, 3e9].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "24 MiB", "2.8 GiB"]
        );
        let of = |millis| span(Duration::from_millis(millis));
        assert_eq!([0, 3, 1_500, 119_999, 120_000].map(of), ["0 s", "3 ms", "1 s", "119 s", "2 min"]);
        assert_eq!([7_200_000, 172_800_000].map(of), ["2 h", "2 d"]);
        assert_eq!([None, Some(0.0), Some(0.7), Some(f64::NAN)].map(lag), ["–", "none", "1 s", "none"]);
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(safe(r#"<a b="c" d='e'>&"#), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;");
    }
}
