//! What people deploy with agrees with the program that they deploy.

use std::{fs, path::Path, time::Duration};

use clap::Parser;
use opgraph::{
    cli::args::{Cli, Command, Run},
    config::Config,
};

use super::root;

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The values of a unit's key, in order.
fn values<'t>(unit: &'t str, key: &str) -> Vec<&'t str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

fn run(words: &[&str]) -> Run {
    let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    let Command::Run(run) = cli.command else { panic!("{words:?} is no run") };
    run
}

/// A configuration as it is deployed.
fn config(path: &str) -> Config {
    Config::parse(&text(path), Path::new(path)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_unit_starts_what_there_is_and_stops_restarting_where_a_person_is_needed() {
    let unit = text("deploy/systemd/opgraph.service");
    let start = values(&unit, "ExecStart");
    let words: Vec<&str> = start[0].split_whitespace().collect();
    assert_eq!(words[0], "/usr/bin/opgraph");
    let run = run(&words);
    assert_eq!(run.flags.file.config.unwrap(), Path::new("/etc/opgraph/opgraph.toml"));
    assert!(!run.stay, "the exit code says it");
    // Configuration, credentials, guard: README.md, exit codes.
    assert_eq!(values(&unit, "RestartPreventExitStatus"), ["2 3 5"]);
    let stop: u64 = values(&unit, "TimeoutStopSec")[0].trim_end_matches('s').parse().unwrap();
    assert!(Duration::from_secs(stop) > run.drain);
    assert_eq!(values(&unit, "ExecReload"), ["/bin/kill -HUP $MAINPID"]);
}

#[test]
fn the_service_finds_its_token_where_systemd_puts_it_and_writes_where_it_may() {
    let unit = text("deploy/systemd/opgraph.service");
    let config = config("deploy/systemd/opgraph.toml");
    let credential = values(&unit, "LoadCredential")[0].split(':').next().unwrap();
    let token = format!("file `/run/credentials/opgraph.service/{credential}`");
    assert_eq!(config.tenants[0].events.token.to_string(), token);
    let own = Path::new("/var/lib").join(values(&unit, "StateDirectory")[0]);
    let graph = &config.tenants[0].graph.as_ref().unwrap().path;
    // Beside it and not itself: a state that is compacted or moved aside has siblings.
    assert_eq!(config.state_dir.parent(), Some(own.as_path()));
    assert_eq!(graph.parent(), Some(own.as_path()));
}

#[test]
fn the_pod_runs_what_there_is_and_mounts_what_it_names() {
    let pod = text("deploy/kubernetes/statefulset.yaml");
    let args = pod.split("args: [").nth(1).unwrap().split(']').next().unwrap();
    let args: Vec<&str> = args.split(", ").map(|word| word.trim_matches('"')).collect();
    let run = run(&[&["opgraph"], &args[..]].concat());
    assert!(run.stay, "a StatefulSet restarts whatever the exit code");
    let config = config("deploy/kubernetes/opgraph.toml");
    let mounts: Vec<&str> =
        pod.split("mountPath: ").skip(1).map(|rest| rest.lines().next().unwrap()).collect();
    let mounted =
        |path: &Path| mounts.iter().any(|mount| path.starts_with(mount) && path != Path::new(mount));
    assert!(mounted(&config.state_dir) && mounted(&run.flags.file.config.unwrap()));
    assert!(mounted(&config.tenants[0].graph.as_ref().unwrap().path));
    let token = config.tenants[0].events.token.to_string();
    assert!(mounted(Path::new(token.trim_start_matches("file `").trim_end_matches('`'))), "{token}");
    for hardened in [
        "runAsNonRoot: true",
        "readOnlyRootFilesystem: true",
        "allowPrivilegeEscalation: false",
        "drop: [\"ALL\"]",
        "type: RuntimeDefault",
        "automountServiceAccountToken: false",
        "replicas: 1",
        "path: /healthz",
        "path: /readyz",
        // Root's, for the pod's group: what a token file may be.
        "defaultMode: 0440",
    ] {
        assert!(pod.contains(hardened), "`{hardened}` is missing");
    }
    let port = "containerPort: 9184";
    let listen = text("deploy/kubernetes/opgraph.toml");
    assert!(pod.contains(port) && listen.contains("listen = \"0.0.0.0:9184\""));
    for resource in
        text("deploy/kubernetes/kustomization.yaml").lines().filter(|line| line.ends_with(".yaml"))
    {
        text(&format!("deploy/kubernetes/{}", resource.trim().trim_start_matches("- ")));
    }
}

#[test]
fn the_image_and_the_package_hold_what_is_there() {
    let ignore = text("deploy/Dockerfile.dockerignore");
    for path in ignore.lines().filter_map(|line| line.strip_prefix('!')) {
        assert!(root().join(path).exists(), "{path}");
    }
    assert!(text("deploy/Dockerfile").contains("USER 65532:65532"));
    assert!(text("deploy/kubernetes/statefulset.yaml").contains("runAsUser: 65532"));
    let manifest = text("Cargo.toml");
    let assets = manifest.split("\nassets = [").nth(1).unwrap().split("\n]").next().unwrap();
    let sources: Vec<&str> =
        assets.split("[\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(sources.len() > 8, "{sources:?}");
    for source in sources.iter().filter(|source| !source.starts_with("target/")) {
        assert!(root().join(source).exists(), "{source}");
    }
    assert!(manifest.contains("conf-files = [\"/etc/opgraph/opgraph.toml\"]"));
}

#[test]
fn every_action_is_pinned_by_its_commit() {
    let mut pinned = 0;
    for name in ["ci.yml", "release.yml"] {
        let workflow = text(&format!(".github/workflows/{name}"));
        for action in workflow
            .lines()
            .filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix("uses: "))
        {
            let (_, rest) = action.split_once('@').unwrap_or_else(|| panic!("{name}: {action}"));
            let (commit, version) = rest.split_once(" # ").unwrap_or_else(|| panic!("{name}: {action}"));
            assert!(
                commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{name}: {action}"
            );
            assert!(version.starts_with('v'), "{name}: {action}");
            pinned += 1;
        }
    }
    assert!(pinned > 10, "{pinned}");
    assert!(text(".github/workflows/ci.yml").contains("- run: .ci/run"));
}
