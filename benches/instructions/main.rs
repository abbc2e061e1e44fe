//! What a fixed set of pages costs in instructions, stage by stage.
//!
//! `instructions pages DIR` writes the pages; `instructions count DIR` sends them through decode, dedup, map and
//! pack, in one thread, without a clock and without the network: that is what `.ci/instructions` has valgrind count,
//! under the names of the functions here. Between two runs nothing differs but where things lie in memory.

// What was done is printed: a stage that does nothing costs nothing.
#![allow(clippy::print_stdout)]

use std::{
    fs,
    hint::black_box,
    path::{Path, PathBuf},
};

use clap::Parser;
use opgraph::{
    bench::{Bodies, Remembered},
    graph::Records,
    page::{Coverage, Page, Place},
    stream::{Events, Mapping, Read, Stream, read_page},
    telemetry::Meter,
};
use opgraph_bench::{Failed, pages_of_all};
use opgraph_state::{Advance, Cursor, Fingerprint, SourceInfo};

/// Pages of each stream.
const PAGES: usize = 4;

/// Counts what events cost.
#[derive(Parser)]
enum Instructions {
    /// Write the pages
    Pages { dir: PathBuf },
    /// Send them through the stages
    Count { dir: PathBuf },
}

fn main() -> Result<(), Failed> {
    match Instructions::parse() {
        Instructions::Pages { dir } => write(&dir),
        Instructions::Count { dir } => count(&dir),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn write(dir: &Path) -> Result<(), Failed> {
    for (stream, pages) in pages_of_all(PAGES).await? {
        for (number, page) in pages.iter().enumerate() {
            fs::write(file(dir, stream, number), page)?;
        }
    }
    Ok(())
}

fn file(dir: &Path, stream: Stream, number: usize) -> PathBuf {
    dir.join(format!("{}-{number}.json", stream.name()))
}

fn count(dir: &Path) -> Result<(), Failed> {
    let mapping = Mapping { raw_data: true, account_name: None };
    let (meter, mut bodies, mut covered) = (Meter::default(), Bodies::new(), Coverage::default());
    let (mut events, mut sent) = (0, 0);
    for stream in Stream::ALL {
        let mut remembered = Remembered::new(*stream, 262_144);
        let mut at = Cursor::Since(opgraph_state::UnixMs(0));
        for number in 0..PAGES {
            let body = fs::read(file(dir, *stream, number))?;
            let Read { events: mut page, next, .. } = decode(*stream, body)?;
            let ids = dedup(&mut remembered, &mut page);
            events += ids.len();
            let records = map(&page, &mapping, &meter);
            let advance = Advance::new(std::mem::replace(&mut at, next.clone()), next);
            let mut page = Page::new(records, Place::new(*stream, advance, SourceInfo::default()), None);
            page.remember(ids);
            cover(&mut covered, &page)?;
            sent += serialise(&mut bodies, &page);
        }
    }
    sent += bodies.rest().iter().map(|(_, body)| body.len()).sum::<usize>();
    black_box(&covered);
    println!("{events} events, {} bytes of records, {sent} bytes of bodies", covered.bytes());
    Ok(())
}

#[inline(never)]
fn decode(stream: Stream, body: Vec<u8>) -> Result<Read, Failed> {
    Ok(read_page(stream, body)?)
}

#[inline(never)]
fn dedup(remembered: &mut Remembered, events: &mut Events) -> Vec<Fingerprint> {
    remembered.pass(events)
}

#[inline(never)]
fn map(events: &Events, mapping: &Mapping, meter: &Meter) -> Records {
    let mut records = Records::with_capacity(4 * events.bytes());
    events.map(mapping, &mut records);
    meter.mapped(&records);
    records
}

#[inline(never)]
fn cover(covered: &mut Coverage, page: &Page<Records>) -> Result<(), Failed> {
    Ok(covered.add(page)?)
}

#[inline(never)]
fn serialise(bodies: &mut Bodies, page: &Page<Records>) -> usize {
    bodies.take(&page.items, page.stream().name()).iter().map(|(_, body)| body.len()).sum()
}
