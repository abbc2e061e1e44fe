//! A process from its start to its end, and what it took.

use std::{
    fs,
    io::Read,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::Failed;

/// Ticks a second in `/proc`: the same on every Linux (`USER_HZ`).
const TICKS: f64 = 100.0;

/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What a process took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// Seconds from its start to its end.
    pub seconds: f64,
    /// CPU seconds, of all its threads, to a hundredth.
    pub cpu: f64,
    /// The most resident memory, in bytes, up to the last look.
    pub peak: u64,
}

/// Runs it to its end; answers what it took, and what it said.
///
/// # Errors
///
/// If it cannot be started, or fails.
pub async fn run(command: &mut Command) -> Result<(Used, String), Failed> {
    let begun = Instant::now();
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let id = Pid::from_child(&process);
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let mut used = Used::default();
    // Left unreaped at first: an ended process that nobody has waited for still tells its times.
    while waitid(WaitId::Pid(id), ended)?.is_none() {
        used.peak = used.peak.max(peak(process.id())?);
        tokio::time::sleep(LOOK).await;
    }
    used.seconds = begun.elapsed().as_secs_f64();
    used.cpu = cpu(&process.id().to_string())?;
    let mut said = String::new();
    if let Some(mut stdout) = process.stdout.take() {
        stdout.read_to_string(&mut said)?;
    }
    match process.wait()? {
        status if status.success() => Ok((used, said)),
        status => Err(format!("{:?} ended with {status}", command.get_program()).into()),
    }
}

/// CPU seconds that a process has used so far.
///
/// # Errors
///
/// If there is no such process.
pub fn cpu(id: &str) -> Result<f64, Failed> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // Fields 14 and 15, in ticks; the name in field 2 may hold blanks, but ends in the last `)`.
    let ticks = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS)
}

/// Nanoseconds of CPU that the threads a process has now have used so far: finer than [`cpu`].
///
/// # Errors
///
/// If there is no such process.
pub fn nanoseconds(id: u32) -> Result<u64, Failed> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        let said = fs::read_to_string(thread?.path().join("schedstat"))?;
        sum += said.split_whitespace().next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(sum)
}

/// Resident memory now, in bytes.
///
/// # Errors
///
/// If there is no such process.
pub fn resident(id: u32) -> Result<u64, Failed> {
    bytes(id, "VmRSS:")
}

/// The most resident memory so far, in bytes; 0 of a process that has ended.
///
/// # Errors
///
/// If there is no such process.
pub fn peak(id: u32) -> Result<u64, Failed> {
    bytes(id, "VmHWM:")
}

fn bytes(id: u32, name: &str) -> Result<u64, Failed> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.unwrap_or(0) * 1024)
}
