//! The text of a page and the list of its events, in memory that is used again.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Lists;

/// How many texts' memory waits for the next page, of all tenants.
const MOST: usize = 8;

/// How many lists' memory waits for the next page of each stream.
pub(super) const MOST_LISTS: usize = 1;

/// How much more memory than it had text, or events, a page may leave.
const ROOM: usize = 16;

/// Memory of pages that are done with, for those to come.
///
/// Memory that is new for every page has to be cleared by the system first. A
/// stream that has caught up gives it back by itself: its pages are small, and
/// do not leave the memory of a large one.
#[derive(Clone, Default)]
pub struct Texts(Arc<Waiting>);

/// What waits for the next pages.
#[derive(Default)]
struct Waiting {
    texts: Mutex<Vec<Vec<u8>>>,
    lists: Mutex<Lists>,
}

impl Texts {
    /// Memory for a page, empty.
    pub fn take(&self) -> Vec<u8> {
        self.lock().pop().unwrap_or_default()
    }

    fn put(&self, mut memory: Vec<u8>) {
        let fits = fits(&memory);
        let mut waiting = self.lock();
        if fits && waiting.len() < MOST {
            memory.clear();
            waiting.push(memory);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory for the lists of events of a page.
    pub(super) fn lists(&self) -> MutexGuard<'_, Lists> {
        self.0.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what is in a list needs about as much memory as the list has.
pub(super) fn fits<T>(list: &Vec<T>) -> bool {
    list.capacity() <= ROOM * list.len()
}

/// The memory of a list, for one of what is laid out alike: the standard library
/// collects into the memory of what it collects from, where it can.
pub(super) fn emptied<A, B>(mut list: Vec<A>) -> Vec<B> {
    list.clear();
    list.into_iter().map_while(|_| None).collect()
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Texts").field(&self.lock().len()).finish()
    }
}

/// A text whose memory goes back where it came from.
#[derive(Debug, Default)]
pub(super) struct PageText {
    text: String,
    home: Option<Texts>,
}

impl PageText {
    pub(super) fn new(text: String, home: Option<Texts>) -> PageText {
        PageText { text, home }
    }

    /// Where its memory goes.
    pub(super) fn home(&self) -> Option<&Texts> {
        self.home.as_ref()
    }
}

impl Deref for PageText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl Drop for PageText {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            home.put(std::mem::take(&mut self.text).into_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Stream, read_page_of};

    /// Memory for so many bytes with a text of another length in it.
    fn text(texts: &Texts, capacity: usize, len: usize) -> PageText {
        let mut memory = texts.take();
        memory.reserve_exact(capacity.saturating_sub(memory.capacity()));
        memory.resize(len, b'q');
        PageText::new(String::from_utf8(memory).unwrap(), Some(texts.clone()))
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
    fn the_memory_of_a_list_is_the_next_ones_and_a_short_one_does_not_keep_that_of_a_long_one() {
        let texts = Texts::default();
        let page = |events: usize| {
            let items = vec![r#"{"uuid":"A"}"#; events].join(",");
            let body = format!(r#"{{"cursor":"c","has_more":true,"items":[{items}]}}"#);
            let read = read_page_of(Stream::ItemUsages, body.into_bytes(), Some(texts.clone())).unwrap();
            assert_eq!(read.events.len(), events);
            read.events.done();
            texts.lists().itemusages.iter().map(|list| (list.as_ptr(), list.capacity())).collect::<Vec<_>>()
        };
        let first = page(100);
        assert!(first[0].1 >= 100);
        assert_eq!(page(90), first);
        assert_eq!(page(2), [], "given back");
        let both = [page(100), page(100)];
        assert_eq!(both[0], both[1]);
        assert!(texts.lists().auditevents.is_empty());
    }

    #[test]
    fn only_so_much_waits() {
        let texts = Texts::default();
        let all: Vec<PageText> = (0..2 * MOST).map(|_| text(&texts, 1000, 1000)).collect();
        drop(all);
        assert_eq!(texts.lock().len(), MOST);
        assert!(!format!("{texts:?}").contains('q'));
    }
}
