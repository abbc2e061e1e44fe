//! The program under test: the real binary, and what it says of itself.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Instant,
};

use serde::Deserialize;

use crate::simulated::{Access, history};

/// What the program logs of one stream every ten seconds.
#[derive(Clone, Debug, Deserialize)]
struct Progress {
    stream: String,
    events: u64,
    remembered_bytes: u64,
}

/// All streams together at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// Seconds since the start.
    pub(crate) at: f64,
    /// Events read so far.
    pub(crate) events: f64,
    /// Bytes that dedup takes.
    pub(crate) dedup: f64,
}

/// The running program.
pub(crate) struct Program {
    process: Child,
    told: Arc<Mutex<Vec<Told>>>,
    reading: Option<JoinHandle<std::io::Result<()>>>,
}

/// Builds the program as people run it: without what only tests use.
pub(crate) fn build() -> Result<PathBuf, Box<dyn Error>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["build", "--locked", "--quiet", "--bin", "opgraph", "--manifest-path"]);
    cargo.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    if !cargo.status()?.success() {
        return Err("the program cannot be built".into());
    }
    // This example lies in a folder below it.
    let here = std::env::current_exe()?;
    let folder = here.parent().and_then(Path::parent).ok_or("the example lies nowhere")?;
    Ok(folder.join("opgraph"))
}

impl Program {
    /// Starts it on everything in `access`; keeps its log in `dir`.
    pub(crate) fn start(program: &Path, dir: &Path, access: &Access) -> Result<Program, Box<dyn Error>> {
        let private = |name: &str, text: &str| {
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            options.open(dir.join(name))?.write_all(text.as_bytes())
        };
        private("events", &access.events_token)?;
        private("jupiterone", &access.jupiterone_token)?;
        private("opgraph.toml", &config(access))?;
        let mut process = Command::new(program)
            .args(["run", "--once", "--json", "--drain", "120", "--config"])
            .arg(dir.join("opgraph.toml"))
            .env_remove("OPGRAPH_LOG")
            .stdin(Stdio::null())
            .stdout(fs::File::create(dir.join("summary.json"))?)
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = process.stderr.take().ok_or("no output of the program")?;
        let told = Arc::new(Mutex::new(Vec::new()));
        let (log, into) = (fs::File::create(dir.join("opgraph.log"))?, told.clone());
        let reading = Some(thread::spawn(move || listen(stderr, log, &into)));
        Ok(Program { process, told, reading })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Box<dyn Error>> {
        Ok(self.process.try_wait()?)
    }

    /// Has it finish what is in flight; answers how it ended and what it told.
    pub(crate) fn stop(&mut self) -> Result<(ExitStatus, Vec<Told>), Box<dyn Error>> {
        let id = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        let status = self.process.wait()?;
        if let Some(reading) = self.reading.take() {
            reading.join().map_err(|_| "the log could not be read")??;
        }
        Ok((status, self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }
}

/// Nothing is left running, however the soak ends.
impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn listen(stderr: ChildStderr, mut log: fs::File, told: &Mutex<Vec<Told>>) -> std::io::Result<()> {
    let begun = Instant::now();
    let mut streams: BTreeMap<String, Progress> = BTreeMap::new();
    for line in BufReader::new(stderr).lines() {
        let line = line?;
        writeln!(log, "{line}")?;
        let Ok(progress) = serde_json::from_str::<Progress>(&line) else { continue };
        let stream = progress.stream.clone();
        streams.insert(stream, progress);
        let sum = |of: fn(&Progress) -> u64| streams.values().map(of).sum::<u64>() as f64;
        let now = Told {
            at: begun.elapsed().as_secs_f64(),
            events: sum(|stream| stream.events),
            dedup: sum(|stream| stream.remembered_bytes),
        };
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        // The streams are told of one after the other, at the same moment.
        match told.last_mut().filter(|last| now.at - last.at < 1.0) {
            Some(last) => *last = Told { at: last.at, ..now },
            None => told.push(now),
        }
    }
    Ok(())
}

/// JupiterOne alone: a local graph would grow on disk with every event.
fn config(access: &Access) -> String {
    let Access { url, account, instance, .. } = access;
    let start = history().as_secs() / 86_400 + 1;
    format!(
        r#"state_dir = "state"
[[tenant]]
name = "soak"
start = "{start}d"
polling_interval = "DISABLED"
[tenant.events]
base_url = "{url}"
token = {{ file = "events" }}
limits = {{ per_minute = 1000000, per_hour = 50000000 }}
[tenant.jupiterone]
base_url = "{url}"
account = "{account}"
token = {{ file = "jupiterone" }}
integration_instance_id = "{instance}"
upload_age = "5s"
"#
    )
}
