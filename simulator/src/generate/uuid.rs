//! 1Password's uuids: 26 characters of base32, and back to the event they were made for.
//!
//! Source: 1Password samples: events, users and sessions in upper case; vaults, items, groups and devices in lower case.

use crate::{
    Stream,
    mix::{mix, unmix},
};

/// Characters of a uuid.
pub(crate) const LENGTH: usize = 26;

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The high byte that marks an index whose uuid is the same in all three streams.
const SHARED: u64 = 3;

/// Makes ids of numbers, one to one, and finds the number again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbered {
    key: u64,
}

impl Numbered {
    pub(crate) fn new(seed: u64) -> Numbered {
        Numbered { key: mix(seed) }
    }

    fn check(self, low: u64) -> u64 {
        mix(low.wrapping_add(self.key))
    }

    /// Returns the id of a number, in upper case.
    pub(crate) fn of(self, number: u64) -> [u8; LENGTH] {
        let low = mix(number ^ self.key);
        encode(u128::from(self.check(low)) << 64 | u128::from(low))
    }

    /// Returns the number that this upper-case id was made of, or `None` when it was made of none.
    pub(crate) fn number_of(self, id: &[u8]) -> Option<u64> {
        let number = decode(id)?;
        let low = number as u64;
        ((number >> 64) as u64 == self.check(low)).then(|| unmix(low) ^ self.key)
    }

    /// Returns the id of a number, in lower case.
    pub(crate) fn lower(self, number: u64) -> String {
        self.of(number).iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect()
    }

    /// Returns the number that this lower-case id was made of, or `None` when it was made of none.
    pub(crate) fn lower_number_of(self, id: &str) -> Option<u64> {
        let is_lower = !id.bytes().any(|byte| byte.is_ascii_uppercase());
        is_lower.then(|| self.number_of(id.to_ascii_uppercase().as_bytes())).flatten()
    }
}

/// Makes the uuid of every event, one to one, and finds the event again.
///
/// One index in 1,024 has the same uuid in all three streams: the documentation reuses one, so only
/// (stream, uuid) tells events apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uuids {
    ids: Numbered,
}

impl Uuids {
    pub(crate) fn new(seed: u64) -> Uuids {
        Uuids { ids: Numbered::new(seed ^ 0x7575_6964) }
    }

    fn is_shared(self, index: u64) -> bool {
        mix(self.ids.key ^ index) & 1023 == 7
    }

    /// Returns the uuid of an event. Different for any two events of one stream.
    pub(crate) fn of(self, stream: Stream, index: u64) -> [u8; LENGTH] {
        let tag = if self.is_shared(index) { SHARED } else { stream.index() as u64 };
        self.ids.of(tag << 56 | index)
    }

    /// Returns the index of the event with this uuid, or `None` when it was made for none.
    pub(crate) fn index_of(self, stream: Stream, uuid: &str) -> Option<u64> {
        let plain = self.ids.number_of(uuid.as_bytes())?;
        let (tag, index) = (plain >> 56, plain & ((1 << 56) - 1));
        let expected = if self.is_shared(index) { SHARED } else { stream.index() as u64 };
        (tag == expected).then_some(index)
    }
}

/// Writes a number as 26 characters of upper-case base32.
pub(crate) fn encode(mut number: u128) -> [u8; LENGTH] {
    let mut text = [0; LENGTH];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(number & 31) as usize];
        number >>= 5;
    }
    text
}

fn decode(text: &[u8]) -> Option<u128> {
    if text.len() != LENGTH {
        return None;
    }
    let mut number = 0u128;
    for (at, byte) in text.iter().enumerate() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'2'..=b'7' => byte - b'2' + 26,
            _ => return None,
        };
        if at == 0 && digit > 7 {
            return None;
        }
        number = number << 5 | u128::from(digit);
    }
    Some(number)
}

/// Returns a uuid of a user, account or session.
pub(crate) fn upper(seed: u64) -> String {
    let number = u128::from(mix(seed)) << 64 | u128::from(mix(seed ^ 1));
    encode(number).iter().map(|byte| char::from(*byte)).collect()
}

/// Returns a uuid of a vault, item, group or device.
pub(crate) fn lower(seed: u64) -> String {
    upper(seed).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_uuid_is_unique_in_its_stream_and_leads_back_to_its_event() {
        let uuids = Uuids::new(7);
        let mut shared = 0;
        for stream in Stream::ALL {
            let mut seen = HashSet::new();
            for index in 0..20_000 {
                let uuid = uuids.of(stream, index);
                let text = std::str::from_utf8(&uuid).expect("base32 is ASCII");
                assert!(seen.insert(uuid));
                assert_eq!(uuids.index_of(stream, text), Some(index));
                let elsewhere = uuids.index_of(Stream::AuditEvents, text);
                shared += u64::from(stream == Stream::SigninAttempts && elsewhere == Some(index));
            }
        }
        assert!(shared > 0, "some uuids are reused by another stream");
        assert_eq!(uuids.index_of(Stream::AuditEvents, "OJQGU46KAPROEJLCK674RHSAY5"), None);
        assert_eq!(uuids.index_of(Stream::AuditEvents, "second (and last) event"), None);
    }
}
