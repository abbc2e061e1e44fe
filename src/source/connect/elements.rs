//! Cuts a JSON array that arrives in pieces into its elements.
//!
//! Connect has no pages: a vault of 100,000 items is one answer of 60 MB. Only
//! the element that is arriving is held.

/// The largest element that is taken: an item of a list is about 500 bytes.
const LARGEST_ELEMENT: usize = 4 << 20;

/// An array on its way in.
///
/// Looks at brackets and strings alone: whether an element is JSON is found out
/// by whoever parses it.
#[derive(Debug, Default)]
pub(super) struct Elements {
    /// What has arrived of the element that is not whole yet.
    held: Vec<u8>,
    /// How much of it has been looked at.
    looked: usize,
    place: Place,
    /// Brackets open within the element.
    depth: usize,
    within: Within,
    /// Whether an element has to follow, because there was a comma.
    owed: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Before,
    Inside,
    After,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Within {
    #[default]
    Structure,
    String,
    Escape,
}

/// Why an answer is no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoList {
    /// It starts with something else than `[`, such as a web page.
    #[error("the answer is no JSON list")]
    OtherStart,
    /// Two commas in a row, or one without anything behind it.
    #[error("an element of the list is missing")]
    Gap,
    /// An element over 4 MiB.
    #[error("an element of the list is larger than {LARGEST_ELEMENT} bytes")]
    TooLarge,
    /// Something stands behind the end.
    #[error("something follows the list")]
    Tail,
    /// It ended before its `]`.
    #[error("the list breaks off")]
    BreaksOff,
}

impl Elements {
    /// Takes the next piece and passes on every element that is whole now.
    ///
    /// # Errors
    ///
    /// [`NoList`], or what `each` answers.
    pub(super) fn push<E: From<NoList>>(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.held.extend_from_slice(piece);
        let mut start = 0;
        while self.looked < self.held.len() {
            let byte = self.held[self.looked];
            self.looked += 1;
            let place = self.place;
            match place {
                Place::Before if byte.is_ascii_whitespace() => start = self.looked,
                Place::Before if byte == b'[' => {
                    self.place = Place::Inside;
                    start = self.looked;
                }
                Place::Before => return Err(NoList::OtherStart.into()),
                Place::After if byte.is_ascii_whitespace() => start = self.looked,
                Place::After => return Err(NoList::Tail.into()),
                Place::Inside if !self.ends_here(byte) => (),
                Place::Inside => {
                    let element = self.held[start..self.looked - 1].trim_ascii();
                    let last = byte == b']';
                    match (element.is_empty(), last && !self.owed) {
                        (false, _) => each(element)?,
                        (true, true) => (),
                        (true, false) => return Err(NoList::Gap.into()),
                    }
                    self.owed = !last;
                    if last {
                        self.place = Place::After;
                    }
                    start = self.looked;
                }
            }
        }
        self.held.drain(..start);
        self.looked -= start;
        if self.held.len() > LARGEST_ELEMENT {
            return Err(NoList::TooLarge.into());
        }
        Ok(())
    }

    /// The array is over; whether it was whole.
    pub(super) fn end(self) -> Result<(), NoList> {
        match self.place {
            Place::After => Ok(()),
            Place::Before => Err(NoList::OtherStart),
            Place::Inside => Err(NoList::BreaksOff),
        }
    }

    /// Whether the byte ends an element: a comma or the last bracket, outside
    /// strings and other brackets.
    fn ends_here(&mut self, byte: u8) -> bool {
        match (self.within, byte) {
            (Within::Escape, _) => self.within = Within::String,
            (Within::String, b'\\') => self.within = Within::Escape,
            (Within::String, b'"') => self.within = Within::Structure,
            (Within::String, _) => (),
            (Within::Structure, b'"') => self.within = Within::String,
            (Within::Structure, b',') => return self.depth == 0,
            (Within::Structure, b']' | b'}') if self.depth == 0 => return byte == b']',
            (Within::Structure, b'[' | b'{') => self.depth += 1,
            (Within::Structure, b']' | b'}') => self.depth -= 1,
            (Within::Structure, _) => (),
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// The elements of a text that arrives in pieces of this size.
    fn cut(text: &str, size: usize) -> Result<Vec<String>, NoList> {
        let mut elements = Elements::default();
        let mut found = Vec::new();
        for piece in text.as_bytes().chunks(size.max(1)) {
            elements.push(piece, |element| {
                found.push(String::from_utf8(element.to_vec()).unwrap());
                Ok::<(), NoList>(())
            })?;
        }
        elements.end().map(|()| found)
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\\[\\]{},:\"\\\\a é\n]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[\\[{\",a]{0,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_list_in_any_pieces_gives_its_elements(
            list in prop::collection::vec(any_json(), 0..6),
            size in 1usize..40,
            pretty in any::<bool>(),
        ) {
            let whole = Value::from(list.clone());
            let text = if pretty { format!(" {whole:#}\n") } else { whole.to_string() };
            let found: Vec<Value> =
                cut(&text, size).unwrap().iter().map(|text| serde_json::from_str(text).unwrap()).collect();
            prop_assert_eq!(found, list);
        }
    }

    #[test]
    fn what_is_no_whole_list_is_told() {
        let check = |text: &str, expect: NoList| {
            for size in [1, 3, 1000] {
                assert_eq!(cut(text, size), Err(expect), "{text}");
            }
        };
        check("", NoList::OtherStart);
        check("  \n", NoList::OtherStart);
        check("<html></html>", NoList::OtherStart);
        check(r#"{"status":500,"message":"database is locked"}"#, NoList::OtherStart);
        check("[", NoList::BreaksOff);
        check(r#"[{"a":1},"#, NoList::BreaksOff);
        check(r#"[{"a":"]"#, NoList::BreaksOff);
        check("[1,]", NoList::Gap);
        check("[,1]", NoList::Gap);
        check("[1] x", NoList::Tail);
        check("[1][2]", NoList::Tail);
        assert_eq!(cut(&json!([]).to_string(), 1), Ok(vec![]));
    }

    #[test]
    fn memory_holds_one_element_at_most() {
        let element = format!("\"{}\"", "x".repeat(1000));
        let mut elements = Elements::default();
        elements.push::<NoList>(b"[", |_| Ok(())).unwrap();
        for _ in 0..100 {
            elements.push::<NoList>(element.as_bytes(), |_| Ok(())).unwrap();
            elements.push::<NoList>(b",", |_| Ok(())).unwrap();
            assert!(elements.held.len() <= element.len());
        }
        let huge = vec![b'1'; LARGEST_ELEMENT + 1];
        assert_eq!(elements.push::<NoList>(&huge, |_| Ok(())), Err(NoList::TooLarge));
    }
}
