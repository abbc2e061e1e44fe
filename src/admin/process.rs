//! What the system knows of this process.

use opgraph_state::UnixMs;

/// What is known of the process at a moment.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) version: &'static str,
    pub(super) started_at: UnixMs,
    /// Bytes resident; `None` where the system does not say.
    pub(super) resident: Option<u64>,
    /// Seconds of processor time; `None` where the system does not say.
    pub(super) cpu: Option<f64>,
    pub(super) errors: u64,
    pub(super) warnings: u64,
}

impl Process {
    /// Asks the system. `logged` are the errors and warnings so far.
    pub(super) fn look(started_at: UnixMs, logged: (u64, u64)) -> Process {
        let (errors, warnings) = logged;
        let version = env!("CARGO_PKG_VERSION");
        Process { version, started_at, resident: resident(), cpu: cpu(), errors, warnings }
    }
}

/// Bytes resident: the second number of `statm`, in pages (proc(5)).
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Seconds of processor time: `utime` and `stime` of `stat`, in ticks (proc(5)).
fn cpu() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // What stands in front is the program's name, which may hold anything.
    let rest = stat.rsplit_once(") ")?.1;
    let mut numbers = rest.split(' ').skip(11).map(str::parse::<u64>);
    let ticks = numbers.next()?.ok()? + numbers.next()?.ok()?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_what_this_process_takes() {
        let process = Process::look(UnixMs(0), (0, 0));
        let resident = process.resident.unwrap();
        assert!((1 << 20..1 << 36).contains(&resident), "{resident} bytes");
        let cpu = process.cpu.unwrap();
        assert!((0.0..36_000.0).contains(&cpu), "{cpu} s");
    }
}
