//! Where tokens come from, and that nothing shows them.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use opgraph_state::UnixMs;
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;
use tokio::process::Command;

use super::*;

const SECRET: &str = "eyJhbGciOiJFUzI1NiJ9.c2VjcmV0.c2lnbmF0dXJl";

/// What reading gave: the token, or the error and its hint, one below the other.
async fn read(source: &TokenSource) -> Result<String, String> {
    let checked = source.check().map_err(|error| error.to_string());
    let read = source.read().await;
    assert_eq!(checked.err(), read.as_ref().err().map(ToString::to_string), "check says what read says");
    told(read)
}

fn told(read: Result<SecretString, SecretError>) -> Result<String, String> {
    assert!(!format!("{read:?}").contains("c2VjcmV0"), "Debug shows no token");
    read.map(|token| token.expose_secret().to_owned()).map_err(|error| format!("{error}\n{}", error.hint()))
}

fn file(content: &[u8], mode: u32) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (dir, path)
}

#[tokio::test]
async fn a_variable_is_read_or_the_error_says_what_to_set() {
    let hint = "set it to the token, or configure a file or an `op://` reference instead";
    // Cargo sets it for every test.
    let version = TokenSource::env("CARGO_PKG_VERSION").unwrap();
    assert_eq!(read(&version).await, Ok(env!("CARGO_PKG_VERSION").to_owned()));
    let unset = TokenSource::env("OPGRAPH_TEST_UNSET").unwrap();
    assert_eq!(read(&unset).await, Err(format!("the variable OPGRAPH_TEST_UNSET is not set\n{hint}")));
}

#[tokio::test]
async fn a_file_is_read_if_only_its_owner_may_read_it() {
    let check = async |content: &[u8], mode: u32, expect: Result<&str, &str>| {
        let (_dir, path) = file(content, mode);
        let read = read(&TokenSource::file(&path).unwrap()).await;
        let expect = expect.map(str::to_owned);
        let expect = expect.map_err(|error| error.replace("FILE", &path.display().to_string()));
        assert_eq!(read, expect, "{:?} {mode:o}", String::from_utf8_lossy(content));
    };
    for content in [SECRET.to_owned(), format!("{SECRET}\n"), format!("{SECRET}\r\n")] {
        check(content.as_bytes(), 0o600, Ok(SECRET)).await;
        check(content.as_bytes(), 0o400, Ok(SECRET)).await;
    }
    for (mode, shown) in [(0o644, "644"), (0o640, "640"), (0o604, "604"), (0o620, "620"), (0o666, "666")] {
        let expect = format!(
            "the token file `FILE` may be read by others (mode {shown})\n\
             run `chmod 600 FILE`, and replace the token if others use this machine"
        );
        check(SECRET.as_bytes(), mode, Err(&expect)).await;
    }
    let hint = "write the token into it, and nothing else";
    for empty in ["", "\n", "\r\n"] {
        check(empty.as_bytes(), 0o600, Err(&format!("the token file `FILE` is empty\n{hint}"))).await;
    }
    let strange = "there is a space, a line break or another character that no token has";
    for wrong in [&b"a b"[..], b"a\n\n", b"a\nb", b"TOKEN=\t", b"\xff\xfe", "tökén".as_bytes()] {
        check(wrong, 0o600, Err(&format!("the token file `FILE` holds no token: {strange}\n{hint}"))).await;
    }
    check(&vec![b'a'; LONGEST_TOKEN], 0o600, Ok(&"a".repeat(LONGEST_TOKEN))).await;
    let long =
        format!("the token file `FILE` holds no token: it has more than {LONGEST_TOKEN} bytes\n{hint}");
    for length in [LONGEST_TOKEN + 1, LONGEST_TOKEN + 2, 10 * LONGEST_TOKEN] {
        check(&vec![b'a'; length], 0o600, Err(&long)).await;
    }
}

#[tokio::test]
async fn what_is_no_file_is_refused_without_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let told = read(&TokenSource::file(dir.path()).unwrap()).await.unwrap_err();
    assert!(told.contains("is not a regular file"), "{told}");
    let missing = read(&TokenSource::file(&dir.path().join("no")).unwrap()).await.unwrap_err();
    assert!(missing.contains("No such file or directory"), "{missing}");
}

#[test]
fn what_may_be_a_token_is_not_taken_for_a_name_and_not_shown() {
    let check = |source: Result<TokenSource, SecretError>, expect: &str| {
        let error = source.unwrap_err();
        assert_eq!(error.to_string(), expect);
        assert!(!format!("{error:?}{}", error.hint()).contains("c2VjcmV0"));
    };
    for wrong in [SECRET, "", "A B", "1A", "A=B", "ops_c2VjcmV0", "eyJc2VjcmV0"] {
        check(TokenSource::env(wrong), "`env` holds no variable's name");
    }
    check(TokenSource::file(Path::new(SECRET)), "`file` holds no path");
    check(TokenSource::file(&Path::new("/etc/opgraph").join(SECRET)), "`file` holds no path");
    for wrong in
        [SECRET, "", "op://", "op://vault/item", "op://vault//field", "vault/item/field", "op://a/b/c\n"]
    {
        check(TokenSource::op(wrong), "`op` holds no secret reference");
    }
}

#[tokio::test]
async fn debug_and_errors_show_names_and_never_tokens() {
    assert_eq!(format!("{:?}", TokenSource::env("OP_EVENTS_TOKEN").unwrap()), "variable OP_EVENTS_TOKEN");
    assert_eq!(format!("{:?}", TokenSource::file(Path::new("a/token")).unwrap()), "file `a/token`");
    assert_eq!(format!("{:?}", TokenSource::op("op://a/b/c").unwrap()), "`op://a/b/c`");
    // A key of small letters passes for a variable's name.
    let key = TokenSource::env("c2VjcmV0a1b2").unwrap();
    assert!(!format!("{key:?}{key}").contains("c2VjcmV0"));
    assert!(!read(&key).await.unwrap_err().contains("c2VjcmV0"));
}

#[tokio::test]
async fn op_prints_the_token_or_says_why_not() {
    let check = async |script: &str, expect: Result<&str, &str>| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let read = op::run(command, "op://a/b/c", Duration::from_secs(30)).await;
        assert_eq!(told(read), expect.map(str::to_owned).map_err(str::to_owned), "{script}");
    };
    let by_hand = "run `op read op://a/b/c` by hand; when nobody can unlock it, give `op` a service account";
    let field = "check that the field holds the token, and nothing else";
    check(&format!("printf {SECRET}"), Ok(SECRET)).await;
    check(&format!("echo {SECRET}"), Ok(SECRET)).await;
    check("true", Err(&format!("the answer of `op` for `op://a/b/c` is empty\n{field}"))).await;
    check(
        "echo '[ERROR] 2026/01/01 \"b\" isn'\"'\"'t an item' >&2; exit 1",
        Err(&format!("cannot read `op://a/b/c`: [ERROR] 2026/01/01 \"b\" isn't an item\n{by_hand}")),
    )
    .await;
    check("exit 1", Err(&format!("cannot read `op://a/b/c`: `op` failed and did not say why\n{by_hand}")))
        .await;
    check(
        &format!("echo 'bad token ({SECRET})' >&2; printf half; exit 6"),
        Err(&format!("cannot read `op://a/b/c`: bad token …\n{by_hand}")),
    )
    .await;
    // More than a pipe holds, on both sides: nobody waits for the other.
    check(
        "head -c 300000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero >&2",
        Err(&format!(
            "the answer of `op` for `op://a/b/c` holds no token: it has more than 16384 bytes\n{field}"
        )),
    )
    .await;
}

#[tokio::test]
async fn op_is_given_up_after_a_while_and_missed_with_a_hint() {
    let mut slow = Command::new("sh");
    slow.args(["-c", "exec sleep 600"]);
    let read = op::run(slow, "op://a/b/c", Duration::from_millis(50)).await;
    assert_eq!(
        told(read),
        Err("cannot read `op://a/b/c`: `op` did not answer within 0 s\n\
             sign in first (`op signin`), or give `op` a service account: OP_SERVICE_ACCOUNT_TOKEN"
            .to_owned())
    );
    let missing = Command::new("/no/such/op");
    let read = op::run(missing, "op://a/b/c", Duration::from_secs(30)).await;
    assert_eq!(
        told(read),
        Err("cannot read `op://a/b/c`: there is no program `op`\n\
             install 1Password CLI (https://developer.1password.com/docs/cli), or configure a variable or a file instead"
            .to_owned())
    );
}

fn jwt(claims: &str) -> SecretString {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    SecretString::from(format!("{}.{}.{}", part(r#"{"alg":"ES256"}"#), part(claims), part("signature")))
}

#[test]
fn claims_are_read_each_on_its_own() {
    let check =
        |claims: &str, expect: Option<Claims>| assert_eq!(Claims::read(&jwt(claims)), expect, "{claims}");
    let features = || Some(vec!["auditevents".to_owned(), "itemusages".to_owned()]);
    check(
        r#"{"1password.com/auuid":"ACC","1password.com/fts":["auditevents","itemusages"],
            "aud":["events.1password.eu","x"],"exp":1767225600,"iss":"com.1password.b5","sub":"s","iat":1,"jti":"j"}"#,
        Some(Claims {
            audience: Some("events.1password.eu".to_owned()),
            expires: Some(UnixMs(1_767_225_600_000)),
            features: features(),
            account: Some("ACC".to_owned()),
        }),
    );
    let only_audience = |host: &str| Some(Claims { audience: Some(host.to_owned()), ..Claims::default() });
    check(r#"{"aud":"events.1password.com"}"#, only_audience("events.1password.com"));
    check(r#"{"aud":["com.1password.streamingservice"]}"#, only_audience("com.1password.streamingservice"));
    check(r#"{"exp":1.5}"#, Some(Claims { expires: Some(UnixMs(1_500)), ..Claims::default() }));
    check(
        r#"{"aud":7,"exp":"soon","1password.com/auuid":null,"1password.com/fts":["auditevents",3,"itemusages"]}"#,
        Some(Claims { features: features(), ..Claims::default() }),
    );
    check("{}", Some(Claims::default()));
    check("not json", None);
    check("[]", None);
    for no_jwt in ["", "a", "a.b", "a.!.c", "a.b.c.d", "..", "a.eyJ.c"] {
        assert_eq!(Claims::read(&SecretString::from(no_jwt)), None, "{no_jwt}");
    }
}

#[test]
fn a_token_chooses_among_1passwords_hosts_and_no_others() {
    let check = |audience: &str, expect: Option<&str>| {
        let claims = Claims { audience: Some(audience.to_owned()), ..Claims::default() };
        assert_eq!(claims.base_url().map(|url| url.to_string()).as_deref(), expect, "{audience}");
    };
    check("events.1password.com", Some("https://events.1password.com/"));
    check("events.ent.1password.com", Some("https://events.ent.1password.com/"));
    check("events.1password.ca", Some("https://events.1password.ca/"));
    check("events.1password.eu", Some("https://events.1password.eu/"));
    for other in ["com.1password.streamingservice", "", "evil.example", "events.1password.com.evil.example"] {
        check(other, None);
    }
    for trick in [
        "user@events.1password.com",
        "events.1password.com:8443",
        "https://events.1password.com",
        "127.0.0.1",
    ] {
        check(trick, None);
    }
    assert_eq!(Claims::default().base_url(), None);
}

#[test]
fn a_protected_process_leaves_no_core_and_no_readable_file() {
    const CHILD: &str = "OPGRAPH_TEST_PROTECTED";
    if std::env::var_os(CHILD).is_none() {
        // In a process of its own: it cannot be undone.
        let name = "secret::tests::a_protected_process_leaves_no_core_and_no_readable_file";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", name]).env(CHILD, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    protect_process().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let core = rustix::process::getrlimit(rustix::process::Resource::Core);
    assert_eq!((core.current, core.maximum), (Some(0), Some(0)));
    #[cfg(target_os = "linux")]
    assert_eq!(rustix::process::dumpable_behavior().unwrap(), rustix::process::DumpableBehavior::NotDumpable);
}
