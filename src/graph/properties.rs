//! Writes the properties of one entity.

use opgraph_state::UnixMs;

use super::{
    Textual, json,
    records::{Counts, Entry},
};

/// Writes the properties of one entity.
///
/// An absent or empty source value gives no property, except where the
/// method's name says `or_null`.
#[must_use = "an entity is complete when it is closed"]
pub struct Properties<'a> {
    /// The text of the lot that the entity belongs to.
    pub(super) json: &'a mut String,
    pub(super) entries: &'a mut Vec<Entry>,
    pub(super) counts: &'a mut Counts,
    pub(super) entry: Entry,
}

impl Properties<'_> {
    #[inline(always)]
    fn name(&mut self, name: &str) -> &mut String {
        self.json.push_str(",\"");
        self.json.push_str(name);
        self.json.push_str("\":");
        self.json
    }

    /// Writes a string, cut to what the search index holds.
    #[inline(always)]
    pub fn text(&mut self, name: &str, value: Option<impl Textual>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            push_cut(self.name(name), value);
        }
    }

    /// Writes the string that these parts make together, cut likewise. A missing
    /// part is left out together with the separator before it; when nothing is
    /// left, it is `or`.
    pub fn joined<T: Textual, const N: usize>(&mut self, name: &str, parts: [(&str, Option<T>); N], or: T) {
        let json = self.name(name);
        let before = json.len();
        let mut is_first = true;
        json.push('"');
        for (separator, part) in &parts {
            let Some(part) = part else { continue };
            if !is_first {
                json.push_str(separator);
            }
            is_first = false;
            push_inside(json, part);
        }
        if is_first {
            push_inside(json, &or);
        }
        json.push('"');
        // So few bytes cannot say more than that.
        if json.len() - before > json::LONGEST_TEXT {
            let whole: String = serde_json::from_str(&json[before..]).expect("it was just written");
            json.truncate(before);
            json::push_string(json, json::cut(&whole));
        }
    }

    /// Writes a string, or `null` for an absent one: what a class demands.
    pub fn text_or_null(&mut self, name: &str, value: Option<impl Textual>) {
        match value.filter(|value| !value.is_empty()) {
            Some(value) => push_cut(self.name(name), value),
            None => self.name(name).push_str("null"),
        }
    }

    /// Writes an array of strings, empty ones left out; nothing if none is left.
    pub fn texts<T: AsRef<str>>(&mut self, name: &str, values: &[T]) {
        let mut filled = values.iter().map(AsRef::as_ref).filter(|value| !value.is_empty()).peekable();
        if filled.peek().is_none() {
            return;
        }
        let json = self.name(name);
        for (at, value) in filled.enumerate() {
            json.push(if at == 0 { '[' } else { ',' });
            json::push_string(json, json::cut(value));
        }
        json.push(']');
    }

    /// Writes an array of one string, or `null`: what a class demands.
    pub fn texts_or_null(&mut self, name: &str, value: Option<impl Textual>) {
        match value.filter(|value| !value.is_empty()) {
            Some(value) => {
                let json = self.name(name);
                json.push('[');
                push_cut(json, value);
                json.push(']');
            }
            None => self.name(name).push_str("null"),
        }
    }

    /// Writes an integer.
    pub fn integer(&mut self, name: &str, value: Option<i64>) {
        if let Some(value) = value {
            json::push_integer(self.name(name), value);
        }
    }

    /// Writes the decimal text of an integer.
    pub fn integer_as_text(&mut self, name: &str, value: Option<i64>) {
        if let Some(value) = value {
            let json = self.name(name);
            json.push('"');
            json::push_integer(json, value);
            json.push('"');
        }
    }

    /// Writes a time as milliseconds since the epoch.
    pub fn time(&mut self, name: &str, value: Option<UnixMs>) {
        self.integer(name, value.map(|at| at.0));
    }

    /// Writes a number.
    pub fn number(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            json::push_number(self.name(name), value);
        }
    }

    /// Writes true or false.
    pub fn boolean(&mut self, name: &str, value: Option<bool>) {
        if let Some(value) = value {
            self.name(name).push_str(if value { "true" } else { "false" });
        }
    }

    /// Counts on the page that the entity belongs to.
    pub fn counts(&mut self) -> &mut Counts {
        self.counts
    }

    /// Writes the event as it was received. Has to be the last property.
    pub fn raw_data(&mut self, raw: &str) {
        self.entry.raw_at = Some(self.json.len() - self.entry.json.start);
        let json = self.name("_rawData");
        json.push_str("[{\"name\":\"default\",\"rawData\":");
        json.push_str(raw);
        json.push_str("}]");
    }

    /// Completes the entity.
    pub fn close(mut self) {
        self.json.push('}');
        self.entry.json.end = self.json.len();
        self.entries.push(self.entry);
    }
}

/// Appends a text as a JSON string, cut to what the search index holds.
#[inline]
pub(super) fn push_cut(json: &mut String, text: impl Textual) {
    match text.json() {
        Some(clean) if clean.len() <= json::LONGEST_TEXT => json.push_str(clean),
        _ => json::push_string(json, json::cut(&text.says())),
    }
}

/// Appends a text as the inside of a JSON string; answers whether it is there as it says.
#[inline]
pub(super) fn push_inside(json: &mut String, text: &impl Textual) -> bool {
    if let Some(clean) = text.json() {
        json.push_str(&clean[1..clean.len() - 1]);
        return true;
    }
    let (before, said) = (json.len(), text.says());
    json::push_escaped(json, &said);
    json.len() - before == said.len()
}

#[cfg(test)]
mod tests {
    use opgraph_state::{UnixMs, Version};

    use super::*;
    use crate::graph::{EntityType, Records, Text};

    /// The record with these properties, read back.
    fn written(write: impl FnOnce(&mut Properties<'_>)) -> serde_json::Value {
        let mut records = Records::default();
        let mut entity = records.entity(EntityType::Vault, "v", Version { rank: 0, at: UnixMs(0) });
        write(&mut entity);
        entity.close();
        serde_json::from_str(records.iter().next().unwrap().json).unwrap()
    }

    #[test]
    fn a_name_leaves_out_what_is_missing_with_its_separator() {
        let check = |first: Option<&str>, second: Option<&str>, third: Option<&str>, expect: &str| {
            let parts = [("", first), (": ", second), (" ", third)];
            let record = written(|entity| entity.joined("name", parts, "uuid"));
            assert_eq!(record["name"], expect);
        };
        check(Some("Ann"), Some("join"), Some("gm"), "Ann: join gm");
        check(None, Some("join"), Some("gm"), "join gm");
        check(Some("Ann"), None, Some("gm"), "Ann gm");
        check(Some("Ann"), Some("join"), None, "Ann: join");
        check(Some("Ann"), None, None, "Ann");
        check(None, None, Some("gm"), "gm");
        check(None, None, None, "uuid");
    }

    #[test]
    fn a_text_as_it_came_is_written_and_cut_like_one_in_memory() {
        let long = json::LONGEST_TEXT;
        let texts = ["", "a", "\"", "é\\\u{7f}\n/", "\u{1}x"].map(str::to_owned);
        let lengths = [long - 3, long - 2, long - 1, long, long + 1].into_iter();
        let texts: Vec<String> = texts
            .into_iter()
            .chain(lengths.flat_map(|n| ["x".repeat(n), "é".repeat(n), "\n".repeat(n)]))
            .collect();
        for said in &texts {
            let json = serde_json::to_string(said).unwrap();
            for json in [json.clone(), json.replace('x', "\\u0078")] {
                let came: Text<'_> = serde_json::from_str(&json).unwrap();
                let kept = |text: &str| text.chars().take(long).collect::<String>();
                let record = written(|entity| {
                    entity.text("a", Some(came));
                    entity.text("b", Some(said));
                    entity.joined("c", [("", Some(came)), ("/", Some(came))], came);
                    entity.joined("d", [("", None), ("/", None)], came);
                    entity.texts_or_null("e", Some(came));
                });
                if said.is_empty() {
                    assert!(record.get("a").is_none() && record.get("b").is_none() && record["e"].is_null());
                } else {
                    assert_eq!((&record["a"], &record["b"]), (&kept(said).into(), &kept(said).into()));
                    assert_eq!(record["e"][0], kept(said));
                }
                assert_eq!(record["c"], kept(&format!("{said}/{said}")));
                assert_eq!(record["d"], kept(said));
            }
        }
    }
}
