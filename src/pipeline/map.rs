//! Turns events into graph records.

use std::{sync::Arc, time::Duration};

use opgraph_state::die_at;
use tokio::{
    sync::mpsc::{Receiver, Sender},
    time::timeout,
};

use super::Stopped;
use crate::{
    graph::Records,
    page::{Mapped, Page},
    stream::{Events, Mapping},
    telemetry::Meter,
};

/// Mapped pages whose memory may wait for the next page, once the sink is done with them.
/// As many as may wait for the sink: it takes several at once when it had to wait itself.
pub(super) const EMPTIED: usize = 4;

/// How long that memory is kept when no page comes: many times what a page takes
/// where one follows the other, and no longer, for tenants that have one now and then.
const KEPT: Duration = Duration::from_millis(100);

/// How much larger the records are than the page, with its events as received
/// in them: less, and each page's memory would be too small and moved.
const GROWTH: usize = 4;

/// How much more memory than it needs a page may be given.
const ROOM: usize = 8;

/// Maps each page; its place is untouched, and the events' text is given back.
///
/// Pages are mapped into the memory of those before them (`emptied`): memory
/// that is new for every page costs as much as mapping does, because the system
/// has to clear it.
pub(super) async fn run(
    mut pages: Receiver<Page<Events>>,
    mapping: Mapping,
    meter: Arc<Meter>,
    mut emptied: Receiver<Records>,
    out: Sender<Mapped>,
) -> Result<(), Stopped> {
    loop {
        let page = match timeout(KEPT, pages.recv()).await {
            Ok(page) => page,
            Err(_) => {
                while emptied.try_recv().is_ok() {}
                pages.recv().await
            }
        };
        let Some(page) = page else { break };
        let page = page.map(|events| {
            let mut records = room(GROWTH * events.bytes(), &mut emptied);
            events.map(&mapping, &mut records);
            events.done();
            records
        });
        meter.mapped(&page.items);
        die_at!("map.after");
        if out.send(Mapped::Page(page)).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Room for about so many bytes of records.
fn room(bytes: usize, emptied: &mut Receiver<Records>) -> Records {
    match emptied.try_recv() {
        Ok(mut records) if records.capacity() <= ROOM * bytes => {
            records.clear();
            records
        }
        _ => Records::with_capacity(bytes),
    }
}

#[cfg(test)]
mod tests {
    use opgraph_state::{Advance, Cursor, SourceInfo, UnixMs};
    use tokio::sync::mpsc::channel;

    use super::*;
    use crate::{
        page::Place,
        stream::{Stream, read_page},
    };

    fn page(items: &str) -> Page<Events> {
        let body = format!(r#"{{"cursor":"c","has_more":true,"items":[{items}]}}"#);
        let read = read_page(Stream::ItemUsages, body.into_bytes()).unwrap();
        let at = Cursor::Since(UnixMs(0));
        let place = Place::new(Stream::ItemUsages, Advance::new(at.clone(), at), SourceInfo::default());
        Page::new(read.events, place, None)
    }

    async fn mapped(events: Page<Events>, emptied: Vec<Records>) -> Records {
        let (pages_out, pages) = channel(1);
        let (emptied_out, used) = channel(EMPTIED);
        let (out, mut mapped) = channel(1);
        pages_out.send(events).await.unwrap();
        drop(pages_out);
        for records in emptied {
            emptied_out.send(records).await.unwrap();
        }
        run(pages, Mapping::default(), Arc::default(), used, out).await.unwrap();
        match mapped.recv().await {
            Some(Mapped::Page(page)) => page.items,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_memory_of_another_page_leaves_nothing_behind() {
        let one = r#"{"uuid":"A","user":{"name":"no uuid"},"timestamp":"never"},{"uuid":"B","action":"new"}"#;
        let two = r#"{"uuid":"C","timestamp":"2026-01-01T00:00:00Z","action":"reveal"}"#;
        let used = mapped(page(one), Vec::new()).await;
        assert!(used.len() > 1 && used.counts != Default::default());
        let (memory, fresh) = (used.capacity(), mapped(page(two), Vec::new()).await);
        let again = mapped(page(two), vec![used]).await;
        assert!(again.capacity() == memory && memory > fresh.capacity(), "the memory is the other page's");
        assert_eq!(again.iter().collect::<Vec<_>>(), fresh.iter().collect::<Vec<_>>());
        assert_eq!((again.bytes(), again.counts), (fresh.bytes(), fresh.counts));
    }

    #[tokio::test]
    async fn a_small_page_does_not_keep_the_memory_of_a_large_one() {
        let mut large = Records::with_capacity(1 << 20);
        large.clear();
        let small = mapped(page(r#"{"uuid":"A"}"#), vec![large]).await;
        assert!(small.len() == 1 && small.capacity() < 1 << 12);
    }
}
