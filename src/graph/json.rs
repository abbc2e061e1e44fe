//! Writes JSON text straight into a buffer.
//!
//! Mapping an event and serialising its records is one pass: there is no tree
//! of values in between. The tests hold this writer byte for byte against serde_json.

use std::fmt::Write;

/// The most characters a string property may have: JupiterOne's search index holds no more.
pub const LONGEST_TEXT: usize = 4096;

/// Appends `text` as a JSON string, with its quotes.
#[inline(never)]
pub fn push_string(out: &mut String, text: &str) {
    out.push('"');
    push_escaped(out, text);
    out.push('"');
}

/// Appends `text` as the inside of a JSON string.
#[inline]
pub fn push_escaped(out: &mut String, text: &str) {
    // Nearly every text is clean.
    if is_clean(text.as_bytes()) { out.push_str(text) } else { escape(out, text) }
}

/// Whether nothing of a text has to be escaped. Some bytes are looked at twice,
/// rather than the last ones one by one.
#[inline]
fn is_clean(text: &[u8]) -> bool {
    let is_clean = |word: &[u8; 8]| unclean(*word) == 0;
    if let Some(last) = text.last_chunk() {
        return text.as_chunks().0.iter().all(is_clean) && is_clean(last);
    }
    if let (Some([a, b, c, d]), Some([e, f, g, h])) = (text.first_chunk(), text.last_chunk()) {
        return is_clean(&[*a, *b, *c, *d, *e, *f, *g, *h]);
    }
    match *text {
        [] => true,
        [a] => is_clean(&[a; 8]),
        [a, .., b] => is_clean(&[a, text[1], b, b, b, b, b, b]),
    }
}

/// How many bytes at the beginning of a text need no escape.
#[inline]
pub(crate) fn clean(text: &[u8]) -> usize {
    let mut length = 0;
    for word in text.as_chunks().0 {
        match unclean(*word) {
            0 => length += word.len(),
            marks => return length + marks.trailing_zeros() as usize / 8,
        }
    }
    length + clean_end(&text[length..])
}

/// The same for what is shorter than a word.
#[cold]
fn clean_end(text: &[u8]) -> usize {
    text.iter().take_while(|byte| is_clean(&[**byte])).count()
}

/// Sets the highest bit of the first of eight bytes that has to be escaped (a
/// control character, a quote, a backslash), and maybe some above it; none if
/// there is no such byte. (Bit Twiddling Hacks, "determine if a word has a byte
/// less than n", "has a zero byte"; a byte over 127 is none of them.)
///
/// Sixteen bytes at a time in the registers for that are fewer instructions
/// and took longer: most texts are short, and the way back is long.
#[inline]
fn unclean(bytes: [u8; 8]) -> u64 {
    const fn all(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }
    let word = u64::from_le_bytes(bytes);
    let control = word.wrapping_sub(all(0x20));
    let quote = (word ^ all(b'"')).wrapping_sub(all(1));
    let backslash = (word ^ all(b'\\')).wrapping_sub(all(1));
    (control | quote | backslash) & !word & all(0x80)
}

/// Appends a text of which something has to be escaped.
#[cold]
fn escape(out: &mut String, text: &str) {
    let mut clean = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0x00..=0x1f => "",
            _ => continue,
        };
        // Only ASCII is escaped, so both ends are character boundaries.
        out.push_str(&text[clean..at]);
        if escape.is_empty() {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.push_str("\\u00");
            out.push(HEX[usize::from(byte >> 4)] as char);
            out.push(HEX[usize::from(byte & 0xf)] as char);
        } else {
            out.push_str(escape);
        }
        clean = at + 1;
    }
    out.push_str(&text[clean..]);
}

/// Appends an integer.
pub fn push_integer(out: &mut String, value: i64) {
    out.push_str(itoa::Buffer::new().format(value));
}

/// Appends a number; one that is not finite has no JSON and becomes `null`.
pub fn push_number(out: &mut String, value: f64) {
    if push_short_number(out, value) {
        return;
    }
    let written = match serde_json::Number::from_f64(value) {
        Some(number) => write!(out, "{number}"),
        None => out.write_str("null"),
    };
    debug_assert!(written.is_ok(), "there is always room in a string");
}

/// Appends a number of six digits at most behind the dot, such as degrees have;
/// false, and nothing is appended, if it has more, or is large or close to zero.
///
/// It is the shortest text of the number, which is what serde_json writes: no
/// two texts of 15 digits or less are one and the same double.
fn push_short_number(out: &mut String, value: f64) -> bool {
    const PLACES: u64 = 1_000_000;
    let size = value.abs();
    let scaled = (size * PLACES as f64).round();
    if !(0.001..1e9).contains(&size) || scaled / PLACES as f64 != size {
        return false;
    }
    let (scaled, mut place) = (scaled as u64, PLACES);
    if value < 0.0 {
        out.push('-');
    }
    push_integer(out, (scaled / PLACES) as i64);
    out.push('.');
    let mut behind = scaled % PLACES;
    loop {
        place /= 10;
        out.push(char::from(b'0' + (behind / place) as u8));
        behind %= place;
        if behind == 0 {
            return true;
        }
    }
}

/// Cuts a string to [`LONGEST_TEXT`] characters.
pub fn cut(text: &str) -> &str {
    // A string of so few bytes cannot have more characters.
    if text.len() <= LONGEST_TEXT {
        return text;
    }
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_string_is_written_as_serde_json_writes_it(text: String) {
            let mut ours = String::new();
            push_string(&mut ours, &text);
            prop_assert_eq!(ours, serde_json::to_string(&text)?);
        }

        #[test]
        fn a_number_is_written_as_serde_json_writes_it(value: f64, integer: i64) {
            let (mut ours, mut whole) = (String::new(), String::new());
            push_number(&mut ours, value);
            push_integer(&mut whole, integer);
            prop_assert_eq!(ours, serde_json::to_string(&value)?);
            prop_assert_eq!(whole, serde_json::to_string(&integer)?);
        }
    }

    proptest! {
        #[test]
        fn degrees_are_written_as_serde_json_writes_them(scaled in -400_000_000i64..400_000_000, places in 0u32..9) {
            let value = scaled as f64 / 10f64.powi(places as i32);
            let mut ours = String::new();
            push_number(&mut ours, value);
            prop_assert_eq!(ours, serde_json::to_string(&value)?);
        }
    }

    #[test]
    fn numbers_around_the_ends_of_what_is_short_are_written_as_serde_json_writes_them() {
        for value in [0.0, 0.001, 0.001_001, 0.000_999, 0.1 + 0.2, 999_999_999.999_999, 1e9, 52.0, 1e-6, 90.0]
        {
            for value in [value, -value, f64::next_up(value), f64::next_down(value)] {
                let mut ours = String::new();
                push_number(&mut ours, value);
                assert_eq!(ours, serde_json::to_string(&value).unwrap());
            }
        }
    }

    #[test]
    fn every_control_character_is_escaped_as_serde_json_escapes_it() {
        let text: String = (0..0x80u8).map(char::from).collect();
        let mut ours = String::new();
        push_string(&mut ours, &text);
        assert_eq!(ours, serde_json::to_string(&text).unwrap());
    }

    #[test]
    fn every_byte_is_told_clean_or_not_wherever_it_stands() {
        for byte in 0..0x80u8 {
            let clean_byte = byte >= 0x20 && byte != b'"' && byte != b'\\';
            for (length, at) in (1..40).flat_map(|length| (0..length).map(move |at| (length, at))) {
                for beside in [' ', '!', '#', '[', ']', '\u{7f}'] {
                    let mut text = beside.to_string().repeat(length);
                    text.replace_range(at..=at, &char::from(byte).to_string());
                    assert_eq!(is_clean(text.as_bytes()), clean_byte, "{text:?}");
                    assert_eq!(clean(text.as_bytes()), if clean_byte { length } else { at }, "{text:?}");
                    // What is over 127 is clean, and hides nothing beside it.
                    let wide = text.replace(beside, "\u{80}");
                    let hidden = !wide.contains(char::from(byte));
                    assert_eq!(is_clean(wide.as_bytes()), clean_byte || hidden, "{wide:?}");
                }
            }
        }
        assert!(is_clean(b"") && clean(b"") == 0);
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let long = "ü".repeat(LONGEST_TEXT + 1);
        assert_eq!(cut(&long).chars().count(), LONGEST_TEXT);
        let fits = "ü".repeat(LONGEST_TEXT);
        assert_eq!(cut(&fits), fits);
        assert_eq!(cut("short"), "short");
    }
}
