//! Vaults and items as Connect sends them.
//!
//! Source: Connect's OpenAPI file 1.7.1. No type here has a member that could
//! hold a secret value: the parser skips what has no member, so values, notes,
//! one-time codes, recipes and file contents never become text of ours.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A vault of the list.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Vault {
    /// 26 lower-case letters and digits.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// What people wrote about it.
    pub description: Option<String>,
    /// Grows when name, description or type change.
    pub attribute_version: Option<u64>,
    /// Grows when an item changes, comes or goes.
    pub content_version: Option<u64>,
    /// How many active items it holds.
    pub items: Option<u64>,
    /// `USER_CREATED`, `PERSONAL`, `EVERYONE`, `TRANSFER`, or what comes next.
    #[serde(rename = "type")]
    pub of: Option<String>,
    /// RFC 3339.
    pub created_at: Option<String>,
    /// RFC 3339.
    pub updated_at: Option<String>,
}

/// An item of a vault's list: without sections, fields and files.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// 26 lower-case letters and digits.
    pub id: String,
    /// Its title.
    pub title: Option<String>,
    /// `LOGIN`, `PASSWORD`, … or what comes next.
    pub category: Option<String>,
    /// Whether somebody marked it.
    pub favorite: Option<bool>,
    /// Labels.
    pub tags: Option<Vec<String>>,
    /// Grows with each edit.
    pub version: Option<u64>,
    /// `ARCHIVED` or `DELETED`; absent when active.
    pub state: Option<String>,
    /// RFC 3339.
    pub created_at: Option<String>,
    /// RFC 3339.
    pub updated_at: Option<String>,
    /// A user's uuid, as events have it.
    pub last_edited_by: Option<String>,
}

impl Item {
    /// Whether it is active: neither archived nor deleted.
    pub fn is_active(&self) -> bool {
        self.state.as_deref().is_none_or(str::is_empty)
    }
}

/// What an item's detail is opened for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Labels of its sections, empty ones left out.
    pub sections: Vec<String>,
    /// Names of its files, empty ones left out.
    pub files: Vec<String>,
}

impl Labels {
    /// Reads the labels out of an item's detail and skips everything else.
    ///
    /// # Errors
    ///
    /// If it is no item. The error names line and column and no text.
    pub fn read(detail: &[u8]) -> Result<Labels, serde_json::Error> {
        #[derive(Deserialize)]
        struct Detail<'a> {
            // Required, so that an error body is not taken for an item without labels.
            #[serde(borrow, rename = "id")]
            _id: Cow<'a, str>,
            #[serde(borrow)]
            sections: Option<Vec<Section<'a>>>,
            #[serde(borrow)]
            files: Option<Vec<File<'a>>>,
        }
        #[derive(Deserialize)]
        struct Section<'a> {
            #[serde(borrow)]
            label: Option<Cow<'a, str>>,
        }
        #[derive(Deserialize)]
        struct File<'a> {
            #[serde(borrow)]
            name: Option<Cow<'a, str>>,
        }
        let Detail { sections, files, .. } = serde_json::from_slice(detail)?;
        let filled = |text: Option<Cow<'_, str>>| text.filter(|text| !text.is_empty()).map(Cow::into_owned);
        Ok(Labels {
            sections: sections.into_iter().flatten().filter_map(|section| filled(section.label)).collect(),
            files: files.into_iter().flatten().filter_map(|file| filled(file.name)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_detail_only_labels_and_file_names_are_kept() {
        let detail = json!({
            "id": "kq6zq6zq6zq6zq6zq6zq6zq6zq", "title": "CANARY", "vault": {"id": "v"}, "category": "LOGIN",
            "sections": [{"id": "a", "label": "Security"}, {"id": "b", "label": ""}, {"id": "c"}],
            "fields": [
                {"id": "password", "type": "CONCEALED", "purpose": "PASSWORD", "label": "CANARY",
                 "value": "CANARY", "recipe": {"characterSets": ["CANARY"]}, "entropy": 42.5},
                {"id": "otp", "type": "OTP", "value": "otpauth://CANARY", "totp": "CANARY"},
                {"id": "notesPlain", "purpose": "NOTES", "value": "CANARY"},
            ],
            "files": [{"id": "f", "name": "key.pem", "content": "CANARY", "content_path": "/CANARY"}],
        });
        let labels = Labels::read(detail.to_string().as_bytes()).unwrap();
        assert_eq!(labels, Labels { sections: vec!["Security".into()], files: vec!["key.pem".into()] });
        assert!(!format!("{labels:?}").contains("CANARY"));
        let bare = Labels::read(br#"{"id":"a","sections":null}"#).unwrap();
        assert_eq!(bare, Labels::default());
        for no_item in [&br#"{"status":500,"message":"CANARY"}"#[..], b"<html>", b"[]", b""] {
            let error = Labels::read(no_item).unwrap_err().to_string();
            assert!(!error.contains("CANARY"), "{error}");
        }
    }

    #[test]
    fn an_item_with_a_state_is_not_active() {
        let item = |text: &str| serde_json::from_str::<Item>(text).unwrap();
        assert!(item(r#"{"id":"a","unknown":[1]}"#).is_active());
        assert!(item(r#"{"id":"a","state":""}"#).is_active());
        assert!(!item(r#"{"id":"a","state":"ARCHIVED"}"#).is_active());
        assert!(!item(r#"{"id":"a","state":"DELETED"}"#).is_active());
    }
}
