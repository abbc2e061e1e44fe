//! The command line of `opgraph init`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::config::TenantFlags;

/// `opgraph init`
#[derive(Args, Clone, Debug)]
pub struct Init {
    /// The file to write; relative paths in it start from its folder
    #[arg(value_name = "FILE", default_value = "opgraph.toml")]
    pub file: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    pub force: bool,
    /// Ask nothing, not even on a terminal: what no flag says has its default
    #[arg(long)]
    pub no_input: bool,
    /// Where cursors are kept [default: opgraph-state]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Where the account is: com, ent, ca or eu [default: where the token says]
    #[arg(
        long,
        value_enum,
        value_name = "REGION",
        hide_possible_values = true,
        conflicts_with = "events_url"
    )]
    pub region: Option<Region>,
    /// Where the Events API token is read from: env:NAME, file:PATH or op://vault/item/field [default:
    /// env:OP_EVENTS_TOKEN]
    #[arg(long, value_name = "WHERE", conflicts_with = "events_token_file")]
    pub events_token_from: Option<String>,
    /// Where the Connect token is read from [default: env:OP_CONNECT_TOKEN]
    #[arg(long, value_name = "WHERE", conflicts_with = "connect_token_file")]
    pub connect_token_from: Option<String>,
    /// Where the JupiterOne API key is read from [default: env:JUPITERONE_API_KEY]
    #[arg(long, value_name = "WHERE", conflicts_with = "jupiterone_key_file")]
    pub jupiterone_key_from: Option<String>,
    /// What `run` takes without a file.
    #[command(flatten)]
    pub tenant: TenantFlags,
}

/// Where a 1Password account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Region {
    /// 1password.com
    Com,
    /// ent.1password.com
    Ent,
    /// 1password.ca
    Ca,
    /// 1password.eu
    Eu,
}

impl Region {
    /// The Events API of its accounts (1Password's documentation, "Base URLs").
    pub const fn events_url(self) -> &'static str {
        match self {
            Region::Com => "https://events.1password.com",
            Region::Ent => "https://events.ent.1password.com",
            Region::Ca => "https://events.1password.ca",
            Region::Eu => "https://events.1password.eu",
        }
    }
}

pub(super) const EXAMPLES: &str = "\
Examples:
  opgraph init                           asks, then writes opgraph.toml
  opgraph init --no-input --tenant-name acme --region eu --events-token-from file:events-token
  opgraph init acme.toml --events-token-from op://security/opgraph/credential
  opgraph init --jupiterone-account ID --jupiterone-instance ID --graph graph.db

No token is ever written into the file, only where it is read from. On a terminal a token can be
typed at a hidden prompt into a file of its own, which nobody else may read.";
