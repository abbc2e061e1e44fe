//! The process stands still for a while, as in a virtual machine that is suspended.

use std::{process::Command, time::Duration};

use opgraph_simulator::{Config, Limits};
use tokio::time::sleep;

use super::scene::{Scene, small};
use crate::support::program::wait;

fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").args([name, &process.to_string()]).status().unwrap();
    assert!(sent.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_suspended_goes_on_and_ends_exact() {
    let config = Config { events: 900, page_cap: 10, limits: Limits::default(), ..small(41) };
    let scene = Scene::of(config).await.with_jupiterone().within_the_documented_limits();
    let disk = scene.disk("disk");
    let mut command = scene.run_once(&disk);
    let child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let process = child.id();
    // Its standard error is read meanwhile, or it would wait for that.
    let ended = tokio::spawn(wait(child));
    for _ in 0..3 {
        sleep(Duration::from_millis(700)).await;
        if ended.is_finished() {
            break;
        }
        signal("-STOP", process);
        sleep(Duration::from_millis(1_500)).await;
        signal("-CONT", process);
    }
    let (status, stderr) = ended.await.unwrap();
    assert!(status.success(), "{stderr}");
    let report = scene.judged(&disk);
    assert!(report.is_exact() && report.is_caught_up(), "{:#?}", report.graph);
    scene.simulator.settle();
    assert!(scene.simulator.report().is_exact());
    // Its claim is its own again: the next run starts where this one ended.
    scene.ends_exact(&disk, "the run after").await;
    let repeated: u64 = scene.simulator.report().streams.values().map(|stream| stream.repeated).sum();
    assert_eq!(repeated, 0, "nothing was read again");
}
