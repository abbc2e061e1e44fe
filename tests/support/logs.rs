//! What a run says in its log, and that it says no secret.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use tracing::{level_filters::LevelFilter, subscriber::DefaultGuard};
use tracing_subscriber::fmt::MakeWriter;

/// Everything that is logged on one thread, by whomever.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Starts to listen on this thread, until the guard is dropped.
    pub(crate) fn listen(&self) -> DefaultGuard {
        let log = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(false);
        tracing::subscriber::set_default(log.with_writer(self.clone()).finish())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

/// Checks that neither a JWT nor any part of it that only its holder knows is in the text.
#[track_caller]
pub(crate) fn is_silent_about(token: &str, text: &str, what: &str) {
    for secret in std::iter::once(token).chain(token.split('.').skip(1)) {
        assert!(!text.contains(secret), "the token is in the {what}: {text}");
    }
}
