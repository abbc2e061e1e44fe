//! One upload: a transaction, from its first page to its commit.

use std::{io, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{GraphSink, gone, trouble::refused, worker::Order};
use crate::{
    graph::Records,
    http::Remedy,
    page::{Coverage, Page},
    sink::{Ack, SinkError, Upload},
};

/// One transaction. Dropped before its end, it is rolled back before anything
/// else is written.
#[derive(Debug)]
pub struct GraphUpload {
    sink: GraphSink,
    /// Held from the first page to the end, and through the end by the thread.
    turn: Option<OwnedSemaphorePermit>,
    /// Every page so far is in the transaction.
    whole: bool,
    /// A transaction has been started.
    begun: bool,
}

impl GraphUpload {
    pub(super) fn new(sink: GraphSink) -> GraphUpload {
        GraphUpload { sink, turn: None, whole: true, begun: false }
    }

    async fn take_turn(&mut self) -> Result<(), SinkError> {
        if self.turn.is_none() {
            let turn = self.sink.desk.turns.clone().acquire_owned().await;
            self.turn = Some(turn.map_err(|_| gone(&self.sink.desk.path))?);
        }
        Ok(())
    }
}

impl Upload for GraphUpload {
    /// Returns once the page is in the open transaction. An upload that failed
    /// here, or whose caller went away meanwhile, can only be dropped.
    async fn write(&mut self, page: Arc<Page<Records>>) -> Result<(), SinkError> {
        self.take_turn().await?;
        let (done, answer) = oneshot::channel();
        let order = Order::Write { page, first: !self.begun, done };
        // Until the answer is there the page may be missing.
        let whole = std::mem::replace(&mut self.whole, false);
        self.begun = true;
        self.sink.desk.ask(order, answer).await?;
        self.whole = whole;
        Ok(())
    }

    async fn finish(mut self, coverage: Coverage) -> Result<Ack, SinkError> {
        self.take_turn().await?;
        if !self.whole {
            let cause = io::Error::other("a page of the upload is missing");
            return Err(refused("write to", &self.sink.desk.path, Remedy::RETRY, cause));
        }
        let turn = self.turn.take().ok_or_else(|| gone(&self.sink.desk.path))?;
        let (done, answer) = oneshot::channel();
        let order = Order::Finish { coverage: Box::new(coverage), first: !self.begun, done, turn };
        self.sink.desk.ask(order, answer).await
    }
}

impl Drop for GraphUpload {
    fn drop(&mut self) {
        if let (Some(turn), Some(orders)) = (self.turn.take(), &self.sink.desk.orders) {
            // There is room: see `ORDERS`. If the thread has gone, so has the transaction.
            let _ = orders.try_send(Order::Abandon { turn });
        }
    }
}
