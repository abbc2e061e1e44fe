//! What keeps a token inside the process.

use std::io;

use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, setrlimit, umask},
};

/// Makes new files unreadable for others (umask 077) and keeps memory out of
/// core dumps. Call it first in `main`, before anything is read or written.
///
/// On Linux the process is also made undumpable: a core that is piped to a
/// collector ignores the limit on its size, and no other process of the user
/// can read its memory or environment.
///
/// # Errors
///
/// The system refused. Tokens should not be read then.
pub fn protect_process() -> io::Result<()> {
    umask(Mode::RWXG | Mode::RWXO);
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
