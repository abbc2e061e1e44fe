//! Turns events into graph records.

use std::{sync::Arc, time::Duration};

use opgraph_state::die_at;
use tokio::{
    sync::mpsc::{Receiver, Sender},
    time::timeout,
};

use super::{Emptied, Stopped};
use crate::{
    page::{Mapped, Page},
    stream::{Events, Mapping},
    telemetry::Meter,
};

/// How long emptied memory is kept when no page comes: many times what a page takes
/// where one follows the other, and no longer, for tenants that have one now and then.
const KEPT: Duration = Duration::from_millis(100);

/// How much larger the records are than the page, with its events as received
/// in them: less, and each page's memory would be too small and moved.
const GROWTH: usize = 4;

/// Maps each page; its place is untouched, and the events' text is given back.
///
/// Pages are mapped into the memory of those before them (`emptied`).
pub(super) async fn run(
    mut pages: Receiver<Page<Events>>,
    mapping: Mapping,
    meter: Arc<Meter>,
    emptied: Emptied,
    out: Sender<Mapped>,
) -> Result<(), Stopped> {
    loop {
        let page = match timeout(KEPT, pages.recv()).await {
            Ok(page) => page,
            Err(_) => {
                emptied.forget();
                pages.recv().await
            }
        };
        let Some(page) = page else { break };
        let page = page.map(|events| {
            let mut records = emptied.take(GROWTH * events.bytes());
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

#[cfg(test)]
mod tests {
    use opgraph_state::{Advance, Cursor, SourceInfo, UnixMs};
    use tokio::sync::mpsc::channel;

    use super::*;
    use crate::{
        graph::Records,
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

    async fn mapped(events: Page<Events>, used: Option<Records>) -> Records {
        let (pages_out, pages) = channel(1);
        let (out, mut mapped) = channel(1);
        pages_out.send(events).await.unwrap();
        drop(pages_out);
        let emptied = Emptied::default();
        used.into_iter().for_each(|records| emptied.put(records));
        run(pages, Mapping::default(), Arc::default(), emptied, out).await.unwrap();
        match mapped.recv().await {
            Some(Mapped::Page(page)) => page.items,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_memory_of_another_page_leaves_nothing_behind() {
        let one = r#"{"uuid":"A","user":{"name":"no uuid"},"timestamp":"never"},{"uuid":"B","action":"new"}"#;
        let two = r#"{"uuid":"C","timestamp":"2026-01-01T00:00:00Z","action":"reveal"}"#;
        let used = mapped(page(one), None).await;
        assert!(used.len() > 1 && used.counts != Default::default());
        let (memory, fresh) = (used.capacity(), mapped(page(two), None).await);
        let again = mapped(page(two), Some(used)).await;
        assert!(again.capacity() == memory && memory > fresh.capacity(), "the memory is the other page's");
        assert_eq!(again.iter().collect::<Vec<_>>(), fresh.iter().collect::<Vec<_>>());
        assert_eq!((again.bytes(), again.counts), (fresh.bytes(), fresh.counts));
    }

    #[tokio::test]
    async fn a_small_page_does_not_keep_the_memory_of_a_large_one() {
        let mut large = Records::with_capacity(1 << 20);
        large.clear();
        let small = mapped(page(r#"{"uuid":"A"}"#), Some(large)).await;
        assert!(small.len() == 1 && small.capacity() < 1 << 12);
    }
}
