//! The text of a page, in memory that is used again.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

/// How many texts' memory waits for the next page, of all tenants.
const MOST: usize = 8;

/// How much more memory than it had text a page may leave.
const ROOM: usize = 16;

/// Memory of pages that are done with, for those to come.
///
/// Memory that is new for every page has to be cleared by the system first. A
/// stream that has caught up gives it back by itself: its pages are small, and
/// do not leave the memory of a large one.
#[derive(Clone, Default)]
pub struct Texts(Arc<Mutex<Vec<Vec<u8>>>>);

impl Texts {
    /// Memory for a page, empty.
    pub fn take(&self) -> Vec<u8> {
        self.lock().pop().unwrap_or_default()
    }

    fn put(&self, mut memory: Vec<u8>) {
        let fits = memory.capacity() <= ROOM * memory.len();
        let mut waiting = self.lock();
        if fits && waiting.len() < MOST {
            memory.clear();
            waiting.push(memory);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Texts").field(&self.lock().len()).finish()
    }
}

/// A text whose memory goes back where it came from.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    home: Option<Texts>,
}

impl Text {
    pub(super) fn new(text: String, home: Option<Texts>) -> Text {
        Text { text, home }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            home.put(std::mem::take(&mut self.text).into_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory for so many bytes with a text of another length in it.
    fn text(texts: &Texts, capacity: usize, len: usize) -> Text {
        let mut memory = texts.take();
        memory.reserve_exact(capacity.saturating_sub(memory.capacity()));
        memory.resize(len, b'q');
        Text::new(String::from_utf8(memory).unwrap(), Some(texts.clone()))
    }

    #[test]
    fn the_memory_of_a_page_is_the_next_ones_and_a_small_page_does_not_keep_that_of_a_large_one() {
        let texts = Texts::default();
        let first = text(&texts, 1 << 20, 1 << 19);
        let place = first.as_ptr();
        drop(first);
        let second = text(&texts, 0, 1 << 18);
        assert_eq!(second.as_ptr(), place);
        drop(second);
        let small = text(&texts, 0, 100);
        assert_eq!(small.as_ptr(), place);
        drop(small);
        assert_eq!(texts.take().capacity(), 0, "given back");
    }

    #[test]
    fn only_so_much_waits() {
        let texts = Texts::default();
        let all: Vec<Text> = (0..2 * MOST).map(|_| text(&texts, 1000, 1000)).collect();
        drop(all);
        assert_eq!(texts.lock().len(), MOST);
        assert!(!format!("{texts:?}").contains('q'));
    }
}
