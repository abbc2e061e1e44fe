//! Tokens in files: who may read them, and how one is written.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

use super::{LONGEST_TOKEN, SecretError, token};

/// Whether a file's mode keeps a token from others.
///
/// | owner      | mode                                | private                                          |
/// |------------|-------------------------------------|--------------------------------------------------|
/// | this user  | nothing for group and others        | yes                                              |
/// | root       | at most that the group may read it  | yes: root has chosen who reads, this user cannot |
/// | anybody    | anything else                       | no                                               |
///
/// The second row is how a file reaches a process that is not root: as a
/// systemd credential (an access list for the user, which `stat` shows as the
/// group's: systemd/systemd#29435), as a Kubernetes secret with an `fsGroup`, as
/// `root:opgraph 0640`.
pub(super) fn is_private(mode: u32, owner: u32, user: u32) -> bool {
    match mode & 0o077 {
        0 => true,
        0o040 => owner == 0 && user != 0,
        _ => false,
    }
}

/// Reads a token from a file that only its owner may read.
pub(super) fn read(path: &Path) -> Result<SecretString, SecretError> {
    let source = format!("the token file `{}`", path.display());
    let unreadable = |error: io::Error| {
        SecretError::new(
            format!("cannot read {source}: {error}"),
            "check the path, and that this user may read it",
        )
    };
    // Looked at before it is opened, because opening a named pipe would wait.
    let found = std::fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() {
        return Err(SecretError::new(
            format!("{source} is not a regular file"),
            "write the token into a regular file",
        ));
    }
    let file = File::open(path).map_err(unreadable)?;
    // The open file's own mode: what the path names may have changed.
    let open = file.metadata().map_err(unreadable)?;
    let mode = open.mode();
    if !is_private(mode, open.uid(), rustix::process::geteuid().as_raw()) {
        return Err(SecretError::new(
            format!("{source} may be read by others (mode {:03o})", mode & 0o777),
            format!("run `chmod 600 {}`, and replace the token if others use this machine", path.display()),
        ));
    }
    // Room for all of it at once: growing would leave copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(LONGEST_TOKEN + 3));
    file.take(LONGEST_TOKEN as u64 + 3).read_to_end(&mut content).map_err(unreadable)?;
    token(&content, &source, "write the token into it, and nothing else")
}

/// Writes a token into a new file that only its owner may read, durably. What
/// is there is never replaced.
///
/// # Errors
///
/// The file is there, or cannot be written.
pub fn write_token(path: &Path, token: &SecretString) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(token.expose_secret().as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_is_private_or_roots_and_for_one_group() {
        let check = |mode: u32, owner: u32, user: u32, expect: bool| {
            assert_eq!(is_private(0o100_000 | mode, owner, user), expect, "{mode:o} of {owner} for {user}");
        };
        for owner in [0, 1000, 2000] {
            for mode in [0o600, 0o400, 0o700] {
                check(mode, owner, 1000, true);
            }
            for mode in [0o644, 0o604, 0o660, 0o620, 0o450, 0o777] {
                check(mode, owner, 1000, false);
            }
        }
        check(0o440, 0, 1000, true);
        check(0o640, 0, 1000, true);
        check(0o440, 1000, 1000, false);
        check(0o440, 2000, 1000, false);
        // Root's own file: nobody but root needs it.
        check(0o440, 0, 0, false);
    }
}
