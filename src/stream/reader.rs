//! Reads the JSON that pages are made of, in one look at each byte.
//!
//! It reads by itself what nearly every page consists of: objects, texts without
//! escapes, small numbers, `null`. Any other value it has serde_json read where
//! it stands. What neither takes it refuses without a word: the caller then has
//! serde_json read the whole, whose error says what is wrong. So it may refuse
//! too much, and never takes what serde_json would refuse or take for something
//! else: the fuzz target of pages holds the one against the other.

use serde::{Deserialize, de::IgnoredAny};

use super::wire::Members;
use crate::graph::{Text, json::clean};

/// What is read is not the usual, or no JSON.
#[derive(Debug, thiserror::Error)]
#[error("unusual")]
pub(super) struct Unusual;

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
                let _ = self.peek();
                Ok(true)
            }
            _ if first => Ok(true),
            _ => Err(Unusual),
        }
    }

    /// Reads a text with its quotes; `None`, and nothing is read, if it is none or has escapes.
    #[inline]
    pub(super) fn quoted(&mut self) -> Option<&'a str> {
        if self.peek()? != b'"' {
            return None;
        }
        let inside = self.at + 1;
        let end = inside + clean(self.text.as_bytes().get(inside..)?);
        if *self.text.as_bytes().get(end)? != b'"' {
            return None;
        }
        let start = std::mem::replace(&mut self.at, end + 1);
        self.text.get(start..end + 1)
    }

    /// Reads a text.
    #[inline]
    pub(super) fn text(&mut self) -> Result<Text<'a>, Unusual> {
        match self.quoted() {
            Some(text) => Ok(Text::of_clean(text)),
            None => self.value(),
        }
    }

    /// Reads the name of a member and the colon behind it.
    #[inline]
    pub(super) fn name(&mut self) -> Result<&'a str, Unusual> {
        let quoted = self.quoted().ok_or(Unusual)?;
        self.take(b':')?;
        Ok(&quoted[1..quoted.len() - 1])
    }

    /// Reads an object.
    #[inline]
    pub(super) fn object<T: Members<'a>>(&mut self) -> Result<T, Unusual> {
        let mut object = T::default();
        object.read(self)?;
        Ok(object)
    }

    /// Reads the beginning of an object; answers whether there is a member.
    #[inline]
    pub(super) fn goes_in(&mut self) -> Result<bool, Unusual> {
        self.take(b'{')?;
        self.next(&mut true, b'}')
    }

    /// Reads on to the next member of an object, or to its end; answers whether there is one.
    #[inline]
    pub(super) fn goes_on(&mut self) -> Result<bool, Unusual> {
        self.next(&mut false, b'}')
    }

    /// Reads this, if it comes next: the name of a member with its quotes, and the colon.
    #[inline(always)]
    pub(super) fn named(&mut self, name: &str) -> bool {
        let named = self.text.as_bytes()[self.at..].starts_with(name.as_bytes());
        self.at += if named { name.len() } else { 0 };
        named
    }

    /// Skips a member that is none of the known ones; answers whether another comes.
    #[cold]
    pub(super) fn skip_member(&mut self, known: &[&str]) -> Result<bool, Unusual> {
        let name = self.name()?;
        if known.contains(&name) {
            return Err(Unusual);
        }
        self.skip()?;
        self.goes_on()
    }

    /// Reads a value, or `null`.
    #[inline]
    pub(super) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, Unusual>,
    ) -> Result<Option<T>, Unusual> {
        if self.peek() != Some(b'n') {
            return read(self).map(Some);
        }
        if !self.text[self.at..].starts_with("null") {
            return Err(Unusual);
        }
        self.at += "null".len();
        Ok(None)
    }

    /// Reads an integer.
    #[inline]
    pub(super) fn integer(&mut self) -> Result<i64, Unusual> {
        let mark = self.mark();
        match self.digits() {
            // A zero below zero is no integer, so serde_json decides on those.
            Some((false, digits, 0)) => Ok(digits as i64),
            _ => {
                self.back_to(mark);
                self.value()
            }
        }
    }

    /// Reads a number.
    #[inline]
    pub(super) fn number(&mut self) -> Result<f64, Unusual> {
        let mark = self.mark();
        let Some((negative, digits, behind)) = self.digits() else {
            self.back_to(mark);
            return self.value();
        };
        // Both sides are exact, so what comes of them is rounded once and right.
        let number = digits as f64 / TENS[behind];
        Ok(if negative { -number } else { number })
    }

    /// Reads whatever comes next, and keeps nothing of it.
    #[inline(never)]
    pub(super) fn skip(&mut self) -> Result<(), Unusual> {
        match self.quoted() {
            Some(_) => Ok(()),
            None => self.value::<IgnoredAny>().map(drop),
        }
    }

    /// Sets a bit; what is met again is unusual.
    #[inline]
    pub(super) fn once(&self, met: &mut u32, bit: u32) -> Result<(), Unusual> {
        let before = std::mem::replace(met, *met | 1 << bit);
        if before == *met { Err(Unusual) } else { Ok(()) }
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

/// Powers of ten, all of them exact.
const TENS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
