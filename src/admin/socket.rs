//! The socket in the state directory: how `opgraph status` asks a process that runs.
//!
//! Whoever runs holds the lock of the directory, so a socket that is there
//! already was left by a process that was killed, and is replaced.

use std::{
    fs, io,
    os::{
        fd::AsRawFd,
        unix::fs::{FileTypeExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::fs::{Mode, OFlags};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use super::{Door, Site, Status, server::accept};

/// The name in the state directory.
pub const NAME: &str = "opgraph.sock";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes of an answer: a thousand tenants are about 10 MB.
const LARGEST: u64 = 256 << 20;

/// A socket at work. Dropping it removes it.
#[derive(Debug)]
#[must_use = "it listens for as long as it is kept"]
pub struct Socket {
    path: PathBuf,
    _task: AbortOnDropHandle<()>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // One that stays is found out by who connects to it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Listens in a state directory whose lock this process holds.
///
/// # Errors
///
/// The socket cannot be made, such as on a file system without any.
pub fn listen(dir: &Path, site: Arc<Site>) -> io::Result<Socket> {
    let path = dir.join(NAME);
    match fs::symlink_metadata(&path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(&path)?,
        // What else is there is not ours: binding says so.
        _ => {}
    }
    let listener = within(dir, |path| UnixListener::bind(path))?;
    // The directory is its owner's alone, so nobody was faster.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    let task = tokio::spawn(accept(listener, Door::Socket, site));
    Ok(Socket { path, _task: AbortOnDropHandle::new(task) })
}

/// Asks the process that runs on a state directory how it is. `None` if none
/// runs: there is no socket, or one that nobody listens on any more.
///
/// # Errors
///
/// A process is there and does not answer, or not in these words.
pub async fn ask(dir: &Path) -> io::Result<Option<Status>> {
    let connected = within(dir, std::os::unix::net::UnixStream::connect);
    let connection = match connected {
        Ok(connection) => connection,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
                _ => Err(error),
            };
        }
    };
    let answer = timeout(PATIENCE, exchange(connection)).await;
    let answer = answer.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))?;
    serde_json::from_slice(&answer).map(Some).map_err(|error| {
        io::Error::other(format!("the answer is not of this version: {:?} error", error.classify()))
    })
}

/// Sends the one request there is, and reads the body of its answer.
async fn exchange(connection: std::os::unix::net::UnixStream) -> io::Result<Vec<u8>> {
    connection.set_nonblocking(true)?;
    let mut connection = UnixStream::from_std(connection)?;
    connection.write_all(b"GET /api/status HTTP/1.0\r\naccept: application/json\r\n\r\n").await?;
    let mut answer = Vec::new();
    connection.take(LARGEST).read_to_end(&mut answer).await?;
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n");
    let (Some(head), true) = (head, answer.starts_with(b"HTTP/1.0 200")) else {
        return Err(io::Error::other("the answer is none of opgraph's"));
    };
    Ok(answer.split_off(head + 4))
}

/// Names the socket by its open directory: the system takes no path of more
/// than 107 bytes, and a state directory may have a longer one.
fn within<T>(dir: &Path, with: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(dir, flags, Mode::empty())?;
    with(PathBuf::from(format!("/proc/self/fd/{}/{NAME}", opened.as_raw_fd())))
}
