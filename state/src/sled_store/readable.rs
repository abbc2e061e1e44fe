//! Finding out whether the disk can be read, before sled takes what it cannot read for torn off.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use super::cursors_json;

/// How sled cuts its file.
const SEGMENT: u64 = 512 * 1024;

/// What a segment starts with: the CRC of the rest (4 bytes), its place in the log (8) and how much of the log was stable (8).
const HEADER: usize = 20;

/// sled stores places in the log with these bits flipped.
const FLIPPED: i64 = i64::MAX;

/// Reads what sled reads when it opens a directory, and answers the length of `db`.
///
/// sled wipes what it cannot read: it takes it for what a crash has torn off. It
/// reads the start of every segment, and the whole of those that are not in its
/// snapshot; so does this. The other files are read to their ends. (The rest of
/// `db` is read row by row, and an error there is an error.)
///
/// # Errors
///
/// What the system says. (`cursors.json` is needed by nobody here.)
pub(super) fn read_ahead(dir: &Path) -> io::Result<u64> {
    let (mut database, mut remembered) = (None, 0);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == cursors_json::NAME || name == "lock" || !fs::metadata(entry.path())?.is_file() {
            continue;
        }
        if name == "db" {
            database = Some(File::open(entry.path())?);
            continue;
        }
        io::copy(&mut File::open(entry.path())?, &mut io::sink())?;
        remembered = remembered.max(name.to_str().and_then(snapshot_of).unwrap_or(0));
    }
    database.map_or(Ok(0), |file| read_log(&file, remembered))
}

/// How much of the log a snapshot remembers, from its name.
fn snapshot_of(name: &str) -> Option<i64> {
    i64::from_str_radix(name.strip_prefix("snap.")?, 16).ok()
}

/// Reads the start of every segment, and the whole of those that reach behind `remembered`.
fn read_log(file: &File, remembered: i64) -> io::Result<u64> {
    let mut segment = vec![0; SEGMENT as usize];
    let (mut at, length) = (0, file.metadata()?.len());
    while at == 0 || at < length {
        let mut header = [0; HEADER];
        read_at(file, &mut header, at)?;
        if place(&header).is_some_and(|place| place + SEGMENT as i64 > remembered) {
            read_at(file, &mut segment, at)?;
        }
        at += SEGMENT;
    }
    Ok(length)
}

/// A segment's place in the log; `None` if sled takes it for free.
fn place(header: &[u8; HEADER]) -> Option<i64> {
    let (crc, rest) = header.split_first_chunk()?;
    let (place, _) = rest.split_first_chunk()?;
    let valid = u32::from_le_bytes(*crc) == !crc32fast::hash(rest);
    valid.then_some((i64::from_le_bytes(*place) ^ FLIPPED).clamp(0, i64::MAX - SEGMENT as i64))
}

fn read_at(file: &File, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.read_at(buffer, at) {
            Ok(0) => break,
            Ok(read) => {
                buffer = &mut buffer[read..];
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reading the first page of `/proc/self/mem` is EIO.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_cannot_be_read_is_an_error_unless_nobody_needs_it() {
        use std::os::unix::fs::symlink;

        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("db"), vec![7; 3_000_000]).unwrap();
        fs::write(dir.path().join("conf"), [7; 9]).unwrap();
        fs::create_dir(dir.path().join("blobs")).unwrap();
        for name in [cursors_json::NAME, "lock"] {
            symlink("/proc/self/mem", dir.path().join(name)).unwrap();
        }
        assert_eq!(read_ahead(dir.path()).unwrap(), 3_000_000);
        symlink("/proc/self/mem", dir.path().join("snap.0")).unwrap();
        read_ahead(dir.path()).unwrap_err();
        fs::remove_file(dir.path().join("snap.0")).unwrap();
        fs::remove_file(dir.path().join("db")).unwrap();
        assert_eq!(read_ahead(dir.path()).unwrap(), 0);
        symlink("/proc/self/mem", dir.path().join("db")).unwrap();
        read_ahead(dir.path()).unwrap_err();
    }

    /// Where sled's own words are read here, they have to be what sled means.
    #[test]
    fn the_segments_behind_a_snapshot_are_told_by_what_sled_itself_has_written() {
        let dir = tempfile::tempdir().unwrap();
        let open = || sled::Config::new().path(dir.path()).flush_every_ms(None).open().unwrap();
        let places = || -> Vec<Option<i64>> {
            let bytes = fs::read(dir.path().join("db")).unwrap();
            bytes.chunks(SEGMENT as usize).map(|of| place(of[..HEADER].try_into().unwrap())).collect()
        };
        let remembered = || {
            let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
            names.filter_map(|name| snapshot_of(name.to_str().unwrap())).max()
        };
        let db = open();
        for row in 0..1000_u32 {
            db.insert(row.to_be_bytes(), vec![7; 5000]).unwrap();
        }
        db.flush().unwrap();
        drop(db);
        File::open(dir.path().join("db")).unwrap().lock().unwrap();
        let mut before: Vec<_> = places().into_iter().flatten().collect();
        before.sort_unstable();
        assert!(before.len() > 9, "{before:?}");
        assert!(before.iter().all(|place| place % SEGMENT as i64 == 0), "{before:?}");
        drop(open());
        let remembered = remembered().unwrap();
        let last = before[before.len() - 1];
        assert!((last..=last + SEGMENT as i64).contains(&remembered), "{remembered} and {before:?}");
    }
}
