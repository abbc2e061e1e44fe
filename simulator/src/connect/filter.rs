//! The one filter that Connect knows: an attribute equals a text.
//!
//! Source: Connect's OpenAPI file, "SCIM eq filters"; a single quote in the value is refused since 1.5.2 (changelog).

use super::Refused;

/// Returns the text that `filter=<attribute> eq "<text>"` asks for, `None` without a filter.
///
/// Any other attribute, operator or form is refused with 400, as are two filters.
pub(super) fn equals(query: Option<&str>, attribute: &str) -> Result<Option<String>, Refused> {
    let mut filters = query.into_iter().flat_map(|query| query.split('&')).filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name == "filter").then_some(value)
    });
    match (filters.next(), filters.next()) {
        (None, _) => Ok(None),
        (Some(filter), None) => match decode(filter).and_then(|text| value(&text, attribute)) {
            Some(value) => Ok(Some(value)),
            None => Err(Refused::new(400, "Invalid filter")),
        },
        _ => Err(Refused::new(400, "Invalid filter")),
    }
}

/// Returns the value of a filter; SCIM writes it as a JSON string.
fn value(filter: &str, attribute: &str) -> Option<String> {
    let quoted = filter.strip_prefix(attribute)?.strip_prefix(" eq ")?;
    let is_quoted = quoted.starts_with('"') && quoted.ends_with('"');
    let value: String = serde_json::from_str(quoted).ok().filter(|_| is_quoted)?;
    (!value.contains('\'')).then_some(value)
}

/// Undoes the encoding of a query: `%` with two digits, and `+` for a space.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_one_attribute_that_equals_a_quoted_text() {
        let good = [
            (None, None),
            (Some(""), None),
            (Some("other=1"), None),
            (Some("filter=name%20eq%20%22a%22"), Some("a")),
            (Some("x=1&filter=name+eq+%22a+b%22"), Some("a b")),
            (Some("filter=name eq \"%E5%B1%B1\\u7530 \\\"q\\\"\""), Some("山田 \"q\"")),
            (Some("filter=name+eq+%22%22"), Some("")),
        ];
        for (query, expect) in good {
            assert_eq!(equals(query, "name"), Ok(expect.map(str::to_owned)), "{query:?}");
        }
        let bad = [
            "filter",
            "filter=",
            "filter=title+eq+%22a%22",
            "filter=name+co+%22a%22",
            "filter=name+eq+a",
            "filter=name+eq+'a'",
            "filter=name+eq+%22it's%22",
            "filter=name+eq+%22it\\u0027s%22",
            "filter=name+eq+%22a%22+",
            "filter=name+eq+%22a%22+and+name+eq+%22b%22",
            "filter=name+eq+%2",
            "filter=name+eq+%22%FF%22",
            "filter=name+eq+%22a%22&filter=name+eq+%22a%22",
        ];
        for query in bad {
            assert_eq!(equals(Some(query), "name"), Err(Refused::new(400, "Invalid filter")), "{query}");
        }
    }
}
