//! Room for an answer that is about to come: taken before it is read in.
//!
//! Only when a page is here does one know its size, and by then it is in memory.
//! So what is taken beforehand is what the answer says, or what the stream's last
//! pages suggest. Where more comes than that, the rest is left with the network until
//! there is room for it; what was too much is given back as soon as the page is whole.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::{
    allowance::{Allowance, Share},
    page::weight,
    stream::{Stream, Texts},
};

/// The text of an event, with some room: pages have 577 bytes for each (docs/PERFORMANCE.md).
pub(crate) const EVENT: usize = 640;
/// Of less it is not worth to learn the size: a stream that has caught up asks for no more.
const SMALL: usize = 16 << 10;

/// What there is room in, and how much the pages of each stream have needed of late.
#[derive(Clone, Debug)]
pub(super) struct Rooms {
    allowance: Allowance,
    /// The text of a whole page.
    whole: usize,
    expected: Arc<[AtomicUsize; Stream::ALL.len()]>,
}

impl Rooms {
    /// Takes room of this allowance, for pages of at most so many events.
    pub(super) fn new(allowance: Allowance, page_size: NonZeroU32) -> Rooms {
        // Nothing is known of a stream at first: a whole page may be waiting.
        let whole = page_size.get() as usize * EVENT;
        Rooms { allowance, whole, expected: Arc::new(std::array::from_fn(|_| AtomicUsize::new(whole))) }
    }

    /// Waits until there is as much room as the stream's next page may need, and takes none.
    pub(super) async fn ready(&self, stream: Stream) {
        drop(self.take(self.expected(stream)).await);
    }

    /// Waits for room for an answer of `told` bytes, or as much as the stream's next page may need.
    async fn of(&self, stream: Stream, told: Option<usize>) -> Room {
        let bytes = told.unwrap_or_else(|| self.expected(stream));
        Room { rooms: self.clone(), stream, bytes, share: Some(self.take(bytes).await) }
    }

    fn expected(&self, stream: Stream) -> usize {
        self.expected[stream as usize].load(Relaxed)
    }

    async fn take(&self, bytes: usize) -> Share {
        self.allowance.take(weight(bytes)).await
    }
}

/// Room for one page.
#[derive(Debug)]
struct Room {
    rooms: Rooms,
    stream: Stream,
    /// The text that there is room for.
    bytes: usize,
    share: Option<Share>,
}

impl Room {
    /// Makes room for a text of so many bytes, if there is too little.
    async fn widen(&mut self, bytes: usize) {
        if bytes > self.bytes {
            // Who waits holds nothing that others wait for.
            self.share = None;
            // A whole page does, and if not, then all of what is larger still.
            let most = if bytes > self.rooms.whole { usize::MAX } else { self.rooms.whole };
            self.bytes = (2 * bytes).min(most);
            // Should it be given up meanwhile, the next attempt waits for the room before it asks.
            self.rooms.expected[self.stream as usize].fetch_max(self.bytes, Relaxed);
            self.share = Some(self.rooms.take(self.bytes).await);
        }
    }

    /// Keeps what a text of so many bytes needs; so much is expected of the next.
    fn settle(mut self, bytes: usize) -> Option<Share> {
        let next = (bytes + bytes / 4).max(self.bytes / 2).max(SMALL);
        self.rooms.expected[self.stream as usize].store(next, Relaxed);
        if let Some(share) = &mut self.share {
            share.keep(weight(bytes));
        }
        self.share
    }
}

/// The text of an answer, and the room for it if that is counted.
#[derive(Debug)]
pub(super) struct Arriving {
    text: Vec<u8>,
    room: Option<Room>,
}

impl Arriving {
    /// Takes in an answer of `told` bytes, if it says so, once there is room.
    pub(super) async fn new(texts: &Texts, told: Option<usize>, rooms: Option<(&Rooms, Stream)>) -> Arriving {
        let room = match rooms {
            Some((rooms, stream)) => Some(rooms.of(stream, told).await),
            None => None,
        };
        Arriving { text: texts.take(), room }
    }

    /// Adds a piece of the text, once there is room.
    pub(super) async fn take(&mut self, piece: &[u8]) {
        if let Some(room) = &mut self.room {
            room.widen(self.text.len() + piece.len()).await;
        }
        self.text.extend_from_slice(piece);
    }

    /// The whole text, and its share of the allowance.
    pub(super) fn whole(self) -> (Vec<u8>, Option<Share>) {
        let share = self.room.and_then(|room| room.settle(self.text.len()));
        (self.text, share)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::allowance::Pool;

    const OF: Stream = Stream::ItemUsages;
    const PAGE: NonZeroU32 = NonZeroU32::new(1000).unwrap();
    const WHOLE: usize = 1000 * EVENT;

    async fn coming(rooms: &Rooms, told: Option<usize>) -> Arriving {
        Arriving::new(&Texts::default(), told, Some((rooms, OF))).await
    }

    /// Has a page of so many bytes arrive, which says so or not; answers its share.
    async fn arrive(rooms: &Rooms, bytes: usize, tells: bool) -> Option<Share> {
        rooms.ready(OF).await;
        let mut arriving = coming(rooms, tells.then_some(bytes)).await;
        for piece in vec![b'x'; bytes].chunks(10_000) {
            arriving.take(piece).await;
            let text = arriving.text.len();
            assert!(rooms.allowance.taken() >= weight(text), "{text} bytes are here, and counted");
        }
        let (text, share) = arriving.whole();
        assert_eq!(text.len(), bytes);
        share
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_read_in_that_there_is_no_room_for_and_a_page_keeps_what_it_weighs() {
        let rooms = Rooms::new(Allowance::alone(weight(3 * WHOLE)), PAGE);
        for (number, bytes) in [100, 100_000, 500_000, 20, 900_000, 0, 400_000].into_iter().enumerate() {
            let share = arrive(&rooms, bytes, number % 2 == 0).await;
            let taken = rooms.allowance.taken();
            assert!((weight(bytes)..weight(bytes) + 1024).contains(&taken), "{bytes}: {taken}");
            drop(share);
            assert_eq!(rooms.allowance.taken(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_tells_its_size_takes_no_more() {
        let rooms = Rooms::new(Allowance::alone(weight(WHOLE)), PAGE);
        let arriving = coming(&rooms, Some(5_000)).await;
        assert_eq!(rooms.allowance.taken(), 20 << 10);
        assert!(
            coming(&rooms, None).now_or_never().is_none(),
            "and one that does not as much as pages have had"
        );
        drop(arriving);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_has_caught_up_waits_for_little_and_for_more_only_when_more_comes() {
        let rooms = Rooms::new(Allowance::alone(weight(WHOLE)), PAGE);
        for _ in 0..8 {
            drop(arrive(&rooms, 0, false).await);
        }
        let others = rooms.allowance.take(weight(WHOLE) - weight(SMALL)).await;
        rooms.ready(OF).now_or_never().expect("a little");
        let mut arriving = coming(&rooms, None).now_or_never().expect("a little");
        arriving.take(&[b'x'; SMALL]).now_or_never().expect("as much as there is room for");
        assert!(arriving.take(b"x").now_or_never().is_none(), "more waits");
        drop(others);
        arriving.take(b"x").now_or_never().expect("there is room now");
        drop(arriving);
        // A page that was given up for want of room has it before it is asked for again.
        let held = rooms.allowance.take(weight(WHOLE) - weight(SMALL)).await;
        assert!(rooms.ready(OF).now_or_never().is_none());
        drop(held);
    }

    #[tokio::test(start_paused = true)]
    async fn pages_wait_for_each_other_and_none_for_itself() {
        let common = Pool::new(weight(WHOLE));
        let allowance = || Allowance::of(&common, 8 << 10, weight(WHOLE));
        let tenants: Vec<Rooms> = (0..4).map(|_| Rooms::new(allowance(), PAGE)).collect();
        let all = tenants.iter().map(|rooms| async {
            for bytes in [900, 300_000, 10, 600_000] {
                let share = arrive(rooms, bytes, false).await;
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                drop(share);
            }
        });
        futures::future::join_all(all).await;
        assert_eq!(common.taken(), 0);
    }
}
