//! No secret value stays in memory: details full of canaries are opened, and every byte of the process is searched.
//!
//! A program of its own, because it needs the allocator of the real one. It starts itself again: the process that
//! is searched knows neither the simulator nor what a canary looks like.

// A test fails by panicking.
#![allow(clippy::unwrap_used)]
// It is a program.
#![allow(clippy::print_stdout)]

#[path = "../support/mappings.rs"]
mod mappings;

use std::{
    env,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use opgraph::{
    http::{Asked, Client, ClientSettings, Request},
    secret::wipe::Wiping,
    source::{
        Lister,
        connect::{Connect, ConnectSettings, Item, Labels},
    },
};
use opgraph_simulator::{Config, Simulator};

use self::mappings::each_writable;

#[global_allocator]
static ALLOCATOR: Wiping = Wiping;

/// How many details are opened.
const DETAILS: usize = 60;

/// What the process that is searched does.
const MODE: &str = "OPGRAPH_TEST_OPENS";

#[tokio::main]
async fn main() {
    match env::var(MODE) {
        Ok(mode) => opens(&mode).await,
        Err(_) => searches().await,
    }
}

/// Opens details, says so, and stays until its input ends.
async fn opens(mode: &str) {
    let text = |name: &str| env::var(name).unwrap();
    let settings = ConnectSettings::new(text("URL").parse().unwrap(), text("TOKEN").into());
    let connect = Connect::new(settings.clone(), Arc::default()).unwrap();
    let vault = connect.vaults().await.unwrap()[0].id.clone();
    let items: Vec<Item> = connect.items(&vault, Vec::new).await.unwrap();
    let items: Vec<String> = items.into_iter().map(|item| item.id).take(DETAILS).collect();
    assert_eq!(items.len(), DETAILS);
    let mut labels = Vec::new();
    let mut kept = Some(connect);
    if mode == "unwiped" {
        // The same requests on a thread whose frees are not wiped.
        let client = Client::new(&ClientSettings::default()).unwrap();
        for item in &items {
            let request = Request {
                doing: "open".to_owned(),
                asked: Asked::Inventory,
                method: reqwest::Method::GET,
                url: format!("{}/v1/vaults/{vault}/items/{item}", text("URL")).parse().unwrap(),
                token: settings.token.clone(),
                headers: Vec::new(),
                body: None,
            };
            labels.push(Labels::read(&client.send(&request).await.unwrap().body).unwrap());
        }
    } else if let Some(connect) = &kept {
        let opened = items.iter().map(|item| connect.labels(&vault, item));
        for opened in futures::future::join_all(opened).await {
            labels.push(opened.unwrap().unwrap());
        }
    }
    if mode == "dropped" {
        kept = None;
    }
    println!(
        "opened {} with {} labels",
        items.len(),
        labels.iter().map(|of| of.sections.len()).sum::<usize>()
    );
    let mut end = String::new();
    tokio::task::spawn_blocking(move || std::io::stdin().read_to_string(&mut end)).await.unwrap().unwrap();
    drop(kept);
}

/// Starts the simulator and the processes, and searches them.
async fn searches() {
    let config = Config { events: 0, users: 8, vaults: 2, items_per_vault: 80, ..Config::default() };
    let simulator = Simulator::start(config).await.unwrap();
    let canaries = simulator.secret_canaries();
    for mode in ["unwiped", "idle", "dropped"] {
        let (url, token) = (simulator.connect_url(), simulator.connect_token());
        let canaries = canaries.clone();
        let found = tokio::task::spawn_blocking(move || {
            let mut child = start(mode, &url, &token);
            until_nothing_is_open();
            let found = in_memory(child.id(), &canaries);
            drop(child.stdin.take());
            assert!(child.wait().unwrap().success());
            found
        });
        let found = found.await.unwrap();
        println!("{mode}: {} canaries in memory", found.len());
        if mode == "unwiped" {
            assert!(!found.is_empty(), "the search finds what is there");
        } else {
            assert!(found.is_empty(), "{mode}: {found:#?}");
        }
    }
}

fn start(mode: &str, url: &str, token: &str) -> Child {
    let mut child = Command::new(env::current_exe().unwrap())
        .env_clear()
        .envs([(MODE, mode), ("URL", url), ("TOKEN", token)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with(&format!("opened {DETAILS} with ")), "{mode}: {line:?}");
    child
}

/// Gives the connections over which items were opened the time to be closed.
fn until_nothing_is_open() {
    #[expect(clippy::disallowed_methods, reason = "a thread of its own, which waits for another process")]
    std::thread::sleep(Duration::from_secs(2));
}

/// What surrounds each canary in the memory that the process can write.
fn in_memory(process: u32, canaries: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let searched = each_writable(process, |map, bytes| {
        for canary in canaries {
            let canary = canary.as_bytes();
            for at in
                (0..bytes.len().saturating_sub(canary.len())).filter(|at| bytes[*at..].starts_with(canary))
            {
                let around = &bytes[at.saturating_sub(40)..bytes.len().min(at + 60)];
                found.push(format!("{map}: {}", String::from_utf8_lossy(around)));
            }
        }
    })
    .unwrap();
    assert!(searched > 1 << 20, "only {searched} bytes were searched");
    found
}
