//! One tenant without a file: the flags, the environment, and the file's own flags.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    ConfigError, Env,
    error::{At, Problems},
    tables::{
        ConnectTable, DurationText, EventsTable, Given, GraphTable, JupiterOneTable, Root, StartText,
        TenantTable, TokenTable,
    },
};

/// Where a configuration comes from: a file, or flags for one tenant.
#[derive(Args, Clone, Debug, Default)]
pub struct Flags {
    /// The file.
    #[command(flatten)]
    pub file: FileFlags,
    /// The memory that is divided among all tenants, such as 256MB; overrides the file [env: OPGRAPH_MAX_MEMORY] [default: 256MB]
    #[arg(long, value_name = "SIZE")]
    pub max_memory: Option<String>,
    /// The tenant.
    #[command(flatten)]
    pub tenant: TenantFlags,
}

/// The configuration file and the state directory.
#[derive(Args, Clone, Debug, Default)]
pub struct FileFlags {
    /// The configuration file, or a folder of them [env: OPGRAPH_CONFIG]
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Where cursors are kept; overrides the file [env: OPGRAPH_STATE_DIR] [default: opgraph-state]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// One tenant, described by flags. Tokens are never among them: other users
/// of the machine can read a command line.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "One tenant, without a file")]
pub struct TenantFlags {
    /// The account name that people see [env: OPGRAPH_TENANT] [default: default]
    #[arg(long, value_name = "NAME")]
    pub tenant_name: Option<String>,
    /// Read the Events API token from this file, not from the variable OP_EVENTS_TOKEN
    #[arg(long, value_name = "PATH")]
    pub events_token_file: Option<PathBuf>,
    /// The Events API's base URL [env: OPGRAPH_EVENTS_URL] [default: the one the token is for]
    #[arg(long, value_name = "URL")]
    pub events_url: Option<String>,
    /// The streams to read: signinattempts, itemusages, auditevents [default: all that the token may read]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub streams: Option<Vec<String>>,
    /// How far back the first run reads: a duration or an RFC 3339 time [default: 120d]
    #[arg(long, value_name = "HOW FAR")]
    pub start: Option<String>,
    /// How long a stream that has caught up waits, or DISABLED [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub polling_interval: Option<String>,
    /// List vaults and items of the Connect server behind this base URL [env: OPGRAPH_CONNECT_URL]
    #[arg(long, value_name = "URL")]
    pub connect_url: Option<String>,
    /// Read the Connect token from this file, not from the variable OP_CONNECT_TOKEN
    #[arg(long, value_name = "PATH")]
    pub connect_token_file: Option<PathBuf>,
    /// Never open an item for its section labels and file names
    #[arg(long)]
    pub no_item_details: bool,
    /// Write a local graph (SQLite) to this file [default: graph.db, unless JupiterOne is given]
    #[arg(long, value_name = "PATH")]
    pub graph: Option<PathBuf>,
    /// Upload to this JupiterOne account [env: JUPITERONE_ACCOUNT]
    #[arg(long, value_name = "ID")]
    pub jupiterone_account: Option<String>,
    /// Upload through this integration instance
    #[arg(long, value_name = "ID")]
    pub jupiterone_instance: Option<String>,
    /// Upload into scopes that begin with this name, when there is no instance
    #[arg(long, value_name = "NAME")]
    pub jupiterone_scope: Option<String>,
    /// JupiterOne's base URL [default: the one of its US region]
    #[arg(long, value_name = "URL")]
    pub jupiterone_url: Option<String>,
    /// Read the JupiterOne API key from this file, not from the variable JUPITERONE_API_KEY
    #[arg(long, value_name = "PATH")]
    pub jupiterone_key_file: Option<PathBuf>,
    /// Put the account name on every entity, as tag.AccountName
    #[arg(long)]
    pub tag_account_name: bool,
    /// Allow base URLs beyond 1Password's, JupiterOne's and loopback
    #[arg(long)]
    pub allow_custom_hosts: bool,
}

impl TenantFlags {
    /// The flags that were given.
    fn given(&self) -> Vec<&'static str> {
        let all = [
            (self.tenant_name.is_some(), "--tenant-name"),
            (self.events_token_file.is_some(), "--events-token-file"),
            (self.events_url.is_some(), "--events-url"),
            (self.streams.is_some(), "--streams"),
            (self.start.is_some(), "--start"),
            (self.polling_interval.is_some(), "--polling-interval"),
            (self.connect_url.is_some(), "--connect-url"),
            (self.connect_token_file.is_some(), "--connect-token-file"),
            (self.no_item_details, "--no-item-details"),
            (self.graph.is_some(), "--graph"),
            (self.jupiterone_account.is_some(), "--jupiterone-account"),
            (self.jupiterone_instance.is_some(), "--jupiterone-instance"),
            (self.jupiterone_scope.is_some(), "--jupiterone-scope"),
            (self.jupiterone_url.is_some(), "--jupiterone-url"),
            (self.jupiterone_key_file.is_some(), "--jupiterone-key-file"),
            (self.tag_account_name, "--tag-account-name"),
            (self.allow_custom_hosts, "--allow-custom-hosts"),
        ];
        all.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag).collect()
    }

    /// Refuses flags beside a file. Variables are not refused: they may be there
    /// for other programs.
    pub(super) fn refuse_beside(&self, file: &Path) -> Result<(), ConfigError> {
        let given = self.given();
        if given.is_empty() {
            return Ok(());
        }
        let what = format!("these flags describe a tenant, and so does `{}`", file.display());
        let hint = "write them into the file, or leave `--config` (and OPGRAPH_CONFIG) out".to_owned();
        Err(ConfigError::contradiction(given.join(", "), what, hint))
    }
}

/// The configuration file, if one is named.
pub(super) fn config_file(flags: &FileFlags, env: Env<'_>) -> Option<PathBuf> {
    flags.config.clone().or_else(|| variable(env, "OPGRAPH_CONFIG").map(PathBuf::from))
}

/// The state directory, if one is named outside the file.
pub(super) fn state_dir(flags: &FileFlags, env: Env<'_>) -> Option<PathBuf> {
    flags.state_dir.clone().or_else(|| variable(env, "OPGRAPH_STATE_DIR").map(PathBuf::from))
}

/// What the process may take, if it is said outside the file.
pub(super) fn max_memory(flags: &Flags, env: Env<'_>) -> Option<Given<String>> {
    let flag = flags.max_memory.clone().map(|size| named(size, "--max-memory"));
    let variable = || variable(env, "OPGRAPH_MAX_MEMORY");
    // What is not UTF-8 is no size, and is refused as one.
    flag.or_else(|| Some(named(variable()?.to_string_lossy().into_owned(), "OPGRAPH_MAX_MEMORY")))
}

/// The tables that a file with the same content would have.
pub(super) fn tables(flags: &TenantFlags, env: Env<'_>, problems: &mut Problems<'_>) -> Root {
    let mut text = |flag: Option<OsString>, name: &'static str, variable_name: &'static str| {
        let (value, name) = match flag {
            Some(value) => (value, name),
            None => (variable(env, variable_name)?, variable_name),
        };
        match value.into_string() {
            Ok(value) => Some(named(value, name)),
            Err(_) => {
                problems.add(&At::Named(name), "", "it is not valid UTF-8", "write it in UTF-8".to_owned());
                None
            }
        }
    };
    let os = |text: &Option<String>| text.clone().map(OsString::from);
    let path = |path: &Option<PathBuf>| path.clone().map(PathBuf::into_os_string);

    let name = text(os(&flags.tenant_name), "--tenant-name", "OPGRAPH_TENANT");
    let base_url = text(os(&flags.events_url), "--events-url", "OPGRAPH_EVENTS_URL");
    let token_file = text(path(&flags.events_token_file), "--events-token-file", NONE);
    let polling = text(os(&flags.polling_interval), "--polling-interval", NONE);
    let start = text(os(&flags.start), "--start", NONE);
    let connect_url = text(os(&flags.connect_url), "--connect-url", "OPGRAPH_CONNECT_URL");
    let connect_token_file = text(path(&flags.connect_token_file), "--connect-token-file", NONE);
    let graph = text(path(&flags.graph), "--graph", NONE);
    let account = text(os(&flags.jupiterone_account), "--jupiterone-account", "JUPITERONE_ACCOUNT");
    let instance = text(os(&flags.jupiterone_instance), "--jupiterone-instance", NONE);
    let scope = text(os(&flags.jupiterone_scope), "--jupiterone-scope", NONE);
    let jupiterone_url = text(os(&flags.jupiterone_url), "--jupiterone-url", NONE);
    let key_file = text(path(&flags.jupiterone_key_file), "--jupiterone-key-file", NONE);

    let streams = flags.streams.as_ref().map(|names| {
        named(names.iter().map(|name| named(name.trim().to_owned(), "--streams")).collect(), "--streams")
    });
    let jupiterone = [&account, &instance, &scope, &jupiterone_url, &key_file].into_iter().flatten().next();
    let jupiterone_at = jupiterone.map(|first| first.at.clone());
    let jupiterone = jupiterone_at.map(|at| {
        if account.is_none() {
            let hint = "add `--jupiterone-account ID`, or set JUPITERONE_ACCOUNT".to_owned();
            problems.add(&at, "", "the JupiterOne account is missing", hint);
            problems.strike("tenant[0].jupiterone.account".to_owned());
        }
        let table = JupiterOneTable {
            base_url: jupiterone_url,
            account,
            token: Some(token(key_file, "JUPITERONE_API_KEY", "--jupiterone-key-file")),
            integration_instance_id: instance,
            scope,
            ..JupiterOneTable::default()
        };
        Given { value: table, at }
    });
    let no_details = flags.no_item_details.then_some(At::Named("--no-item-details"));
    let connect_at = connect_url.as_ref().map(|url| url.at.clone());
    let alone = connect_token_file.as_ref().map(|file| file.at.clone()).or(no_details);
    if let (None, Some(at)) = (&connect_at, alone) {
        let hint = "add `--connect-url URL`, or set OPGRAPH_CONNECT_URL".to_owned();
        problems.add(&at, "", "the Connect server is missing", hint);
    }
    let connect = connect_at.map(|at| {
        let table = ConnectTable {
            base_url: connect_url,
            token: Some(token(connect_token_file, "OP_CONNECT_TOKEN", "--connect-token-file")),
            item_details: flags.no_item_details.then_some(false),
            ..ConnectTable::default()
        };
        Given { value: table, at }
    });
    let events = EventsTable {
        base_url,
        token: Some(token(token_file, "OP_EVENTS_TOKEN", "--events-token-file")),
        streams,
        readers: None,
        limits: None,
    };
    let tenant = TenantTable {
        name: Some(name.unwrap_or_else(|| named("default".to_owned(), "--tenant-name"))),
        tag_account_name: Some(flags.tag_account_name),
        polling_interval: polling.map(|given| Given { value: DurationText(given.value), at: given.at }),
        start: start.map(|given| Given { value: StartText(given.value), at: given.at }),
        events: Some(named(events, "--events-url")),
        connect,
        jupiterone,
        graph: graph.map(|path| Given { at: path.at.clone(), value: GraphTable { path: Some(path) } }),
        ..TenantTable::default()
    };
    Root {
        allow_custom_hosts: Some(flags.allow_custom_hosts),
        tenant: vec![named(tenant, "--tenant-name")],
        ..Root::default()
    }
}

/// No variable stands for the flag.
const NONE: &str = "";

fn token(file: Option<Given<String>>, variable: &str, flag: &'static str) -> Given<TokenTable> {
    let env = file.is_none().then(|| named(variable.to_owned(), flag));
    named(TokenTable { env, file, op: None }, flag)
}

fn named<T>(value: T, name: &'static str) -> Given<T> {
    Given { value, at: At::Named(name) }
}

/// Reads a variable; one that is empty counts as unset.
fn variable(env: Env<'_>, name: &str) -> Option<OsString> {
    if name.is_empty() { None } else { env(name).filter(|value| !value.is_empty()) }
}
