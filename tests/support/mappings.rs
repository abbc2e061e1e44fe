//! The memory that a process can write.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom},
};

/// Shows each writable mapping of a process: its line in `maps`, and its bytes. Answers how many bytes these are.
/// An error: this user may not look into the process.
pub(crate) fn each_writable(process: u32, mut look: impl FnMut(&str, &[u8])) -> io::Result<usize> {
    let mut memory = fs::File::open(format!("/proc/{process}/mem"))?;
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let mut searched = 0;
    for map in maps.lines() {
        let mut parts = map.split_whitespace();
        let (range, rights) = (parts.next().unwrap(), parts.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|at| u64::from_str_radix(at, 16).unwrap());
        let mut bytes = vec![0; (to - from) as usize];
        memory.seek(SeekFrom::Start(from)).unwrap();
        if memory.read_exact(&mut bytes).is_err() {
            assert!(map.contains("[v"), "cannot read {map}");
            continue;
        }
        searched += bytes.len();
        look(map, &bytes);
    }
    Ok(searched)
}
