//! Looks for the API key in everything that is logged, as it happens.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tracing::{Level, subscriber::DefaultGuard};
use tracing_subscriber::fmt::MakeWriter;

use super::bench::CANARY;

/// Reads along with every log line of this thread while it lives.
pub(super) struct Listening {
    counted: Counted,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Counted {
    lines: Arc<AtomicU64>,
    leaks: Arc<AtomicU64>,
}

/// Starts to listen. The most talkative level costs more than all that is played.
pub(super) fn listen(level: Level) -> Listening {
    let counted = Counted::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_writer(counted.clone())
        .finish();
    Listening { counted, _guard: tracing::subscriber::set_default(subscriber) }
}

impl Listening {
    /// Something was logged, and the key was not in it.
    pub(super) fn heard_no_key(&self) {
        assert!(self.counted.lines.load(Relaxed) > 0, "nothing was logged at all");
        assert_eq!(self.counted.leaks.load(Relaxed), 0, "the API key was logged");
    }
}

impl MakeWriter<'_> for Counted {
    type Writer = Counted;

    fn make_writer(&self) -> Counted {
        self.clone()
    }
}

impl io::Write for Counted {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.fetch_add(1, Relaxed);
        if line.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()) {
            self.leaks.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
