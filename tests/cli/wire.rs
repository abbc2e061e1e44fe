//! Faults of the wire, and what the program makes of them: exit code, hint, graph.

use std::{
    fs::{self, File},
    net::TcpListener,
    process::Command,
    time::Duration,
};

use futures::future::join_all;
use opgraph_simulator::{Config, Simulator};

use crate::support::{
    answers::*,
    chaos::{Chaos, End, Fault, Rule},
    logs::is_silent_about,
    program::{Ended, Place, ended},
};

/// A fault, where it strikes, and how the program ends.
struct Case {
    rule: Rule,
    code: i32,
    said: &'static str,
    also: Option<Rule>,
}

const AUDIT: &str = "/auditevents";
const TOKEN: &str = "/auth/introspect";
const EVER: u64 = u64::MAX;

fn case(at: &'static str, nth: u64, times: u64, fault: Fault, code: i32, said: &'static str) -> Case {
    Case { rule: Rule { at, holding: "", nth, times, everywhere: false, fault }, code, said, also: None }
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let refused = || say("401 Unauthorized", "", r#"{"Error":{"Message":"{token}"}}"#);
    let gone = case(TOKEN, 2, EVER, Fault::Change(without_auditevents, End::Keep), 0, "");
    let revoked = case(AUDIT, 3, EVER, refused(), 3, "hint: issue a new Events Reporting token");
    let lost = case(AUDIT, 3, EVER, refused(), 3, "hint: the token may not read `auditevents`");
    vec![
        case(AUDIT, 2, 1, Fault::Change(shorter_than_it_says, End::Reset), 0, ""),
        case(AUDIT, 1, 2, Fault::Change(gzip_cut, End::Keep), 0, ""),
        case(AUDIT, 3, 1, Fault::Refuse(Duration::from_millis(300)), 0, ""),
        case(TOKEN, 1, 2, say("503 Service Unavailable", "", LOGIN), 0, ""),
        case(AUDIT, 2, 1, say("200 OK", "content-type: text/html\r\n", LOGIN), 0, ""),
        case(AUDIT, 2, EVER, say("200 OK", "content-type: text/html\r\n", LOGIN), 1, "hint: nothing was skipped"),
        case(TOKEN, 1, EVER, say("200 OK", "", LOGIN), 1, "hint: check the Events API base URL"),
        case(AUDIT, 2, EVER, say("307 Temporary Redirect", "location: http://{elsewhere}/\r\n", ""), 1, "redirects are never followed"),
        case(TOKEN, 1, EVER, say("302 Found", "location: http://{elsewhere}/\r\n", ""), 1, "redirects are never followed"),
        Case { rule: Rule { everywhere: true, ..revoked.rule.clone() }, ..revoked },
        Case { also: Some(gone.rule), ..lost },
        case(AUDIT, 1, EVER, say("403 Forbidden", "", LOGIN), 3, "hint: issue a new Events Reporting token"),
        case(TOKEN, 1, EVER, say("407 Proxy Authentication Required", "", LOGIN), 2, "hint: a proxy between"),
        case(AUDIT, 2, EVER, say("200 OK", "", "{}"), 1, "hint: nothing was skipped"),
    ]
}

async fn simulator() -> Simulator {
    Simulator::start(Config { events: 60, page_cap: 3, users: 8, ..Config::default() }).await.unwrap()
}

/// The program, telling all that there is to tell.
fn talkative(place: &Place) -> Command {
    let mut run = place.run_once();
    run.env("OPGRAPH_LOG", "trace");
    run
}

fn is_silent(ended: &Ended, token: &str) {
    for text in [&ended.stdout, &ended.stderr] {
        is_silent_about(token, text, "output");
    }
    assert!(ended.stderr.contains("run started"), "the log was heard: {}", ended.stderr);
}

async fn check(case: Case) {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let simulator = simulator().await;
    let token = simulator.events_token();
    let chaos = Chaos::start(simulator.address());
    let Case { rule, code, said, also } = case;
    let known = [("{token}", token.to_owned()), ("{elsewhere}", elsewhere.local_addr().unwrap().to_string())];
    let fault = filled_in(&rule.fault, &known);
    chaos.spoil([Rule { fault, ..rule }].into_iter().chain(also).collect());
    let place = Place::at(&simulator, chaos.url());
    let first = ended(talkative(&place)).await;
    assert_eq!(first.code, Some(code), "{}\n{}", first.stdout, first.stderr);
    assert!(first.stderr.contains(said), "`{said}` is not in: {}", first.stderr);
    is_silent(&first, token);
    assert!(elsewhere.accept().is_err(), "a redirect was followed");

    chaos.spoil(Vec::new());
    if code != 0 {
        let second = ended(talkative(&place)).await;
        assert_eq!(second.code, Some(0), "{}", second.stderr);
        is_silent(&second, token);
    }
    let report = place.judged_by(&simulator);
    assert!(report.is_exact() && report.is_caught_up(), "{said}: {:#?}", report.graph);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_wire_ends_as_the_table_says_and_no_token_comes_out() {
    let cases = cases();
    // A debug build of the program is not small: a few at a time.
    let mut running = Vec::new();
    for case in cases {
        running.push(tokio::spawn(check(case)));
        if running.len() == 5 {
            join_all(running.drain(..)).await.into_iter().for_each(|case| case.unwrap());
        }
    }
    join_all(running).await.into_iter().for_each(|case| case.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn gigabytes_in_a_small_answer_are_refused_and_memory_stays_flat() {
    let simulator = simulator().await;
    let chaos = Chaos::start(simulator.address());
    chaos.spoil(vec![case(AUDIT, 2, 1, bomb(), 0, "").rule]);
    let place = Place::at(&simulator, chaos.url());
    let mut run = place.run_once();
    run.stdout(File::create(place.path("out")).unwrap()).stderr(File::create(place.path("err")).unwrap());
    let mut child = run.spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        peak = peak.max(most_memory(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    assert_eq!(status.code(), Some(0));
    let said = fs::read_to_string(place.path("err")).unwrap();
    assert!(said.contains("is larger than 67108864 bytes"), "{said}");
    // The cap twice, while the body grows from half of it, and what the program takes anyway.
    assert!((20_000..400_000).contains(&peak), "{peak} KiB");
    assert!(place.judged_by(&simulator).is_exact());
}

/// The most memory that a process had so far, in KiB; 0 when it is gone.
fn most_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
