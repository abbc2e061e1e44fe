//! Two destinations at once: a page is acknowledged only when both have it.

use std::sync::Arc;

use tokio::try_join;

use super::{Ack, Sink, SinkError, Upload, UploadLimits};
use crate::{
    graph::Records,
    page::{Coverage, Page},
};

/// A pair of sinks that acts as one.
///
/// The slower one sets the pace. Its uploads keep within the limits of both:
/// open a local graph that stands beside JupiterOne with JupiterOne's limits.
#[derive(Clone, Debug)]
pub struct Both<A, B> {
    first: A,
    second: B,
}

impl<A: Sink, B: Sink> Both<A, B> {
    /// Joins two sinks.
    pub fn new(first: A, second: B) -> Both<A, B> {
        Both { first, second }
    }
}

impl<A: Sink, B: Sink> Sink for Both<A, B> {
    type Upload = BothUpload<A::Upload, B::Upload>;

    /// The smaller of each number.
    fn limits(&self) -> UploadLimits {
        let (a, b) = (self.first.limits(), self.second.limits());
        UploadLimits {
            age: a.age.min(b.age),
            events: a.events.min(b.events),
            bytes: a.bytes.min(b.bytes),
            finishing: a.finishing.min(b.finishing),
        }
    }

    fn open(&self) -> Self::Upload {
        BothUpload { first: self.first.open(), second: self.second.open() }
    }
}

/// One upload to each of the two.
#[derive(Debug)]
pub struct BothUpload<A, B> {
    first: A,
    second: B,
}

/// As soon as one of the two fails the whole upload does, and the other's is
/// dropped: whatever it holds by then comes again.
impl<A: Upload, B: Upload> Upload for BothUpload<A, B> {
    async fn write(&mut self, page: Arc<Page<Records>>) -> Result<(), SinkError> {
        try_join!(self.first.write(page.clone()), self.second.write(page))?;
        Ok(())
    }

    async fn finish(self, coverage: Coverage) -> Result<Ack, SinkError> {
        let (first, second) = try_join!(self.first.finish(coverage.clone()), self.second.finish(coverage))?;
        Ok(first.and(second))
    }
}

#[cfg(test)]
mod tests {
    use opgraph_state::{Quarantined, UnixMs};

    use super::*;

    fn record(body: &str) -> Quarantined {
        let (stream, reason) = ("auditevents".to_owned(), "refused".to_owned());
        Quarantined { stream, reason, body: body.to_owned(), at: UnixMs(0) }
    }

    /// Sets a record of this text aside, and settles a note of the same name.
    struct Refusing(&'static str);

    impl Upload for Refusing {
        async fn write(&mut self, _: Arc<Page<Records>>) -> Result<(), SinkError> {
            Ok(())
        }

        async fn finish(self, mut coverage: Coverage) -> Result<Ack, SinkError> {
            coverage.quarantine(record(self.0));
            Ok(Ack::durable(coverage, vec![self.0.to_owned()]))
        }
    }

    #[tokio::test]
    async fn nothing_that_either_sink_set_aside_is_lost() {
        let mut coverage = Coverage::default();
        coverage.quarantine(record("of the page"));
        let both = BothUpload { first: Refusing("first"), second: Refusing("second") };
        let ack = both.finish(coverage).await.unwrap();
        assert_eq!(ack.coverage.quarantined(), ["of the page", "first", "second"].map(record));
        assert_eq!(ack.settled, ["first", "second"]);
    }
}
