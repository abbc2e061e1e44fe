//! Killed at any point.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use super::{claim, commit, ids, open, open_renewing};
use crate::{Epoch, Store};

const DIR: &str = "OPGRAPH_STATE_TEST_KILLED_DIR";

/// In a second process: says the number of every commit once it is answered.
async fn commit_until_killed(dir: &std::path::Path) {
    // Every few commits it is killed while its database is opened anew.
    let store = open_renewing(dir, 5000);
    let epoch = claim(&store, "acme").await;
    let start = store.checkpoints().await.unwrap()["acme"]["s"].commits;
    for number in start.. {
        store.commit(commit("acme", epoch, number, 1, vec![ids(number, 100)])).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "\ncommitted {}", number + 1).unwrap();
        out.flush().unwrap();
    }
}

/// Runs itself in a second process, which finds the variable set.
#[tokio::test]
async fn every_answered_commit_is_found_after_a_kill() {
    if let Some(dir) = std::env::var_os(DIR) {
        commit_until_killed(dir.as_ref()).await;
    }
    let dir = tempfile::tempdir().unwrap();
    for kill in 0..5_u64 {
        let mut second = Command::new(std::env::current_exe().unwrap());
        let name = "sled_store::tests::crash::every_answered_commit_is_found_after_a_kill";
        second.args(["--exact", name, "--nocapture"]).env(DIR, dir.path()).stdout(Stdio::piped());
        let mut second = second.spawn().unwrap();
        let lines = BufReader::new(second.stdout.take().unwrap()).lines().map(Result::unwrap);
        let committed = lines.filter_map(|line| line.strip_prefix("committed ")?.parse::<u64>().ok());
        let answered = committed.take(3 + 4 * kill as usize).last().unwrap();
        second.kill().unwrap();
        second.wait().unwrap();

        let store = open(dir.path());
        assert_eq!(store.rolled_back(), None);
        let stands = store.checkpoints().await.unwrap()["acme"]["s"].clone();
        assert!(stands.commits >= answered, "{} of {answered}", stands.commits);
        // What is there is whole: every page of every commit.
        assert_eq!(store.seen("acme", "s", None).await.unwrap().len() as u64, 100 * stands.commits);
        assert_eq!(stands.events, 100 * stands.commits);
        assert_eq!(claim(&store, "acme").await, Epoch(2 * kill + 2));
    }
}
