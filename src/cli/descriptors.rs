//! How many files and connections the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// What the process opens for itself: its state, its log, its listeners.
const OWN: u64 = 64;
/// What a tenant may have open at once: connections to its APIs, its graph's file and log.
const A_TENANT: u64 = 16;

/// Raises the limit to what the system allows this process, and says so if that
/// may be too little for so many tenants.
pub(super) fn allow(tenants: usize) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() && limit.current.is_some() {
        // Refused, it stays as it was: then what follows says whether that is enough.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
    let wanted = OWN + A_TENANT * tenants as u64;
    if let Some(allowed) = getrlimit(Resource::Nofile).current.filter(|allowed| *allowed < wanted) {
        warn!(
            allowed,
            wanted,
            "few open files are allowed for so many tenants: raise it (`ulimit -n`, systemd `LimitNOFILE=`)"
        );
    }
}
