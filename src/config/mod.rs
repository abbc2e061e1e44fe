//! What a person configured: accounts, streams, sinks, limits.
//!
//! A TOML file or flags become the same tables, the tables are checked once,
//! and what is left is typed. Nothing here opens a connection or a token.

mod flags;

mod tables;

mod read;

mod folder;

mod check;

mod error;

pub mod values;

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;

#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use url::Url;

pub use error::{ConfigError, Problem};
pub use flags::{FileFlags, Flags, TenantFlags};

pub use crate::supervisor::Start;
use crate::{
    http::Limits,
    memory::Memory,
    secret::{Claims, TokenSource},
    sink::UploadLimits,
    stream::Stream,
};

/// The Events API of an account whose token does not say where it belongs.
pub const EVENTS_URL: &str = "https://events.1password.com";
/// JupiterOne's API, unless configured (the default of its SDK).
pub const JUPITERONE_URL: &str = "https://api.us.jupiterone.io";
/// Where the state is kept, unless configured.
pub const STATE_DIR: &str = "opgraph-state";
/// Where the local graph is kept, unless configured.
pub const GRAPH_PATH: &str = "graph.db";
/// How far back the first run reads, unless configured: what 1Password retains.
pub const START: Duration = Duration::from_secs(120 * 24 * 3600);
/// How long a stream that has caught up waits, unless configured.
pub const POLLING_INTERVAL: Duration = Duration::from_secs(30);
/// The shortest such wait.
pub const SHORTEST_POLLING_INTERVAL: Duration = Duration::from_secs(1);
/// How often vaults and items are listed, unless configured.
pub const CONNECT_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// How many requests to Connect are in flight at once, unless configured.
pub const CONNECTIONS: usize = 4;

/// The variable that holds the token of the status page, when a flag asks for the page.
pub const ADMIN_TOKEN: &str = "OPGRAPH_ADMIN_TOKEN";

/// How many readers read each stream's past, unless configured, where the memory is enough.
pub const READERS: usize = crate::pipeline::READERS;

/// Everything configured, checked. At least one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the state is kept.
    pub state_dir: PathBuf,
    /// What is divided among the tenants, in bytes: enough for all of them ([`crate::memory`]).
    pub max_memory: usize,
    /// Whether tokens may go to hosts beyond 1Password's, JupiterOne's and loopback.
    pub allow_custom_hosts: bool,
    /// Where a running opgraph shows itself; nowhere if `None`.
    pub admin: Option<Admin>,
    /// The accounts. No two share a name, a graph file or a place in JupiterOne.
    pub tenants: Vec<Tenant>,
}

/// Where a running opgraph shows itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The address. Not loopback's only with a token.
    pub listen: SocketAddr,
    /// Where the token is read from that everybody has to show, if there is one.
    pub token: Option<TokenSource>,
}

/// One 1Password account and where its records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The account name that people see: 1 to 64 characters, no control characters.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whether every entity carries `tag.AccountName`.
    pub tag_account_name: bool,
    /// Whether an event is kept on its entity as received.
    pub raw_data: bool,
    /// What happens when a stream has caught up.
    pub polling_interval: Polling,
    /// How far back the first run reads.
    pub start: Start,
    /// Where the events come from.
    pub events: Events,
    /// 1Password Connect, if vaults and items are listed.
    pub connect: Option<Connect>,
    /// JupiterOne, if records go there.
    pub jupiterone: Option<JupiterOne>,
    /// The local graph, if records go there. Never `None` without `jupiterone` or `files`.
    pub graph: Option<Graph>,
    /// A folder of JupiterOne SDK files, if records go there and nowhere else.
    pub files: Option<PathBuf>,
}

/// What happens when a stream has caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polling {
    /// It is asked again after this long, at least a second.
    Every(Duration),
    /// Nothing: the tenant is read only by `run --once`.
    Disabled,
}

/// Where a tenant's events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Events {
    /// The API's base URL, if configured. Checked: a token may be sent there.
    pub base_url: Option<Url>,
    /// Where the token is read from.
    pub token: TokenSource,
    /// The streams to read; `None` is all that the token may read. Never empty.
    pub streams: Option<Vec<Stream>>,
    /// How many readers read a stream's past at a time, beside its live cursor;
    /// `None`: [`READERS`], or fewer if many tenants share the memory.
    pub readers: Option<usize>,
    /// The account's limits.
    pub limits: Limits,
}

/// A tenant's Connect server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Its base URL, without `/v1`. Checked: a token may be sent there.
    pub base_url: Url,
    /// Where the token is read from.
    pub token: TokenSource,
    /// How often vaults and items are listed.
    pub interval: Duration,
    /// Whether items are opened for their section labels and file names, which
    /// 1Password records as a use of each.
    pub item_details: bool,
    /// How many requests may be in flight at once.
    pub connections: usize,
}

impl Events {
    /// Decides which host the token goes to: the configured one, else the one
    /// the token is for if it is one of 1Password's, else [`EVENTS_URL`].
    pub fn resolve_base_url(&self, claims: Option<&Claims>) -> Url {
        let url = self.base_url.clone().or_else(|| claims?.base_url());
        url.unwrap_or_else(|| Url::parse(EVENTS_URL).expect("a constant URL, tested"))
    }
}

/// A place in JupiterOne.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JupiterOne {
    /// The API's base URL. Checked: a key may be sent there.
    pub base_url: Url,
    /// The account id.
    pub account: String,
    /// Where the API key is read from.
    pub token: TokenSource,
    /// How uploads are laid out.
    pub plan: Plan,
    /// Whether request bodies are compressed.
    pub gzip: bool,
    /// Whether people are told in JupiterOne how the jobs of an instance go.
    pub job_events: bool,
    /// When an upload is finished.
    pub upload: UploadLimits,
}

/// The two ways in which JupiterOne keeps what it was sent before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Through an integration instance: one sync job at a time.
    Instance {
        /// `integrationInstanceId` of the sync jobs.
        id: String,
        /// `source` of the sync jobs.
        source: InstanceSource,
    },
    /// Through scopes of `source: api`.
    Scope {
        /// What the name of every scope begins with.
        prefix: String,
    },
}

/// What kind of integration an instance belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InstanceSource {
    /// A custom integration.
    #[default]
    External,
    /// One that JupiterOne defines.
    Managed,
}

impl InstanceSource {
    /// Every kind.
    pub const ALL: [InstanceSource; 2] = [InstanceSource::External, InstanceSource::Managed];

    /// The name in the configuration and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            InstanceSource::External => "integration-external",
            InstanceSource::Managed => "integration-managed",
        }
    }
}

/// A local graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// The SQLite file.
    pub path: PathBuf,
}

impl Config {
    /// Reads a configuration: a file, with the folder of tenants that it names
    /// if it does; or a folder, of which `opgraph.toml` is the main file if it
    /// is there. Relative paths start from the folder of the file they are in.
    ///
    /// # Errors
    ///
    /// Every problem that could be found in all files, not only the first.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        if path.is_dir() {
            let (main, text) = folder::main(path)?;
            return Config::of_files(&text, &main, Some(path));
        }
        let text = std::fs::read_to_string(path).map_err(|error| {
            let what = format!("cannot read the configuration: {error}");
            let hint = "name another file with `--config`, or leave it out and use flags";
            ConfigError::of_the_whole(path, what, hint)
        })?;
        Config::parse(&text, path)
    }

    /// Reads the text of a configuration file named `path`, and the folder of
    /// tenants that it names if it does.
    ///
    /// # Errors
    ///
    /// Every problem that could be found in all files, not only the first.
    pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
        Config::of_files(text, path, None)
    }

    /// Reads the text of the main file, and the tenants `beside` it.
    fn of_files(text: &str, path: &Path, beside: Option<&Path>) -> Result<Config, ConfigError> {
        let mut problems = error::Problems::in_file(text, path);
        let root = read::root(text, &mut problems);
        let home = path.parent().unwrap_or(Path::new(""));
        let files = folder::files(&root, beside, home, path, &mut problems);
        let mut groups = Vec::new();
        for (path, text) in &files {
            let number = problems.begin(text.as_deref().unwrap_or(""), path);
            let tables = match text {
                Ok(text) => read::tenants(text, &mut problems).tenant,
                Err(error) => {
                    problems.unreadable(error);
                    Vec::new()
                }
            };
            groups.push(check::Group { file: number, folder: path.parent().unwrap_or(home), tables });
        }
        problems.look_at(0);
        let config = check::config(root, home, groups, &mut problems);
        problems.or(config)
    }

    /// Resolves the command line and the environment: the file or folder that
    /// `--config` or `OPGRAPH_CONFIG` names, else one tenant from flags.
    ///
    /// # Errors
    ///
    /// Every problem that could be found, flags that contradict the file included.
    pub fn from_flags(flags: &Flags) -> Result<Config, ConfigError> {
        Config::from_flags_and(flags, &|name| std::env::var_os(name))
    }

    fn from_flags_and(flags: &Flags, env: Env<'_>) -> Result<Config, ConfigError> {
        let state_dir = flags::state_dir(&flags.file, env);
        let config = match flags::config_file(&flags.file, env) {
            Some(path) => {
                flags.tenant.refuse_beside(&path)?;
                Config::load(&path)?
            }
            None => {
                let mut problems = error::Problems::on_the_command_line();
                let root = flags::tables(&flags.tenant, env, &mut problems);
                let config = check::config(root, Path::new(""), Vec::new(), &mut problems);
                problems.or(config)?
            }
        };
        let mut problems = error::Problems::on_the_command_line();
        let max_memory = match flags::max_memory(flags, env) {
            Some(given) => check::max_memory(&given, "", config.tenants.len(), &mut problems),
            None => Some(config.max_memory),
        };
        let max_memory = problems.or(max_memory)?;
        Ok(Config { state_dir: state_dir.unwrap_or(config.state_dir), max_memory, ..config })
    }

    /// Shows itself at another address, as a flag said. The token is the
    /// file's, else the variable [`ADMIN_TOKEN`] if that is set.
    ///
    /// # Errors
    ///
    /// Other machines reach the address, and there is no token.
    pub fn with_admin(self, listen: Option<SocketAddr>, env: Env<'_>) -> Result<Config, ConfigError> {
        let Some(listen) = listen else { return Ok(self) };
        let of_file = self.admin.and_then(|admin| admin.token);
        let set = env(ADMIN_TOKEN).is_some_and(|value| !value.is_empty());
        let token = of_file.or_else(|| set.then(|| TokenSource::Env(ADMIN_TOKEN.to_owned())));
        match check::admin::refusal(listen, token.is_some()) {
            Some((what, _)) => {
                let hint =
                    format!("set the variable {ADMIN_TOKEN} to a token of its own, or listen on 127.0.0.1");
                Err(ConfigError::contradiction("--admin".to_owned(), what, hint))
            }
            None => Ok(Config { admin: Some(Admin { listen, token }), ..self }),
        }
    }

    /// Finds the state directory for commands that need nothing else: as given,
    /// else as the file says, else [`STATE_DIR`].
    ///
    /// # Errors
    ///
    /// The file has problems, and was needed.
    pub fn state_dir(flags: &FileFlags) -> Result<PathBuf, ConfigError> {
        let env: Env<'_> = &|name| std::env::var_os(name);
        match (flags::state_dir(flags, env), flags::config_file(flags, env)) {
            (Some(state_dir), _) => Ok(state_dir),
            (None, Some(path)) => Ok(Config::load(&path)?.state_dir),
            (None, None) => Ok(PathBuf::from(STATE_DIR)),
        }
    }

    /// Looks at every token that is in the environment or a file, without
    /// contacting anybody; the `op` CLI is not run.
    ///
    /// # Errors
    ///
    /// Every token that cannot be read, and every file that others may read.
    pub fn check_tokens(&self) -> Result<(), ConfigError> {
        let tenants = self.tenants.iter().flat_map(Tenant::token_problems);
        ConfigError::unless_none(self.admin_token_problem().into_iter().chain(tenants).collect())
    }

    /// Looks at the token of the status page alone: without it nobody may be let in.
    ///
    /// # Errors
    ///
    /// It cannot be read, or others may read its file.
    pub fn check_admin_token(&self) -> Result<(), ConfigError> {
        ConfigError::unless_none(self.admin_token_problem().into_iter().collect())
    }

    fn admin_token_problem(&self) -> Option<Problem> {
        let error = self.admin.as_ref()?.token.as_ref()?.check().err()?;
        Some(Problem::of_token("admin.token".to_owned(), &error))
    }

    /// Names the first setting of the process, not of a tenant, that is another
    /// one in `new`: it cannot change while the process runs.
    pub fn fixed_but_changed(&self, new: &Config) -> Option<&'static str> {
        // All of them by name, so that no new one is forgotten. The hosts are
        // looked at while reading.
        let Config { state_dir, max_memory, allow_custom_hosts: _, admin, tenants: _ } = self;
        let by_default = |of: &Config| of.max_memory == Memory::by_default(of.tenants.len());
        let same_memory = *max_memory == new.max_memory || by_default(self) && by_default(new);
        let fixed = [
            ("state_dir", *state_dir == new.state_dir),
            ("max_memory", same_memory),
            ("admin", *admin == new.admin),
        ];
        fixed.into_iter().find(|(_, same)| !same).map(|(key, _)| key)
    }
}

impl Tenant {
    /// Every token it needs, by its key.
    pub fn tokens(&self) -> impl Iterator<Item = (&'static str, &TokenSource)> {
        let connect = self.connect.as_ref().map(|connect| ("connect.token", &connect.token));
        let jupiterone = self.jupiterone.as_ref().map(|jupiterone| ("jupiterone.token", &jupiterone.token));
        [Some(("events.token", &self.events.token)), connect, jupiterone].into_iter().flatten()
    }

    /// The tokens that cannot be read, and the files that others may read.
    /// Nobody is contacted; the `op` CLI is not run.
    pub fn token_problems(&self) -> Vec<Problem> {
        let problem = |(key, token): (&str, &TokenSource)| {
            let error = token.check().err()?;
            Some(Problem::of_token(format!("tenant `{}`: {key}", self.name), &error))
        };
        self.tokens().filter_map(problem).collect()
    }
}

/// How the environment is looked up; an argument, so that tests need not change their own.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<OsString>;
