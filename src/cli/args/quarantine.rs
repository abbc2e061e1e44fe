//! The command line of `opgraph quarantine`.

use clap::{Args, Subcommand};

use super::Destination;
use crate::config::{FileFlags, Flags};

/// `opgraph quarantine`
#[derive(Clone, Debug, Subcommand)]
pub enum Quarantine {
    /// List what was set aside, and why
    List(ListEntries),
    /// Show one entry whole, its event or record included
    Show(ShowEntry),
    /// Deliver entries again, as this version reads them; what fails again stays
    #[command(after_help = RETRY_EXAMPLES)]
    Retry(Box<RetryEntries>),
    /// Remove entries for good
    #[command(after_help = DROP_EXAMPLES)]
    Drop(DropEntries),
}

/// `opgraph quarantine list`
#[derive(Args, Clone, Debug)]
pub struct ListEntries {
    /// Of this tenant only
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Write it as JSON
    #[arg(long)]
    pub json: bool,
    /// Where the state is.
    #[command(flatten)]
    pub flags: FileFlags,
}

/// `opgraph quarantine show`
#[derive(Args, Clone, Debug)]
pub struct ShowEntry {
    /// The entry's id, or as much of its beginning as no other has
    #[arg(value_name = "ID")]
    pub id: String,
    /// Of this tenant only
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Write it as JSON
    #[arg(long)]
    pub json: bool,
    /// Where the state is.
    #[command(flatten)]
    pub flags: FileFlags,
}

/// Some entries, or all.
#[derive(Args, Clone, Debug)]
#[group(multiple = true)]
pub struct Entries {
    /// The entries' ids, or as much of the beginning of each as no other has
    #[arg(value_name = "ID", conflicts_with = "all")]
    pub ids: Vec<String>,
    /// All entries
    #[arg(long)]
    pub all: bool,
}

/// `opgraph quarantine retry`
#[derive(Args, Clone, Debug)]
pub struct RetryEntries {
    /// What to deliver; everything if nothing is named.
    #[command(flatten)]
    pub entries: Entries,
    /// Of this tenant only
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Write what came of it as JSON, one object a tenant
    #[arg(long)]
    pub json: bool,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub flags: Flags,
    /// Where records go.
    #[command(flatten)]
    pub destination: Destination,
}

/// `opgraph quarantine drop`
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("what").args(["ids", "all"]).required(true).multiple(true))]
pub struct DropEntries {
    /// What to remove.
    #[command(flatten)]
    pub entries: Entries,
    /// Of this tenant only
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Where the state is.
    #[command(flatten)]
    pub flags: FileFlags,
}

/// Examples of `retry`.
pub(super) const RETRY_EXAMPLES: &str = "\
Examples:
  opgraph quarantine retry                        everything, as this version reads it
  opgraph quarantine retry 3f9a --config opgraph.toml

It delivers to the tenant's own destinations: say what `opgraph run` is told.";

/// Examples of `drop`.
pub(super) const DROP_EXAMPLES: &str = "\
Examples:
  opgraph quarantine drop 3f9a 77b01
  opgraph quarantine drop --all --tenant acme --yes";
