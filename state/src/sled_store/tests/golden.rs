//! Directories that earlier programs wrote, kept in the repository.
//!
//! `state/tests/golden/format-<n>.gz` holds the files of a directory, each as
//! a line `<name> <bytes>` and its bytes. Each was written by the program whose
//! format it is, with
//! `cargo test -p opgraph-state write_the_golden_directory -- --ignored`.
//! A file of an older format can not be written again: it has to stay.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};

use super::{
    furnished::{TENANTS, content, copy, step_with},
    open,
};
use crate::{
    OpenOptions, Store, UnixMs,
    sled_store::{
        format::FORMAT,
        walk::{TreeFindings, verify},
    },
};

/// Steps of the story that every golden directory tells.
const STEPS: u64 = 48;

/// Ids of a page: few, because they do not compress.
const PAGE: u64 = 5;

fn golden(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/format-{format}.gz"))
}

fn pack(dir: &Path) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()).collect();
    files.retain(|entry| entry.file_type().unwrap().is_file() && entry.file_name() != "lock");
    files.sort_by_key(fs::DirEntry::file_name);
    for file in files {
        let bytes = fs::read(file.path()).unwrap();
        writeln!(packed, "{} {}", file.file_name().into_string().unwrap(), bytes.len()).unwrap();
        packed.write_all(&bytes).unwrap();
    }
    packed.finish().unwrap()
}

fn unpack(packed: &[u8], dir: &Path) {
    let mut bytes = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let (name, len) = std::str::from_utf8(&rest[..end]).unwrap().split_once(' ').unwrap();
        let (file, next) = rest[end + 1..].split_at(len.parse().unwrap());
        fs::write(dir.join(name), file).unwrap();
        rest = next;
    }
}

/// The inventory, removals and windows came with format 3.
async fn written(dir: &Path, format: u32) {
    let store = open(dir);
    for number in 0..STEPS {
        step_with(&store, number, PAGE, 0, format >= 3).await;
    }
}

#[tokio::test]
#[ignore = "writes into the repository"]
async fn write_the_golden_directory() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), FORMAT).await;
    fs::create_dir_all(golden(FORMAT).parent().unwrap()).unwrap();
    fs::write(golden(FORMAT), pack(dir.path())).unwrap();
}

#[tokio::test]
async fn what_earlier_programs_wrote_is_found_again_in_every_tree() {
    let (before_3, since) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    written(before_3.path(), 2).await;
    written(since.path(), 3).await;
    for format in 1..=FORMAT {
        let fresh = tempfile::tempdir().unwrap();
        copy(if format < 3 { before_3.path() } else { since.path() }, fresh.path());
        let dir = tempfile::tempdir().unwrap();
        unpack(&fs::read(golden(format)).unwrap(), dir.path());
        let recorded = |format: u32| {
            let text = fs::read_to_string(dir.path().join("commit.json")).unwrap();
            assert!(text.contains(&format!("\"format\":{format}")), "{text}");
        };
        recorded(format);
        let before = verify(dir.path(), &OpenOptions::default()).unwrap();
        assert_eq!((before.damage(), before.commits), (None, STEPS));
        let filled = |tree: &TreeFindings| {
            tree.rows > 0 || (["inventory", "hours"].contains(&tree.name) && format < 3)
        };
        assert!(before.trees.iter().all(filled), "{before:?}");
        // From the first look on, for a tree may be there that an older program takes for damage.
        recorded(FORMAT);
        // The second time, it is of this program's format.
        for _ in 0..2 {
            let (found, expected) = (open(dir.path()), open(fresh.path()));
            recorded(FORMAT);
            assert_eq!(found.rolled_back(), None);
            // Not shown when they differ: it is long.
            assert!(content(&found).await.unwrap() == content(&expected).await.unwrap(), "format {format}");
            for tenant in TENANTS {
                let (claim, same) = (
                    found.claim(tenant, &[], UnixMs(1)).await.unwrap(),
                    expected.claim(tenant, &[], UnixMs(1)).await.unwrap(),
                );
                assert_eq!(claim, same);
                assert_eq!(claim.unsettled.len(), 1, "{claim:?}");
            }
            let after = verify_closed(found, dir.path());
            assert_eq!(after, verify_closed(expected, fresh.path()));
        }
    }
}

/// How many rows a closed directory holds, and how many commits there were. Not
/// their bytes: JSON gains members from version to version.
fn verify_closed(store: crate::SledStore, dir: &Path) -> (Option<String>, u64, Vec<u64>) {
    drop(store);
    let found = verify(dir, &OpenOptions::default()).unwrap();
    let trees = found.trees.iter().map(|tree| tree.rows).collect();
    (found.damage(), found.commits, trees)
}
