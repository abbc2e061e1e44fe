//! What is to stand in the file: from flags first, from a person then.

use std::{ffi::OsString, path::Path};

use crate::{
    cli::{
        args::Init,
        failed::{Exit, Failed},
    },
    config::{Config, ConfigError},
    secret::{SecretError, TokenSource},
};

use super::written;

/// One tenant's configuration, as texts that nobody has checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) name: String,
    pub(super) state_dir: Option<String>,
    pub(super) events_url: Option<String>,
    pub(super) events_token: TokenSource,
    pub(super) streams: Option<Vec<String>>,
    pub(super) start: Option<String>,
    pub(super) polling_interval: Option<String>,
    pub(super) tag_account_name: bool,
    pub(super) allow_custom_hosts: bool,
    pub(super) connect: Option<Connect>,
    pub(super) jupiterone: Option<JupiterOne>,
    pub(super) graph: Option<String>,
}

/// A Connect server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Connect {
    pub(super) url: String,
    pub(super) token: TokenSource,
    pub(super) item_details: bool,
}

/// A place in JupiterOne.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JupiterOne {
    pub(super) url: Option<String>,
    pub(super) account: String,
    pub(super) token: TokenSource,
    pub(super) plan: Plan,
}

/// By which plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    Instance(String),
    Scope(String),
}

/// The variable that a token is read from when nothing else is said.
pub(super) fn variable(name: &str) -> TokenSource {
    TokenSource::Env(name.to_owned())
}

/// Reads where a token is: `env:NAME`, `file:PATH` or `op://vault/item/field`.
///
/// # Errors
///
/// It is neither. What was written may be a token, and is not repeated.
pub(super) fn place(text: &str) -> Result<TokenSource, SecretError> {
    let text = text.trim();
    match (text.strip_prefix("env:"), text.strip_prefix("file:")) {
        (Some(name), _) => TokenSource::env(name.trim()),
        (None, Some(path)) if !path.trim().is_empty() => TokenSource::file(Path::new(path.trim())),
        _ => TokenSource::op(text).map_err(|_| {
            SecretError::new(
                "that does not say where the token is read from",
                "write `env:NAME`, `file:PATH` or `op://vault/item/field`, never the token itself; one that was typed here should be replaced",
            )
        }),
    }
}

impl Answers {
    /// What flags and the environment say, with defaults for the rest.
    pub(super) fn of(init: &Init, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Answers, Failed> {
        let variable_of = |name: &str| {
            env(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty())
        };
        let flags = &init.tenant;
        let text = |path: &Path| path.display().to_string();
        let token = |from: &Option<String>, file: &Option<std::path::PathBuf>, usual: &str| {
            let source = match (from, file) {
                (Some(from), _) => place(from),
                (None, Some(file)) => TokenSource::file(file),
                (None, None) => Ok(variable(usual)),
            };
            source.map_err(|error| Failed::text(Exit::Configuration, error.to_string()).hint(error.hint()))
        };
        let name = flags.tenant_name.clone().or_else(|| variable_of("OPGRAPH_TENANT"));
        let name = name.unwrap_or_else(|| "default".to_owned());

        let connect_token = token(&init.connect_token_from, &flags.connect_token_file, "OP_CONNECT_TOKEN")?;
        let url = flags.connect_url.clone().or_else(|| variable_of("OPGRAPH_CONNECT_URL"));
        let unused = init.connect_token_from.is_some() || flags.connect_token_file.is_some();
        if url.is_none() && (unused || flags.no_item_details) {
            return Err(lacks("--connect-url", "a Connect server"));
        }
        let connect =
            url.map(|url| Connect { url, token: connect_token, item_details: !flags.no_item_details });

        let key = token(&init.jupiterone_key_from, &flags.jupiterone_key_file, "JUPITERONE_API_KEY")?;
        let account = flags.jupiterone_account.clone().or_else(|| variable_of("JUPITERONE_ACCOUNT"));
        let plan = match (&flags.jupiterone_instance, &flags.jupiterone_scope) {
            (Some(_), Some(_)) => {
                return Err(Failed::text(
                    Exit::Configuration,
                    "`--jupiterone-instance` and `--jupiterone-scope` are two plans",
                )
                .hint("give one of them: the instance, if there is one"));
            }
            (Some(id), None) => Some(Plan::Instance(id.clone())),
            (None, Some(prefix)) => Some(Plan::Scope(prefix.clone())),
            (None, None) => None,
        };
        let unused = init.jupiterone_key_from.is_some()
            || flags.jupiterone_key_file.is_some()
            || flags.jupiterone_url.is_some();
        if account.is_none() && (unused || plan.is_some()) {
            return Err(lacks("--jupiterone-account", "JupiterOne"));
        }
        let jupiterone = account.map(|account| JupiterOne {
            url: flags.jupiterone_url.clone(),
            account,
            token: key,
            plan: plan.unwrap_or_else(|| scope_of(&name)),
        });
        let usual_graph = jupiterone.is_none().then(|| crate::config::GRAPH_PATH.to_owned());
        let url =
            flags.events_url.clone().or_else(|| init.region.map(|region| region.events_url().to_owned()));
        Ok(Answers {
            name,
            state_dir: init.state_dir.as_deref().map(text),
            events_url: url.or_else(|| variable_of("OPGRAPH_EVENTS_URL")),
            events_token: token(&init.events_token_from, &flags.events_token_file, "OP_EVENTS_TOKEN")?,
            streams: flags.streams.clone(),
            start: flags.start.clone(),
            polling_interval: flags.polling_interval.clone(),
            tag_account_name: flags.tag_account_name,
            allow_custom_hosts: flags.allow_custom_hosts,
            connect,
            jupiterone,
            graph: flags.graph.as_deref().map(text).or(usual_graph),
        })
    }

    /// Reads the file that would be written, as `check` will.
    ///
    /// # Errors
    ///
    /// What is wrong with the answers: one line a problem, with its hint.
    pub(super) fn checked(&self) -> Result<Config, ConfigError> {
        // Problems name the key, and no line of a file that is not there.
        Config::parse(&written::text(self), Path::new("")).map_err(ConfigError::without_places)
    }

    /// The tokens, each with what a person calls it.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (&'static str, &TokenSource)> {
        let connect = self.connect.as_ref().map(|connect| ("Connect token", &connect.token));
        let key = self.jupiterone.as_ref().map(|jupiterone| ("JupiterOne API key", &jupiterone.token));
        std::iter::once(("Events API token", &self.events_token)).chain(connect).chain(key)
    }
}

/// The plan of an account that has no integration instance.
pub(super) fn scope_of(name: &str) -> Plan {
    Plan::Scope(format!("1password/{name}"))
}

fn lacks(flag: &str, what: &str) -> Failed {
    Failed::text(Exit::Configuration, format!("flags for {what} are there, but not `{flag}`"))
        .hint(format!("add `{flag}`, or leave the others out"))
}
