//! `[tenant.jupiterone]`: where uploads go, and by which plan.

use std::{ops::RangeInclusive, time::Duration};

use url::Url;

use super::Check;
use crate::{
    config::{
        InstanceSource, JUPITERONE_URL, JupiterOne, Plan,
        error::At,
        tables::{DurationText, Given, JupiterOneTable},
        values,
    },
    http::hosts::{self, Known},
    sink::{UploadLimits, jupiterone::JupiterOneSettings},
};

/// The longest name of a thing in JupiterOne, in bytes; our own bound.
const LONGEST_ID: usize = 256;

/// How old an upload may become: JupiterOne may close a job that stays open
/// longer, and each job costs a few requests and seconds.
const UPLOAD_AGES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// How many events one may hold: dedup remembers two uploads' worth before they are committed.
const UPLOAD_EVENTS: RangeInclusive<i64> = 1..=100_000;

impl Check<'_, '_> {
    pub(super) fn jupiterone(&mut self, given: &Given<JupiterOneTable>, key: &str) -> Option<JupiterOne> {
        let table = &given.value;
        let base_url = match &table.base_url {
            Some(url) => self.base_url(
                url,
                &format!("{key}.base_url"),
                Known::Named(hosts::JUPITERONE),
                JUPITERONE_URL,
            ),
            None => Url::parse(JUPITERONE_URL).ok(),
        };
        let account =
            self.required(table.account.as_ref(), given, key, "account", "write the JupiterOne account id");
        let account = account.and_then(|account| self.id(account, &format!("{key}.account")));
        let token = self.required(
            table.token.as_ref(),
            given,
            key,
            "token",
            "say where the API key is read from, as in `token = { env = \"JUPITERONE_API_KEY\" }`",
        );
        let token = token.and_then(|token| self.token(token, &format!("{key}.token"), "JUPITERONE_API_KEY"));
        let plan = self.plan(given, key);
        let upload = self.upload(table, key);
        Some(JupiterOne {
            base_url: base_url?,
            account: account?,
            token: token?,
            plan: plan?,
            gzip: table.gzip.unwrap_or(true),
            job_events: table.job_events.unwrap_or(true),
            upload: upload?,
        })
    }

    fn upload(&mut self, table: &JupiterOneTable, key: &str) -> Option<UploadLimits> {
        let mut limits = JupiterOneSettings::LIMITS;
        if let Some(Given { value: DurationText(text), at }) = &table.upload_age {
            let key = format!("{key}.upload_age");
            limits.age = match values::duration(text) {
                Ok(age) if UPLOAD_AGES.contains(&age) => age,
                Ok(_) => {
                    return self.refuse(at, &key, "it is out of range", "write `1s` to `1h`; `60s` is usual");
                }
                Err(what) => return self.refuse(at, &key, what, "`60s` is usual"),
            };
        }
        if let Some(Given { value, at }) = &table.upload_events {
            if !UPLOAD_EVENTS.contains(value) {
                let key = format!("{key}.upload_events");
                return self.refuse(at, &key, "it is out of range", "write 1 to 100000");
            }
            limits.events = value.unsigned_abs();
        }
        Some(limits)
    }

    fn plan(&mut self, given: &Given<JupiterOneTable>, key: &str) -> Option<Plan> {
        let table = &given.value;
        match (&table.integration_instance_id, &table.scope) {
            (Some(id), None) => {
                let id = self.id(id, &format!("{key}.integration_instance_id"));
                let source = self.source(table.source.as_ref(), &format!("{key}.source"));
                Some(Plan::Instance { id: id?, source: source? })
            }
            (None, Some(prefix)) => {
                if let Some(source) = &table.source {
                    let what = "`source` goes with an integration instance; a scope's is always `api`";
                    return self.refuse(&source.at, &format!("{key}.source"), what, "remove it");
                }
                Some(Plan::Scope { prefix: self.id(prefix, &format!("{key}.scope"))? })
            }
            (Some(_), Some(scope)) => {
                let what = "both an integration instance and a scope are given";
                let hint = "keep the instance if JupiterOne gave you one, else the scope; never both";
                self.refuse(&scope.at, &format!("{key}.scope"), what, hint)
            }
            (None, None) if self.problems.struck_in(key) => None,
            (None, None) => {
                let (what, hint) = match &given.at {
                    At::Bytes(_) => (
                        "neither `integration_instance_id` nor `scope` is given",
                        "write `integration_instance_id = \"…\"`, or `scope = \"1password/acme\"`",
                    ),
                    At::Named(_) => (
                        "neither an integration instance nor a scope is given",
                        "add `--jupiterone-instance ID` or `--jupiterone-scope NAME`",
                    ),
                };
                self.refuse(&given.at, key, what, hint)
            }
        }
    }

    fn source(&mut self, given: Option<&Given<String>>, key: &str) -> Option<InstanceSource> {
        let Some(Given { value, at }) = given else { return Some(InstanceSource::default()) };
        InstanceSource::ALL.into_iter().find(|source| source.name() == value).or_else(|| {
            let what = format!("there is no source `{}`", value.escape_debug());
            self.refuse(at, key, what, "write `integration-external`, or `integration-managed`")
        })
    }

    /// A name of something in JupiterOne: it travels in headers and paths.
    fn id(&mut self, given: &Given<String>, key: &str) -> Option<String> {
        let what = match given.value.as_str() {
            "" => "it is empty".to_owned(),
            id if id.len() > LONGEST_ID => format!("it is longer than {LONGEST_ID} bytes"),
            id if !id.bytes().all(|byte| byte.is_ascii_graphic()) => {
                "it holds a space or another character that is no visible ASCII".to_owned()
            }
            id => return Some(id.to_owned()),
        };
        self.refuse(&given.at, key, what, "copy it again from JupiterOne")
    }
}
