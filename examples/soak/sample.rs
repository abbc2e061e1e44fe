//! What a process takes, second by second, and whether it grows.

use std::{fs, io, path::Path};

/// Ticks a second in `/proc`: the same on every Linux (`USER_HZ`).
const TICKS: f64 = 100.0;

/// One look at the process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Seconds since the start.
    pub(crate) at: f64,
    /// Resident memory, bytes.
    pub(crate) memory: f64,
    /// Open file descriptors.
    pub(crate) files: f64,
    /// Threads.
    pub(crate) threads: f64,
    /// CPU seconds used so far.
    pub(crate) cpu: f64,
    /// Size of the state directory, bytes.
    pub(crate) state: f64,
}

/// Looks at a process and its state directory. Linux only: `/proc`.
pub(crate) fn look(id: u32, state: &Path, at: f64) -> io::Result<Sample> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // Fields 14 and 15, in ticks; the name in field 2 may hold blanks, but ends in the last `)`.
    let ticks = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Ok(Sample {
        at,
        memory: number("VmRSS:") * 1024.0,
        files: fs::read_dir(format!("/proc/{id}/fd"))?.count() as f64,
        threads: number("Threads:"),
        cpu: ticks / TICKS,
        state: size(state),
    })
}

/// Bytes in a directory; files may come and go meanwhile.
fn size(dir: &Path) -> f64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0.0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) => found.len() as f64,
        Err(_) => 0.0,
    });
    sizes.sum()
}

/// The growth a minute of the straight line nearest to the second half of the
/// points (seconds, value): least squares.
pub(crate) fn growth(points: &[(f64, f64)]) -> f64 {
    let end = points.last().map_or(0.0, |point| point.0);
    let half: Vec<_> = points.iter().filter(|point| point.0 >= end / 2.0).collect();
    let n = half.len() as f64;
    let (x, y) = half.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0 / n, sum.1 + point.1 / n));
    let over = |f: fn(f64, f64) -> f64| half.iter().map(|point| f(point.0 - x, point.1 - y)).sum::<f64>();
    let spread = over(|x, _| x * x);
    if spread > 0.0 { over(|x, y| x * y) / spread * 60.0 } else { 0.0 }
}
