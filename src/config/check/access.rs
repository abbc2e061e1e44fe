//! Where tokens come from, and which hosts they may go to.

use url::Url;

use super::Check;
use crate::{
    config::{
        error::At,
        tables::{Given, TokenTable},
    },
    http::hosts::{self, Known},
    secret::TokenSource,
};

impl Check<'_, '_> {
    pub(super) fn base_url(
        &mut self,
        given: &Given<String>,
        key: &str,
        known: Known,
        example: &str,
    ) -> Option<Url> {
        let at = &given.at;
        let url = match Url::parse(given.value.trim()) {
            Ok(url) => url,
            // Not shown: it could hold a password that the check below would find.
            Err(error) => {
                return self.refuse(
                    at,
                    key,
                    format!("not a URL: {error}"),
                    &format!("write it like `{example}`"),
                );
            }
        };
        if let Err(sentence) = hosts::check(&url, known, self.allow_custom_hosts) {
            let sentence = match at {
                At::Bytes(_) => sentence,
                At::Named(_) => sentence.replace("`allow_custom_hosts = true`", "`--allow-custom-hosts`"),
            };
            return self.refuse_sentence(at, key, &sentence);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return self.refuse(
                at,
                key,
                "a base URL has no `?` and no `#`",
                &format!("write it like `{example}`"),
            );
        }
        let own = url.host_str().filter(|host| matches!(known, Known::Named(hosts) if hosts.contains(host)));
        if let Some(host) = own.filter(|_| url.path() != "/") {
            let what = "a base URL ends with the host: paths are added to it";
            return self.refuse(at, key, what, &format!("write `https://{host}`"));
        }
        Some(url)
    }

    pub(super) fn token(
        &mut self,
        given: &Given<TokenTable>,
        key: &str,
        example: &str,
    ) -> Option<TokenSource> {
        let table = &given.value;
        let one = format!(
            "write one of `{{ env = \"{example}\" }}`, `{{ file = \"PATH\" }}`, `{{ op = \"op://vault/item/field\" }}`"
        );
        let (source, given, key) = match (&table.env, &table.file, &table.op) {
            (Some(env), None, None) => (TokenSource::env(&env.value), env, format!("{key}.env")),
            (None, Some(file), None) => {
                let path = self.path(Some(file), &format!("{key}.file"), "")?;
                (TokenSource::file(&path), file, format!("{key}.file"))
            }
            (None, None, Some(op)) => (TokenSource::op(&op.value), op, format!("{key}.op")),
            (None, None, None) if self.problems.struck_in(key) => return None,
            (None, None, None) => {
                return self.refuse(&given.at, key, "it does not say where the token is", &one);
            }
            _ => return self.refuse(&given.at, key, "it names more than one place for the token", &one),
        };
        source.or_else(|error| self.refuse(&given.at, &key, error.to_string(), error.hint()).ok_or(())).ok()
    }
}
