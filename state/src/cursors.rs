//! Cursors in a file: where the streams of some tenants stand, without the ids they have seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Checkpoint, Cursor};

/// The newest version this program reads. It writes 1 where no stream was ever
/// split: who knows no windows would leave out what is in them.
const VERSION: u32 = 2;

/// The checkpoints of some tenants, by tenant and stream: what moves a tenant
/// to another machine, and what is left when a state is damaged.
///
/// As text: `{"version":2,"crc32":…,"tenants":{"acme":{"auditevents":{…}}}}`,
/// the checksum being that of the bytes of `tenants`. An older one is as good
/// as a newer one: more is read again from it, and nothing is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CursorsFile {
    /// By tenant and stream.
    pub tenants: BTreeMap<String, BTreeMap<String, Checkpoint>>,
}

/// Why a text is no cursors file that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCursors {
    /// It was made by a newer version of opgraph.
    #[error("it has version {found}, this opgraph knows up to {VERSION}")]
    TooNew {
        /// Its version.
        found: u32,
    },
    /// Something in it was changed by accident or by hand.
    #[error("its checksum is wrong")]
    WrongChecksum,
    /// It is something else.
    #[error("it is no cursors file: {why}")]
    Nonsense {
        /// What is wrong with it.
        why: String,
    },
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    version: u32,
    crc32: u32,
    #[serde(borrow)]
    tenants: &'a RawValue,
}

impl CursorsFile {
    /// Writes the text, in one line.
    pub fn to_json(&self) -> String {
        const PLAIN: &str = "plain structs with string keys always serialise";
        let tenants = serde_json::value::to_raw_value(self).expect(PLAIN);
        let crc32 = crc32fast::hash(tenants.get().as_bytes());
        let split = self.tenants.values().flat_map(BTreeMap::values).any(Checkpoint::is_split);
        let version = if split { VERSION } else { 1 };
        serde_json::to_string(&Sealed { version, crc32, tenants: &tenants }).expect(PLAIN)
    }

    /// Reads the text.
    ///
    /// # Errors
    ///
    /// [`BadCursors`], if it is anything but what a program of this version or
    /// an older one has written.
    pub fn from_json(text: &str) -> Result<CursorsFile, BadCursors> {
        let nonsense = |why: String| BadCursors::Nonsense { why };
        let not_json = |error: serde_json::Error| nonsense(error.to_string());
        // A newer version may look otherwise in all but this.
        let Versioned { version } = serde_json::from_str(text).map_err(not_json)?;
        if version > VERSION {
            return Err(BadCursors::TooNew { found: version });
        }
        if version == 0 {
            return Err(nonsense("there is no version 0".to_owned()));
        }
        let sealed: Sealed<'_> = serde_json::from_str(text).map_err(not_json)?;
        if crc32fast::hash(sealed.tenants.get().as_bytes()) != sealed.crc32 {
            return Err(BadCursors::WrongChecksum);
        }
        let file: CursorsFile = serde_json::from_str(sealed.tenants.get()).map_err(not_json)?;
        for (tenant, streams) in &file.tenants {
            for (stream, checkpoint) in streams {
                let of_windows = checkpoint.windows.iter().map(|window| &window.cursor);
                let nowhere = |cursor: &Cursor| matches!(cursor, Cursor::Token(token) if token.is_empty());
                let nowhere = of_windows.chain([&checkpoint.cursor]).any(nowhere);
                if tenant.is_empty() || stream.is_empty() || nowhere {
                    return Err(nonsense(format!("`{tenant}/{stream}` has no name or no cursor")));
                }
            }
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UnixMs;

    fn file() -> CursorsFile {
        let at = |cursor| Checkpoint { newest_event: Some(UnixMs(7)), ..Checkpoint::starting_at(cursor) };
        let streams = [
            ("auditevents".to_owned(), at(Cursor::Token("a \"token\"".to_owned()))),
            ("itemusages".to_owned(), at(Cursor::Since(UnixMs(-5)))),
        ];
        CursorsFile { tenants: [("acme".to_owned(), streams.into())].into() }
    }

    #[test]
    fn a_cursors_file_comes_back_and_any_change_to_it_is_found_out() {
        let text = file().to_json();
        assert_eq!(CursorsFile::from_json(&text), Ok(file()));
        assert_eq!(CursorsFile::from_json(&CursorsFile::default().to_json()), Ok(CursorsFile::default()));
        for at in 0..text.len() {
            for bit in 0..7 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let Ok(bent) = String::from_utf8(bytes) else { continue };
                assert_ne!(CursorsFile::from_json(&bent), Ok(file()), "{bent}");
                let read = CursorsFile::from_json(&bent);
                assert!(read.is_err(), "{bent}");
            }
            assert!(CursorsFile::from_json(&text[..at]).is_err(), "cut at {at}");
        }
    }

    /// An older opgraph would skip the windows, and never read what is in them.
    #[test]
    fn only_a_file_of_streams_that_were_never_split_can_be_read_by_an_older_opgraph() {
        let version = |file: &CursorsFile| {
            let Versioned { version } = serde_json::from_str(&file.to_json()).unwrap();
            version
        };
        let mut file = file();
        assert_eq!(version(&file), 1);
        let stands = file.tenants.get_mut("acme").unwrap().get_mut("itemusages").unwrap();
        let crate::Split { seam, windows, .. } = crate::Split::cut(UnixMs(0), UnixMs(50_000_000), 3, 0, None);
        (stands.seam, stands.windows) = (Some(seam), windows);
        assert_eq!(version(&file), 2);
        assert_eq!(CursorsFile::from_json(&file.to_json()), Ok(file.clone()));
        file.tenants.get_mut("acme").unwrap().get_mut("itemusages").unwrap().windows[1].cursor =
            Cursor::Token(String::new());
        assert!(CursorsFile::from_json(&file.to_json()).is_err());
    }

    #[test]
    fn what_is_no_cursors_file_is_refused_with_its_reason() {
        let check = |text: &str, expect: &str| {
            let error = CursorsFile::from_json(text).unwrap_err().to_string();
            assert!(error.contains(expect), "{text}: {error}");
        };
        let text = file().to_json();
        check(&text.replace("\"version\":1", "\"version\":3"), "version 3");
        // Even where nothing else is as this version knows it.
        check(r#"{"version":9,"streams":[]}"#, "version 9");
        check(&text.replace("\"version\":1", "\"version\":0"), "no version 0");
        check(&text.replace("acme", "acne"), "checksum");
        for nonsense in ["", "{}", "[]", "null", "not JSON", r#"{"version":"1"}"#, r#"{"version":1}"#] {
            check(nonsense, "no cursors file");
        }
        let mut nameless = file();
        let streams = nameless.tenants.remove("acme").unwrap();
        nameless.tenants.insert(String::new(), streams);
        check(&nameless.to_json(), "no name");
        let mut nowhere = file();
        let streams = nowhere.tenants.get_mut("acme").unwrap();
        streams.get_mut("auditevents").unwrap().cursor = Cursor::Token(String::new());
        check(&nowhere.to_json(), "no cursor");
    }
}
