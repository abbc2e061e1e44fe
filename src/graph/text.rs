//! Texts that records are made of: as they came, or as they are in memory.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::value::RawValue;

/// What may stand in a record as a JSON string.
pub trait Textual: Copy {
    /// The JSON string with its quotes, if it is at hand and nothing in it is escaped.
    fn json(&self) -> Option<&str>;

    /// What it says.
    fn says(&self) -> Cow<'_, str>;

    /// Whether it says nothing.
    fn is_empty(&self) -> bool;
}

impl<T: AsRef<str> + ?Sized> Textual for &T {
    #[inline]
    fn json(&self) -> Option<&str> {
        None
    }

    #[inline]
    fn says(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.as_ref())
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.as_ref().is_empty()
    }
}

/// A JSON string of somebody else's text, as it stands there.
///
/// What comes out of an event goes into its records as it is, nearly always:
/// then nobody has to look at its bytes again. Two are equal if they are
/// written alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text<'a>(
    /// With both quotes if nothing is escaped; else without the first one,
    /// which is how the two are told apart: no quote follows the first.
    &'a str,
);

impl<'a> Text<'a> {
    /// Takes a JSON string with its quotes, of which is known that nothing in it is escaped.
    #[inline]
    pub(crate) fn of_clean(json: &'a str) -> Text<'a> {
        debug_assert!(serde_json::from_str::<&str>(json).is_ok(), "a string without escapes");
        Text(json)
    }

    /// Takes any JSON string, with its quotes.
    ///
    /// # Errors
    ///
    /// serde_json's, if it is none.
    fn read(json: &'a str) -> Result<Text<'a>, serde_json::Error> {
        match serde_json::from_str::<Told<'_>>(json)?.0 {
            Cow::Borrowed(_) => Ok(Text(json)),
            Cow::Owned(_) => Ok(Text(&json[1..])),
        }
    }

    fn is_clean(self) -> bool {
        self.0.starts_with('"')
    }
}

/// Borrows where it can; a bare `Cow` never does.
#[derive(Deserialize)]
struct Told<'a>(#[serde(borrow)] Cow<'a, str>);

impl Textual for Text<'_> {
    #[inline]
    fn json(&self) -> Option<&str> {
        self.is_clean().then_some(self.0)
    }

    #[inline]
    fn says(&self) -> Cow<'_, str> {
        if self.is_clean() {
            return Cow::Borrowed(&self.0[1..self.0.len() - 1]);
        }
        Cow::Owned(unescaped(&self.0[..self.0.len() - 1]))
    }

    #[inline]
    fn is_empty(&self) -> bool {
        // What is shorter than its quotes is none, and what has an escape says something.
        self.0.len() == 2 && self.is_clean()
    }
}

/// What the inside of a JSON string says, of which serde_json has said that it is one.
#[cold]
fn unescaped(inside: &str) -> String {
    let mut said = String::with_capacity(inside.len());
    let mut rest = inside;
    while let Some((clean, escaped)) = rest.split_once('\\') {
        said.push_str(clean);
        let mut chars = escaped.chars();
        match chars.next() {
            Some('b') => said.push('\u{8}'),
            Some('f') => said.push('\u{c}'),
            Some('n') => said.push('\n'),
            Some('r') => said.push('\r'),
            Some('t') => said.push('\t'),
            Some('u') => {
                // The second half of a pair is escaped like the first one.
                let halves = [chars.as_str().get(..4), chars.as_str().get(6..10)];
                let halves =
                    halves.map(|hex| u16::from_str_radix(hex.unwrap_or_default(), 16).unwrap_or_default());
                let is_pair = matches!(halves[0], 0xd800..=0xdbff);
                said.extend(
                    char::decode_utf16(halves)
                        .take(1)
                        .map(|said| said.unwrap_or(char::REPLACEMENT_CHARACTER)),
                );
                chars = chars.as_str()[if is_pair { 10 } else { 4 }..].chars();
            }
            Some(itself) => said.push(itself),
            None => (),
        }
        rest = chars.as_str();
    }
    said.push_str(rest);
    said
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    /// From serde_json only: no other format has the text at hand.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?;
        Text::read(json.get()).map_err(D::Error::custom)
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.says(), f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_says_what_serde_json_reads(said: String, escaped in "[a-z/é😀]?") {
            let mut json = serde_json::to_string(&said)?;
            for letter in escaped.chars() {
                let units = letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
                json = json.replace("\\\\", "😀/é").replace(letter, &units).replace('/', "\\/");
            }
            let said: String = serde_json::from_str(&json)?;
            let text: Text<'_> = serde_json::from_str(&json)?;
            prop_assert_eq!(&*text.says(), &said);
            prop_assert_eq!(text.json(), (!json.contains('\\')).then_some(json.as_str()));
            prop_assert_eq!(text.is_empty(), said.is_empty());
            prop_assert_eq!(format!("{text:?}"), format!("{said:?}"));
        }
    }

    #[test]
    fn what_is_no_text_is_none() {
        for json in ["1", "null", "[]", "\"\\ud800\"", "\"\\x\"", "\"\n\"", "\"", "{\"a\":\"b\"}"] {
            assert!(serde_json::from_str::<Text<'_>>(json).is_err(), "{json}");
        }
    }
}
