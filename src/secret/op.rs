//! 1Password's CLI: `op read op://vault/item/field`.

use std::{io, process::Stdio, time::Duration};

use secrecy::{SecretString, zeroize::Zeroizing};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    time::timeout,
};

use super::{LONGEST_TOKEN, SecretError, looks_like_a_token, token};

/// How long `op` may take, a person's unlocking included.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn read(reference: &str) -> Result<SecretString, SecretError> {
    let mut command = Command::new("op");
    command.args(["read", "--no-newline", reference]);
    run(command, reference, PATIENCE).await
}

/// Runs the command and takes what it prints for the token. The command is
/// killed when time is up or the future is dropped.
pub(super) async fn run(
    mut command: Command,
    reference: &str,
    patience: Duration,
) -> Result<SecretString, SecretError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => SecretError::new(
            format!("cannot read `{reference}`: there is no program `op`"),
            "install 1Password CLI (https://developer.1password.com/docs/cli), or configure a variable or a file instead",
        ),
        _ => SecretError::new(
            format!("cannot read `{reference}`: cannot run `op`: {error}"),
            "check that `op` runs",
        ),
    };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let all = async { tokio::join!(printed(stdout, LONGEST_TOKEN + 3), printed(stderr, 4096), child.wait()) };
    let Ok((output, complaint, status)) = timeout(patience, all).await else {
        return Err(SecretError::new(
            format!("cannot read `{reference}`: `op` did not answer within {} s", patience.as_secs()),
            "sign in first (`op signin`), or give `op` a service account: OP_SERVICE_ACCOUNT_TOKEN",
        ));
    };
    let status = status.map_err(failed)?;
    if !status.success() {
        return Err(SecretError::new(
            format!("cannot read `{reference}`: {}", harmless(&complaint.map_err(failed)?)),
            format!(
                "run `op read {reference}` by hand; when nobody can unlock it, give `op` a service account"
            ),
        ));
    }
    let source = format!("the answer of `op` for `{reference}`");
    token(&output.map_err(failed)?, &source, "check that the field holds the token, and nothing else")
}

/// Reads to the end and keeps the first `most` bytes, in a buffer that never moves.
async fn printed(from: Option<impl AsyncRead + Unpin>, most: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut kept = Zeroizing::new(Vec::with_capacity(most));
    let Some(mut from) = from else { return Ok(kept) };
    (&mut from).take(most as u64).read_to_end(&mut kept).await?;
    // Read on, so that the other side does not wait for us.
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(kept)
}

/// What `op` complained about, on one line, without whatever could be a secret.
fn harmless(complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let secret = |word: &str| {
        let word = word.trim_matches(|char: char| !char.is_ascii_alphanumeric());
        looks_like_a_token(word) || (word.len() > 40 && !word.contains("://"))
    };
    let words: Vec<&str> =
        text.split_whitespace().map(|word| if secret(word) { "…" } else { word }).collect();
    let line: String = words.join(" ").chars().filter(|char| !char.is_control()).take(300).collect();
    if line.is_empty() { "`op` failed and did not say why".to_owned() } else { line }
}
