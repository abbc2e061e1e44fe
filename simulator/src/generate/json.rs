//! Writing templates: JSON with the places that each event fills in.

use super::clock::TimeForm;

/// A field as the wire may have it. Every field of the Events API is optional: no schema has a `required` list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Field<T> {
    /// The key is not there.
    Absent,
    /// The key is there and `null`.
    Null,
    /// The key has this value, which may be an empty string.
    Is(T),
}

impl<T> Field<T> {
    pub(crate) fn get(&self) -> Option<&T> {
        match self {
            Field::Is(value) => Some(value),
            Field::Absent | Field::Null => None,
        }
    }
}

impl Field<String> {
    /// Returns the text. An empty source field counts as absent (data model, "Keys, names, times").
    pub(crate) fn text(&self) -> Option<&str> {
        self.get().map(String::as_str).filter(|text| !text.is_empty())
    }
}

/// A value, or a place that each event fills in.
#[derive(Clone, Debug)]
enum Piece {
    Json(String),
    Uuid,
    Time(TimeForm),
}

/// An object being written, its fields in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object {
    fields: Vec<(&'static str, Piece)>,
    /// Whether strings escape what they need not: other letters than ASCII, and `/`.
    escaped: bool,
}

impl Object {
    pub(crate) fn new(escaped: bool) -> Object {
        Object { fields: Vec::new(), escaped }
    }

    /// Adds a field that is already JSON.
    pub(crate) fn json(&mut self, name: &'static str, value: impl Into<String>) {
        self.fields.push((name, Piece::Json(value.into())));
    }

    /// Adds the event's uuid, filled in for each event.
    pub(crate) fn uuid(&mut self, name: &'static str) {
        self.fields.push((name, Piece::Uuid));
    }

    /// Adds the event's time, filled in for each event.
    pub(crate) fn time(&mut self, name: &'static str, form: TimeForm) {
        self.fields.push((name, Piece::Time(form)));
    }

    pub(crate) fn text(&mut self, name: &'static str, value: &Field<String>) {
        let escaped = self.escaped;
        self.field(name, value, |text| quote(text, escaped));
    }

    pub(crate) fn number(&mut self, name: &'static str, value: &Field<i64>) {
        self.field(name, value, i64::to_string);
    }

    pub(crate) fn decimal(&mut self, name: &'static str, value: &Field<f64>) {
        self.field(name, value, f64::to_string);
    }

    /// Adds an object, with `write` writing its fields.
    pub(crate) fn object<T>(
        &mut self,
        name: &'static str,
        value: &Field<T>,
        write: impl FnOnce(&T, &mut Object),
    ) {
        let escaped = self.escaped;
        self.field(name, value, |value| {
            let mut object = Object::new(escaped);
            write(value, &mut object);
            object.plain()
        });
    }

    fn field<T>(&mut self, name: &'static str, value: &Field<T>, write: impl FnOnce(&T) -> String) {
        match value {
            Field::Absent => {}
            Field::Null => self.json(name, "null"),
            Field::Is(value) => self.json(name, write(value)),
        }
    }

    /// Turns the order of the fields around: JSON objects have none.
    pub(crate) fn reverse(&mut self) {
        self.fields.reverse();
    }

    /// Returns the text, with places for the event's own values as the text says.
    pub(crate) fn finish(&self) -> Text {
        let mut bytes = vec![b'{'];
        let (mut uuid, mut time) = (None, None);
        for (at, (name, piece)) in self.fields.iter().enumerate() {
            if at > 0 {
                bytes.push(b',');
            }
            bytes.extend_from_slice(quote(name, false).as_bytes());
            bytes.push(b':');
            match piece {
                Piece::Json(json) => bytes.extend_from_slice(json.as_bytes()),
                Piece::Uuid => {
                    uuid = Some(bytes.len() + 1);
                    bytes.extend_from_slice(b"\"AAAAAAAAAAAAAAAAAAAAAAAAAA\"");
                }
                Piece::Time(form) => {
                    time = Some((bytes.len() + 1, *form));
                    bytes.push(b'"');
                    bytes.resize(bytes.len() + form.width(), b'0');
                    bytes.push(b'"');
                }
            }
        }
        bytes.push(b'}');
        Text { bytes: bytes.into_boxed_slice(), uuid, time }
    }

    fn plain(&self) -> String {
        String::from_utf8(self.finish().bytes.into_vec()).unwrap_or_default()
    }
}

/// A written template: bytes, and where each event's own values go.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) uuid: Option<usize>,
    pub(crate) time: Option<(usize, TimeForm)>,
}

/// Returns text as a JSON string.
pub(crate) fn quote(text: &str, escaped: bool) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '/' if escaped => out.push_str("\\/"),
            letter if letter < ' ' || (escaped && !letter.is_ascii()) => {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_reads_back() {
        for text in ["", "plain", "O'Neill \"Bob\" \\ / \n\t\u{1}", "山田 太郎", "👩‍🚀", "Ångström"]
        {
            for escaped in [false, true] {
                let read: String = serde_json::from_str(&quote(text, escaped)).expect("JSON");
                assert_eq!(read, text);
            }
        }
    }
}
