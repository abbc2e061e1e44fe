//! What JupiterOne demands of properties, classes and verbs.
//!
//! Sources: JupiterOne docs, sync API reference (names, values); @jupiterone/data-model 0.64.2 (class schemas,
//! verbs); the SDK's validator (name pattern, formats).

use std::borrow::Cow;

use super::wire::Value;

/// Returns why a property name is refused. The pattern is `^(_|tag\.)?[A-Za-z0-9. -]+$`.
pub(super) fn name(name: &str) -> Option<&'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b' ' | b'-');
    let plain = name.strip_prefix("tag.").filter(|rest| !rest.is_empty()).unwrap_or(name);
    (plain.is_empty() || !plain.bytes().all(allowed))
        .then_some("does not match ^(_|tag\\.)?[A-Za-z0-9. -]+$: no snake_case")
}

/// Returns why an entity's value is refused.
pub(super) fn value(value: &Value<'_>) -> Option<&'static str> {
    match value {
        Value::Object => Some("is a nested object"),
        Value::Nested => Some("is an array of arrays or objects"),
        Value::Mixed => Some("is a mixed array"),
        _ => None,
    }
}

/// Returns why a relationship's value is refused.
pub(super) fn scalar(value: &Value<'_>) -> Option<&'static str> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => None,
        _ => Some("is an array or object, which relationships cannot have"),
    }
}

/// Returns why a record's key or type is refused.
pub(super) fn identity(key: &str, type_: &str) -> Option<String> {
    // Forty bytes are ten characters at least.
    if key.len() < 40 && key.chars().count() < 10 {
        return Some("_key has fewer than 10 characters".to_owned());
    }
    (type_.chars().count() < 3).then(|| "_type has fewer than 3 characters".to_owned())
}

/// Reads a `_class` into `classes`, or returns why it is refused.
pub(super) fn classes<'a>(value: &Value<'a>, classes: &mut Vec<Cow<'a, str>>) -> Option<&'static str> {
    match value {
        Value::Text(class) => classes.push(class.clone()),
        Value::Texts(list) => classes.extend(list.iter().cloned()),
        _ => {}
    }
    let wrong = classes.is_empty() || classes.iter().any(|class| class.chars().count() < 2);
    wrong.then_some("is not a class or an array of classes")
}

/// Returns why a relationship's `_class` is refused.
pub(super) fn verb(class: &str) -> Option<String> {
    (!VERBS.contains(&class)).then(|| format!("_class {class:?} is not a verb of the data model"))
}

/// The RelationshipClass enumeration.
static VERBS: [&str; 49] = [
    "ALLOWS",
    "APPROVED",
    "ASSIGNED",
    "CONNECTS",
    "CONTAINS",
    "COMPLETED",
    "CREATED",
    "DEFINES",
    "DENIES",
    "DEPLOYED",
    "ENFORCES",
    "EVALUATES",
    "EXPLOITS",
    "EXTENDS",
    "GENERATED",
    "HAS",
    "HOSTS",
    "IDENTIFIED",
    "IMPLEMENTS",
    "IS",
    "KNOWS",
    "LIMITS",
    "LINKS",
    "LOGS",
    "MANAGES",
    "MITIGATES",
    "MONITORS",
    "NOTIFIES",
    "OPENED",
    "OVERRIDES",
    "OWNS",
    "PERFORMED",
    "PROTECTS",
    "PROVIDES",
    "PUBLISHED",
    "PUBLISHES",
    "RESTRICTS",
    "REVIEWED",
    "REPORTED",
    "RUNS",
    "SCANS",
    "SENDS",
    "SHARED",
    "TRIGGERS",
    "TRUSTS",
    "UPDATED",
    "USES",
    "INSTALLED",
    "VIOLATES",
];

/// What a property of a class must be.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Text,
    TextOrNull,
    Bool,
    /// Milliseconds since the epoch: a number.
    Time,
    Texts,
    UniqueTextsOrNull,
    EmailsOrNull,
}

/// The properties that a class must have, of those in [`form`].
const NAMES: u8 = 1 << 0 | 1 << 1;
const USER: u8 = NAMES | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6;

/// Returns what a known property must be, and its bit when some class demands it.
fn form(name: &str) -> Option<(Form, u8)> {
    Some(match name {
        "name" => (Form::Text, 1 << 0),
        "displayName" => (Form::Text, 1 << 1),
        "firstName" => (Form::TextOrNull, 1 << 2),
        "lastName" => (Form::TextOrNull, 1 << 3),
        "email" => (Form::EmailsOrNull, 1 << 4),
        "shortLoginId" => (Form::UniqueTextsOrNull, 1 << 5),
        "username" => (Form::UniqueTextsOrNull, 1 << 6),
        "createdOn" | "updatedOn" | "deletedOn" | "discoveredOn" | "expiresOn" | "approvedOn"
        | "reportedOn" | "passwordChangedOn" => (Form::Time, 0),
        "summary" | "description" | "category" | "status" | "webLink" | "owner" | "createdBy"
        | "updatedBy" | "deletedBy" | "discoveredBy" | "content" | "reporter" | "exceptionReason" => {
            (Form::Text, 0)
        }
        "open" | "public" | "production" | "approved" | "exception" | "active" | "validated"
        | "temporary" | "trusted" | "mfaEnabled" | "isMfaEnabled" | "isActive" | "isAdmin" | "isPerson"
        | "isGuest" => (Form::Bool, 0),
        "tags" | "notes" | "approvers" => (Form::Texts, 0),
        _ => return None,
    })
}

/// What has been seen of the properties that classes speak of.
#[derive(Debug, Default)]
pub(super) struct ClassFields {
    there: u8,
    broken: Option<String>,
    broken_email: Option<String>,
}

impl ClassFields {
    /// Takes in a property.
    pub(super) fn see(&mut self, name: &str, value: &Value<'_>) {
        let Some((form, bit)) = form(name) else { return };
        self.there |= bit;
        let unique = |texts: &[Cow<'_, str>]| (1..texts.len()).all(|at| !texts[..at].contains(&texts[at]));
        let fault = match (form, value) {
            (Form::Text | Form::TextOrNull, Value::Text(_))
            | (Form::TextOrNull | Form::UniqueTextsOrNull | Form::EmailsOrNull, Value::Null)
            | (Form::Bool, Value::Bool(_))
            | (Form::Time, Value::Number(_))
            | (Form::Texts, Value::Texts(_)) => None,
            (Form::UniqueTextsOrNull, Value::Texts(texts)) if unique(texts) => None,
            (Form::EmailsOrNull, Value::Texts(texts)) if unique(texts) => texts
                .iter()
                .find(|text| !is_email(text))
                .map(|text| format!("email holds {text:?}, which is none")),
            (Form::Text, _) => Some(format!("{name} is not a string")),
            (Form::TextOrNull, _) => Some(format!("{name} is not a string or null")),
            (Form::Bool, _) => Some(format!("{name} is not a boolean")),
            (Form::Time, _) => Some(format!("{name} is not a number of milliseconds")),
            (Form::Texts, _) => Some(format!("{name} is not an array of strings")),
            (Form::UniqueTextsOrNull | Form::EmailsOrNull, _) => {
                Some(format!("{name} is not an array of unique strings or null"))
            }
        };
        // What users must have, other classes may use as they like.
        let place = if bit & (USER & !NAMES) == 0 { &mut self.broken } else { &mut self.broken_email };
        if place.is_none() {
            *place = fault;
        }
    }

    /// Returns why an entity of these classes is refused. Unknown classes demand nothing.
    pub(super) fn missing(self, classes: &[Cow<'_, str>]) -> Option<String> {
        let is_user = classes.iter().any(|class| class == "User");
        let known =
            is_user || classes.iter().any(|class| matches!(class.as_ref(), "Record" | "Vault" | "Secret"));
        if classes.is_empty() {
            return Some("_class is missing".to_owned());
        }
        if !known {
            return None;
        }
        let required = if is_user { USER } else { NAMES };
        let lacks = required & !self.there;
        if lacks != 0 {
            let all = ["name", "displayName", "firstName", "lastName", "email", "shortLoginId", "username"];
            let name = all[lacks.trailing_zeros() as usize];
            return Some(format!("{name} is missing, which {} demands", classes[0]));
        }
        self.broken.or(self.broken_email.filter(|_| is_user))
    }
}

/// Whether text is an e-mail address as the validator's `email` format sees one: ASCII, and a dot in the domain.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let local_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let atom = |atom: &str| !atom.is_empty() && atom.bytes().all(local_byte);
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    local.split('.').all(atom) && domain.contains('.') && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn property_names_follow_the_pattern() {
        for good in ["actorUUID", "tag.AccountName", "a.b", "two words", "a-b", "tag.", "9"] {
            assert_eq!(name(good), None, "{good}");
        }
        for bad in ["", "actor_uuid", "größe", "a/b", "tag.a_b"] {
            assert!(name(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_told_from_what_is_none() {
        for good in ["a@example.com", "a.b+c@x-y.example.com"] {
            assert!(is_email(good), "{good}");
        }
        for bad in [
            "nobody",
            "a@b",
            "@example.com",
            "a..b@example.com",
            "a b@example.com",
            "é@example.com",
            "a@-x.com",
        ] {
            assert!(!is_email(bad), "{bad}");
        }
    }

    #[test]
    fn verbs_are_in_upper_case() {
        assert_eq!(verb("PERFORMED"), None);
        assert!(verb("performed").is_some() && verb("").is_some());
    }
}
