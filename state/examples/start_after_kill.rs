//! How long a start takes after the process was killed, with a large horizon, and what the state holds in memory.
//!
//! ```sh
//! cargo run --release -p opgraph-state --example start_after_kill
//! ```
//!
//! A process of its own fills a state as an account that is read all the time
//! does: a commit of every stream again and again, ids older than the horizon
//! pruned on the way, shared records written anew. It is killed (SIGKILL) when
//! it has all. Then the directory is opened, in a process of its own each time,
//! up to the point where a tenant would make its first request: opened, claimed, the newest
//! ids of every stream read. Beside it stands what nothing can save: sled's own opening of
//! the same bytes, and reading the file once.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use opgraph_state::{
    Advance, Commit, Cursor, Entry, Fingerprint, OpenOptions, SledStore, SourceInfo, Step, Store, UnixMs,
    Version,
};

const HOUR: i64 = 3_600_000;
const STREAMS: [&str; 3] = ["auditevents", "itemusages", "signinattempts"];
const RECENT: usize = 262_144;

/// Hours that are filled: as many as are kept, and some whose ids are pruned again.
const HOURS: i64 = 80;
const KEPT: i64 = 73;

fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

fn main() {
    let mut args = env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (Some("fill"), Some(dir)) => run(fill(Path::new(&dir))),
        (Some("open"), Some(dir)) => run(open(Path::new(&dir))),
        (Some("sled"), Some(dir)) => sled_alone(Path::new(&dir)),
        _ => measure(),
    }
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
}

fn measure() {
    let place = tempfile::Builder::new().prefix("start-after-kill-").tempdir_in(".").unwrap();
    let whole = place.path().join("whole");
    let mut child = me("fill", &whole).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    println!("filled: {}", said.next().unwrap().unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
    for round in 0..number("ROUNDS", 5) {
        for what in ["sled", "open"] {
            let dir = place.path().join("copy");
            copy(&whole, &dir);
            print!("{round} ");
            assert!(me(what, &dir).status().unwrap().success());
            fs::remove_dir_all(&dir).unwrap();
        }
    }
}

fn me(what: &str, dir: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.arg(what).arg(dir);
    command
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_file() {
            let copy = to.join(path.file_name().unwrap());
            fs::copy(&path, &copy).unwrap();
            // On the disk, as the commits had left it: sled's first sync would wait for all of it.
            fs::File::open(copy).unwrap().sync_all().unwrap();
        }
    }
}

/// Fills a state and waits to be killed.
async fn fill(dir: &Path) {
    let (ids, a_hour) = (number("IDS", 10_000_000), number("COMMITS", 60));
    let (changed, shared) = (number("CHANGED", 200), number("SHARED", 20_000));
    let each = ids / (KEPT as u64 * a_hour * STREAMS.len() as u64);
    let cache = number("CACHE", OpenOptions::default().cache_bytes);
    let store = SledStore::open(dir, OpenOptions { cache_bytes: cache, ..OpenOptions::default() }).unwrap();
    let at = |stream: &&str| (stream.to_string(), Cursor::Since(UnixMs(0)));
    let starts: Vec<_> = STREAMS.iter().map(at).collect();
    let epoch = store.claim("acme", &starts, UnixMs(0)).await.unwrap().epoch;
    let (mut from, mut next, mut roll) = (Cursor::Since(UnixMs(0)), 0_u64, 7_u64);
    let begun = Instant::now();
    for hour in 0..HOURS {
        for commit in 0..a_hour as i64 {
            let at = UnixMs(hour * HOUR + commit * HOUR / a_hour as i64);
            let to = Cursor::Token(format!("cursor {hour} {commit} {}", "c".repeat(120)));
            let mut step = |stream: &&str| {
                let ids: Vec<_> = (0..each).map(|id| Fingerprint::of(&format!("{}", next + id))).collect();
                next += each;
                Step {
                    stream: stream.to_string(),
                    advance: Advance::new(from.clone(), to.clone()),
                    source: SourceInfo::default(),
                    newest_event: Some(at),
                    latest: Some(at),
                    seen: ids.chunks(1000).map(<[_]>::to_vec).collect(),
                    rewound: false,
                    through: true,
                    window: None,
                    split: None,
                }
            };
            let mut entry = || {
                roll = roll.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                Entry {
                    key: format!("one_password_user:{:026}", (roll >> 33) % shared),
                    version: Version { rank: 2, at },
                    record: "r".repeat(500),
                }
            };
            let commit = Commit {
                tenant: "acme".to_owned(),
                epoch,
                at,
                steps: STREAMS.iter().map(&mut step).collect(),
                removed: Vec::new(),
                directory: (0..changed).map(|_| entry()).collect(),
                inventory: Vec::new(),
                released: Vec::new(),
                quarantined: Vec::new(),
                settled: Vec::new(),
            };
            store.commit(commit).await.unwrap();
            from = to;
        }
    }
    let took = begun.elapsed().as_secs_f64();
    let bytes = fs::metadata(dir.join("db")).unwrap().len() as f64 / 1e6;
    let commits = HOURS as u64 * a_hour;
    println!(
        "{commits} commits of 3 × {each} ids and {changed} shared records in {took:.1} s; {bytes:.0} MB on disk; \
         resident {:.1} MB, at most {:.1} MB",
        memory("VmRSS:"),
        memory("VmHWM:")
    );
    loop {
        std::thread::park();
    }
}

fn memory(what: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1000.0
}

/// Milliseconds that the process's threads were on a CPU.
fn cpu_ms() -> f64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let ran = |task: fs::DirEntry| fs::read_to_string(task.path().join("schedstat")).unwrap();
    let nanos = |text: String| text.split_whitespace().next().unwrap().parse::<f64>().unwrap();
    tasks.map(|task| nanos(ran(task.unwrap()))).sum::<f64>() / 1e6
}

async fn open(dir: &Path) {
    let (begun, cpu) = (Instant::now(), cpu_ms());
    let cache = number("CACHE", OpenOptions::default().cache_bytes);
    let store = SledStore::open(dir, OpenOptions { cache_bytes: cache, ..OpenOptions::default() }).unwrap();
    let (opened, cpu_opened) = (begun.elapsed(), cpu_ms() - cpu);
    let starts: Vec<_> =
        STREAMS.iter().map(|stream| (stream.to_string(), Cursor::Since(UnixMs(0)))).collect();
    store.claim("acme", &starts, UnixMs(0)).await.unwrap();
    let claimed = begun.elapsed();
    for stream in STREAMS {
        let ids = store.seen("acme", stream, Some(RECENT)).await.unwrap();
        assert!(ids.len() >= RECENT.min(1000));
    }
    let (ready, cpu) = (begun.elapsed(), cpu_ms() - cpu);
    let resident = memory("VmRSS:");
    let recall = Instant::now();
    let ids = store.seen("acme", STREAMS[0], None).await.unwrap().len();
    println!(
        "open {:.0} ms (CPU {cpu_opened:.0}), claimed {:.0} ms, ready for the first request {:.0} ms (CPU {cpu:.0}, {resident:.1} MB); {ids} ids of one stream {:.0} ms; at most {:.1} MB",
        opened.as_secs_f64() * 1e3,
        claimed.as_secs_f64() * 1e3,
        ready.as_secs_f64() * 1e3,
        recall.elapsed().as_secs_f64() * 1e3,
        memory("VmHWM:")
    );
}

fn sled_alone(dir: &Path) {
    let begun = Instant::now();
    let mut buffer = vec![0; 1 << 20];
    let mut file = fs::File::open(dir.join("db")).unwrap();
    while file.read(&mut buffer).unwrap() > 0 {}
    let read = begun.elapsed();
    let begun = Instant::now();
    let cpu = cpu_ms();
    let config = sled::Config::new().path(dir).flush_every_ms(None).cache_capacity(32 << 20);
    let db = config.open().unwrap();
    let (opened, cpu) = (begun.elapsed(), cpu_ms() - cpu);
    drop(db);
    fs::File::open(dir.join("db")).unwrap().lock().unwrap();
    let begun = Instant::now();
    let cpu_again = cpu_ms();
    let db = config.open().unwrap();
    let (again, cpu_again) = (begun.elapsed(), cpu_ms() - cpu_again);
    let resident = memory("VmRSS:");
    let mut trees = String::new();
    for name in db.tree_names() {
        let begun = Instant::now();
        let rows = db.open_tree(&name).unwrap().iter().filter(Result::is_ok).count();
        trees +=
            &format!(", {} {rows} rows {:.0} ms", name.escape_ascii(), begun.elapsed().as_secs_f64() * 1e3);
    }
    println!(
        "read {:.0} ms, sled {:.0} ms (CPU {cpu:.0}), again {:.0} ms (CPU {cpu_again:.0}, {resident:.1} MB){trees}",
        read.as_secs_f64() * 1e3,
        opened.as_secs_f64() * 1e3,
        again.as_secs_f64() * 1e3,
    );
}
