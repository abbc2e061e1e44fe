//! The program with many tenants: the real binary, a configuration file, fresh state.

use std::{
    fmt::Write as _,
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use opgraph_bench::Failed;
use rustix::process::{Pid, Signal, kill_process};

use crate::others::Access;

/// What is configured.
pub(crate) struct Tenants {
    pub(crate) tenants: usize,
    /// Seconds between two polls.
    pub(crate) interval: Option<u64>,
    pub(crate) per_minute: u32,
    pub(crate) max_memory: Option<String>,
}

/// The running program.
pub(crate) struct Program {
    process: Child,
    log: std::path::PathBuf,
}

impl Program {
    /// Starts it. With fewer accounts than tenants, tenants share them, each with scopes of its own.
    pub(crate) fn start(
        program: &Path,
        dir: &Path,
        accesses: &[Access],
        settings: &Tenants,
    ) -> Result<Program, Failed> {
        let private = |name: &str, text: &str| {
            let mut options = fs::OpenOptions::new();
            options.write(true).create_new(true).mode(0o600).open(dir.join(name))?.write_all(text.as_bytes())
        };
        for (number, access) in accesses.iter().enumerate() {
            private(&format!("events-{number}"), &access.events_token)?;
            private(&format!("jupiterone-{number}"), &access.jupiterone_token)?;
        }
        private("opgraph.toml", &config(accesses, settings))?;
        let log = dir.join("opgraph.log");
        let process = Command::new(program)
            .args(["run", "--config"])
            .arg(dir.join("opgraph.toml"))
            .env_remove("OPGRAPH_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()?;
        Ok(Program { process, log })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Has it read its configuration again.
    pub(crate) fn reload(&self) -> Result<(), Failed> {
        Ok(kill_process(Pid::from_child(&self.process), Signal::HUP)?)
    }

    /// How often it has logged this so far.
    pub(crate) fn said(&self, what: &str) -> Result<usize, Failed> {
        Ok(fs::read_to_string(&self.log)?.matches(what).count())
    }

    /// Has it finish what is in flight.
    pub(crate) async fn stop(&mut self) -> Result<(), Failed> {
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        loop {
            match self.process.try_wait()? {
                None => tokio::time::sleep(Duration::from_millis(50)).await,
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    let log = fs::read_to_string(&self.log).unwrap_or_default();
                    return Err(format!(
                        "it ended with {status}: {}",
                        log.lines().last().unwrap_or_default()
                    )
                    .into());
                }
            }
        }
    }
}

/// Nothing is left running, however the measurement ends.
impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn config(accesses: &[Access], settings: &Tenants) -> String {
    let Tenants { tenants, interval, per_minute, max_memory } = settings;
    let mut text = String::from("state_dir = \"state\"\n");
    if let Some(size) = max_memory {
        let _ = writeln!(text, "max_memory = \"{size}\"");
    }
    for number in 0..*tenants {
        let of = number % accesses.len();
        let Access { url, account, instance, .. } = &accesses[of];
        let place = match accesses.len() == *tenants {
            true => format!("integration_instance_id = \"{instance}\""),
            false => format!("scope = \"1password/t{number}\""),
        };
        let _ = write!(
            text,
            r#"[[tenant]]
name = "t{number}"
polling_interval = "{}s"
[tenant.events]
base_url = "{url}"
token = {{ file = "events-{of}" }}
limits = {{ per_minute = {per_minute}, per_hour = {} }}
[tenant.jupiterone]
base_url = "{url}"
account = "{account}"
token = {{ file = "jupiterone-{of}" }}
{place}
upload_age = "5s"
"#,
            interval.unwrap_or(1),
            per_minute.saturating_mul(50),
        );
    }
    text
}
