//! The parts of records that the streams share.

use opgraph_state::{UnixMs, Version};

use super::{
    Origin,
    parts::{Client, Location, filled},
    told::{Profile, Told},
};
use crate::graph::{
    EntityType, Properties, Records, Text, Textual,
    records::{FULL, NAMELESS, STUB},
};

/// Starts the entity of the event itself: the properties all three have.
#[inline(always)]
pub(super) fn event<'r>(
    records: &'r mut Records,
    of: EntityType,
    origin: &Origin<'_>,
    name: Joined<'_>,
    display_name: Joined<'_>,
) -> Properties<'r> {
    let mut entity = records.entity(of, origin.uuid, version(FULL, origin));
    entity.joined("name", name, origin.uuid);
    entity.joined("displayName", display_name, origin.uuid);
    entity.time("createdOn", origin.at);
    entity
}

/// Ends an entity of an event: the tag, and the event as received.
pub(super) fn close_event(mut entity: Properties<'_>, origin: &Origin<'_>) {
    entity.text("tag.AccountName", origin.account_name);
    if let Some(raw) = origin.raw {
        entity.raw_data(raw);
    }
    entity.close();
}

/// What a record knows, and since when. An event whose time cannot be read is
/// taken for an old one, so that it never hides a newer version.
fn version(rank: u8, origin: &Origin<'_>) -> Version {
    Version { rank, at: time(origin) }
}

/// The event's time for ordering versions.
pub(super) fn time(origin: &Origin<'_>) -> UnixMs {
    origin.at.unwrap_or(UnixMs(0))
}

/// The parts of a name, each with the separator that stands before it.
type Joined<'e> = [(&'static str, Option<Text<'e>>); 3];

/// A user entity, unless the page has told of the user in the same words.
pub(super) fn user<'e>(
    records: &mut Records,
    told: &mut Told<'e>,
    of: EntityType,
    uuid: Text<'e>,
    profile: Profile<'e>,
    origin: &Origin<'_>,
) {
    let rank = if profile.called().is_some() { FULL } else { NAMELESS };
    let version = version(rank, origin);
    let bad_email = told.once(of, uuid, profile, version, records, |records| {
        let email = profile.email.filter(|email| is_email(&email.says()));
        let called = profile.called().unwrap_or(uuid);
        let name = profile.name.as_ref().map(Textual::says);
        let (first, last) = first_and_last(name.as_deref());
        let mut entity = records.entity(of, uuid, version);
        entity.text("name", Some(called));
        entity.text("displayName", Some(called));
        entity.texts_or_null("email", email);
        entity.texts_or_null("username", email);
        entity.texts_or_null("shortLoginId", None::<&str>);
        entity.text_or_null("firstName", first);
        entity.text_or_null("lastName", last);
        entity.text("mspUserAccountId", profile.account);
        entity.text("mspUserType", profile.kind);
        entity.text("tag.AccountName", origin.account_name);
        entity.close();
        profile.email.is_some() && email.is_none()
    });
    records.counts.bad_emails += u64::from(bad_email);
}

/// A vault of which nothing is known but its id.
pub(super) fn vault_stub<'e>(records: &mut Records, told: &mut Told<'e>, id: Text<'e>, origin: &Origin<'_>) {
    let version = version(STUB, origin);
    told.once(EntityType::Vault, id, Profile::default(), version, records, |records| {
        let mut entity = records.entity(EntityType::Vault, id, version);
        entity.text("name", Some(id));
        entity.text("displayName", Some(id));
        entity.text("tag.AccountName", origin.account_name);
        entity.close();
        false
    });
}

/// Splits a name at its last space.
fn first_and_last(name: Option<&str>) -> (Option<&str>, Option<&str>) {
    let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) else {
        return (None, None);
    };
    match name.bytes().rposition(|byte| byte == b' ') {
        Some(space) => (Some(name[..space].trim_end()), Some(&name[space + 1..])),
        None => (Some(name), None),
    }
}

/// Whether JupiterOne takes the text for an e-mail address: the `email` format
/// of the schema validator that its SDK uses (ajv-formats).
fn is_email(text: &str) -> bool {
    // A dot is thought at both ends, so that none may be beside another.
    let (mut before, mut in_domain, mut labels) = (b'.', false, 0);
    let fits = text.bytes().chain([b'.']).all(|byte| {
        let fits = match byte {
            b'@' => !in_domain && before != b'.',
            b'.' => before != b'.' && !(in_domain && before == b'-'),
            b'-' if in_domain => before != b'.',
            _ if in_domain => byte.is_ascii_alphanumeric(),
            _ => IS_LOCAL[usize::from(byte)],
        };
        in_domain |= byte == b'@';
        labels += usize::from(in_domain && byte == b'.');
        before = if byte == b'@' { b'.' } else { byte };
        fits
    });
    fits && labels > 1
}

/// What may stand before the `@` of an address, dots aside.
const IS_LOCAL: [bool; 256] = {
    let (mut is, mut byte) = ([false; 256], 0_u8);
    while byte < 128 {
        is[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?' | b'^'..=b'`' | b'{'..=b'~');
        byte += 1;
    }
    is
};

/// The properties of `client`.
pub(super) fn client(entity: &mut Properties<'_>, client: Option<&Client<'_>>) {
    let Some(client) = client else { return };
    entity.text("appName", filled(client.app_name));
    entity.text("appVersion", filled(client.app_version));
    entity.text("platformName", filled(client.platform_name));
    entity.text("platformVersion", filled(client.platform_version));
    entity.text("osName", filled(client.os_name));
    entity.text("osVersion", filled(client.os_version));
    entity.text("ipAddress", filled(client.ip_address));
}

/// The properties of `location`, its country aside.
pub(super) fn location(entity: &mut Properties<'_>, location: Option<&Location<'_>>) {
    let Some(location) = location else { return };
    entity.text("region", filled(location.region));
    entity.text("city", filled(location.city));
    for (name, degrees, most) in
        [("latitude", location.latitude, 90.0), ("longitude", location.longitude, 180.0)]
    {
        match degrees {
            Some(degrees) if degrees.abs() <= most => entity.number(name, Some(degrees)),
            Some(_) => entity.counts().bad_coordinates += 1,
            None => (),
        }
    }
}

/// The country of a location.
pub(super) fn country<'e>(location: Option<&Location<'e>>) -> Option<Text<'e>> {
    location.and_then(|location| filled(location.country))
}

/// Counts a value that `known`, which is sorted, does not list.
pub(super) fn count_unknown(records: &mut Records, known: &[&str], value: Option<Text<'_>>) {
    if filled(value).is_some_and(|value| known.binary_search(&&*value.says()).is_err()) {
        records.counts.unknown_values += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_split_at_its_last_space() {
        let check = |name: Option<&str>, first: Option<&str>, last: Option<&str>| {
            assert_eq!(first_and_last(name), (first, last), "{name:?}");
        };
        check(Some("Jack O'Neill"), Some("Jack"), Some("O'Neill"));
        check(Some("Ana María Ruiz"), Some("Ana María"), Some("Ruiz"));
        check(Some("Cher"), Some("Cher"), None);
        check(Some(" Ann  Lee "), Some("Ann"), Some("Lee"));
        check(Some("  "), None, None);
        check(None, None, None);
    }

    #[test]
    fn each_byte_that_an_email_may_hold_before_its_at_is_in_the_list() {
        for byte in 0..0x80u8 {
            let listed = byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&byte);
            let text = format!("a{}b@example.com", char::from(byte));
            // A dot makes two atoms of it, and what is before an `@` has none.
            assert_eq!(is_email(&text), listed || byte == b'.', "{text:?}");
        }
    }

    #[test]
    fn an_email_is_what_jupiterone_takes_for_one() {
        for good in ["a@example.com", "a.b+c@x-y.co.uk", "O'Neill@example.com", "a@1.2"] {
            assert!(is_email(good), "{good}");
        }
        for bad in [
            "nobody", "a@b", "@b.com", "a@", "a@@b.com", "a b@c.de", "a@b..c", "a@-b.com", "a@b-.com",
            "a@b.c-", "a@b.com.", "a@b.c@d", "a.@b.com", ".a@b.com", "ü@b.com",
        ] {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
