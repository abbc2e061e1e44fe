//! Reads the JSON that pages are made of, in one look at each byte.
//!
//! The types of the streams say what they are made of through serde, so this is
//! one more format of serde's. It reads by itself what nearly every page consists
//! of: texts without escapes, small numbers, `null`. Any other value it has
//! serde_json read where it stands. What neither takes it refuses without a
//! word: the caller then has serde_json read the whole, whose error says what
//! is wrong. So it may refuse too much, and never takes what serde_json would
//! refuse or take for something else: the fuzz target of pages holds the one
//! against the other. It takes less than half the instructions.

use std::{borrow::Cow, fmt::Display};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, Visitor},
    forward_to_deserialize_any,
};

use crate::graph::json::clean;

/// What is read is not the usual, or no JSON.
#[derive(Debug, thiserror::Error)]
#[error("unusual")]
pub(super) struct Unusual;

impl de::Error for Unusual {
    fn custom<T: Display>(_: T) -> Unusual {
        Unusual
    }
}

/// A JSON text, and how far it is read.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning.
    pub(super) fn new(text: &'a str) -> Reader<'a> {
        Reader { text, at: 0 }
    }

    /// Skips white space; answers what stands behind it.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        match *self.text.as_bytes().get(self.at)? {
            byte if byte > b' ' => Some(byte),
            _ => self.peek_behind_space(),
        }
    }

    #[cold]
    fn peek_behind_space(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        self.at += rest.iter().take_while(|byte| space(byte)).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Reads this byte.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> Result<(), Unusual> {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        if found { Ok(()) } else { Err(Unusual) }
    }

    /// Reads on to the next member of an object or element of a list, or to the
    /// `end` of it; answers whether there is one. `first` tells the first, and
    /// is changed by it.
    #[inline]
    pub(super) fn next(&mut self, first: &mut bool, end: u8) -> Result<bool, Unusual> {
        let first = std::mem::take(first);
        match self.peek() {
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(false)
            }
            // What follows a comma is a value, so nothing ends behind one.
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            _ if first => Ok(true),
            _ => Err(Unusual),
        }
    }

    /// Reads a text; `None`, and nothing is read, if it is none or has escapes.
    #[inline]
    pub(super) fn plain(&mut self) -> Option<&'a str> {
        if self.peek()? != b'"' {
            return None;
        }
        let start = self.at + 1;
        let end = start + clean(self.text.as_bytes().get(start..)?);
        if *self.text.as_bytes().get(end)? != b'"' {
            return None;
        }
        self.at = end + 1;
        self.text.get(start..end)
    }

    /// Reads a text.
    #[inline]
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, Unusual> {
        match self.plain() {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => self.value().map(Cow::Owned),
        }
    }

    /// Has serde_json read the value that comes next, whatever it is.
    #[inline(never)]
    pub(super) fn value<T: Deserialize<'a>>(&mut self) -> Result<T, Unusual> {
        let mut values = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter();
        let value = values.next().and_then(Result::ok).ok_or(Unusual)?;
        self.at += values.byte_offset();
        Ok(value)
    }

    /// Where the next value begins; see [`Reader::since`].
    #[inline]
    pub(super) fn mark(&mut self) -> usize {
        let _ = self.peek();
        self.at
    }

    /// Goes back to a mark.
    pub(super) fn back_to(&mut self, mark: usize) {
        self.at = mark;
    }

    /// The text that was read since a mark.
    #[inline]
    pub(super) fn since(&self, mark: usize) -> &'a str {
        &self.text[mark..self.at]
    }

    /// Bytes that are not read yet.
    pub(super) fn left(&self) -> usize {
        self.text.len() - self.at
    }

    /// Reads a number of so few digits that nothing about it is rounded: its
    /// sign, its digits as an integer, and how many of them stand behind the dot.
    #[inline]
    fn digits(&mut self) -> Option<(bool, u64, usize)> {
        const MOST: usize = 15;
        let rest = &self.text.as_bytes()[self.at..];
        let negative = rest.first() == Some(&b'-');
        let (mut digits, mut count, mut dot) = (0, 0, None);
        let mut length = usize::from(negative);
        loop {
            match *rest.get(length)? {
                byte @ b'0'..=b'9' if count < MOST => {
                    // JSON has no number that begins with a zero and goes on.
                    if count == 1 && digits == 0 && dot.is_none() {
                        return None;
                    }
                    digits = digits * 10 + u64::from(byte - b'0');
                    count += 1;
                }
                b'.' if dot.is_none() && count > 0 => dot = Some(count),
                b',' | b'}' | b']' => break,
                _ => return None,
            }
            length += 1;
        }
        let behind = count - dot.unwrap_or(count);
        if count == 0 || dot.is_some() && behind == 0 {
            return None;
        }
        self.at += length;
        Some((negative, digits, behind))
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Unusual;

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        self.take(b'{')?;
        visitor.visit_map(Members { reader: self, first: true })
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        match self.text()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    #[inline]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        visitor.visit_borrowed_str(self.plain().ok_or(Unusual)?)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        if self.peek() != Some(b'n') {
            return visitor.visit_some(self);
        }
        if !self.text[self.at..].starts_with("null") {
            return Err(Unusual);
        }
        self.at += "null".len();
        visitor.visit_none()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unusual> {
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        let mark = self.mark();
        match self.digits() {
            // A zero below zero is no integer, so serde_json decides on those.
            Some((false, digits, 0)) => visitor.visit_u64(digits),
            _ => {
                self.back_to(mark);
                visitor.visit_i64(self.value()?)
            }
        }
    }

    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        let mark = self.mark();
        let Some((negative, digits, behind)) = self.digits() else {
            self.back_to(mark);
            return visitor.visit_f64(self.value()?);
        };
        // Both sides are exact, so what comes of them is rounded once and right.
        let number = digits as f64 / TENS[behind];
        visitor.visit_f64(if negative { -number } else { number })
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        if self.peek() == Some(b'"') {
            self.text()?;
        } else {
            let _: IgnoredAny = self.value()?;
        }
        visitor.visit_unit()
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Unusual> {
        Err(Unusual)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 char string bytes byte_buf unit unit_struct
        seq tuple tuple_struct struct enum
    }
}

/// Powers of ten, all of them exact.
const TENS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// The members of an object.
struct Members<'r, 'de> {
    reader: &'r mut Reader<'de>,
    first: bool,
}

impl<'de> MapAccess<'de> for Members<'_, 'de> {
    type Error = Unusual;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Unusual> {
        if !self.reader.next(&mut self.first, b'}')? {
            return Ok(None);
        }
        let key = seed.deserialize(&mut *self.reader)?;
        self.reader.take(b':')?;
        Ok(Some(key))
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Unusual> {
        seed.deserialize(&mut *self.reader)
    }
}
