//! The sending side of a connection: makes text of frames, in order; what is long goes between other
//! frames, never before them.

use super::bulk::Bulk;
use super::{Outgoing, merge};
use crate::driver::{Letters, OutboxFrames};
use futures_util::{Sink, SinkExt};
use polos_protocol::frame::{Fatal, FetchRequest, FromServer, MoreRequest};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What the connection's own task wants of the writer.
#[derive(Debug)]
pub(super) enum Own {
    /// The worker has answered a page.
    More(MoreRequest),
    /// The worker asks for a value.
    Fetch(FetchRequest),
    /// The last frame.
    Fatal(Fatal),
    /// The last frame, for something that will pass. A worker that has not been welcomed would take
    /// it for a refusal and stay away, so it is told nothing.
    Goodbye(Fatal),
}

pub(super) struct Writer<S> {
    pub(super) sink: S,
    pub(super) frames: OutboxFrames,
    pub(super) own: mpsc::Receiver<Own>,
    pub(super) bulk: Bulk,
    pub(super) kill: CancellationToken,
    /// Set once the engine has taken the worker.
    pub(super) welcomed: Arc<AtomicBool>,
}

impl<S: Sink<Outgoing> + Unpin> Writer<S> {
    /// Writes until there is nothing more to come, or the connection is gone.
    pub(super) async fn run(mut self) {
        let kill = self.kill.clone();
        tokio::select! {
            () = kill.cancelled() => {}
            result = self.write() => {
                if result.is_ok() {
                    let _ = self.sink.send(Outgoing::Close).await;
                }
                kill.cancel();
            }
        }
    }

    async fn write(&mut self) -> Result<(), S::Error> {
        loop {
            tokio::select! {
                biased;
                letters = self.frames.recv() => match letters {
                    Some(letters) => self.letters(letters).await?,
                    None => return self.last().await,
                },
                own = self.own.recv() => match own {
                    Some(Own::More(request)) => if let Err(fatal) = self.bulk.more(request).await {
                        return self.say(Own::Fatal(fatal)).await;
                    },
                    Some(Own::Fetch(request)) => if let Err(fatal) = self.bulk.fetch(request) {
                        return self.say(Own::Fatal(fatal)).await;
                    },
                    Some(last) => return self.say(last).await,
                    None => return Ok(()),
                },
                page = self.bulk.next() => match page {
                    Ok(page) => {
                        if let Some(ended) = page.ended {
                            self.bulk.tell_ended(ended).await;
                        }
                        for frame in &page.frames {
                            self.text(frame).await?;
                        }
                    }
                    Err(fatal) => return self.say(Own::Goodbye(fatal)).await,
                },
            }
        }
    }

    async fn letters(&mut self, letters: Letters) -> Result<(), S::Error> {
        let mut waiting = Some(letters);
        while let Some(Letters { frames, orders }) = waiting {
            for order in orders {
                self.bulk.order(order);
            }
            for frame in merge::recorded(frames) {
                self.note(&frame);
                self.sink.feed(Outgoing::Text(frame.to_text())).await?;
            }
            waiting = self.frames.try_recv();
        }
        self.sink.flush().await
    }

    fn note(&mut self, frame: &FromServer) {
        match frame {
            FromServer::Welcome(_) => self.welcomed.store(true, Ordering::Release),
            FromServer::Done(of) => self.bulk.forget(of.run, of.assignment),
            FromServer::Revoked(of) => self.bulk.forget(of.run, of.assignment),
            _ => {}
        }
    }

    /// The driver has let go of the connection: what is left is to say why.
    async fn last(&mut self) -> Result<(), S::Error> {
        while let Ok(own) = self.own.try_recv() {
            self.say(own).await?;
        }
        Ok(())
    }

    async fn say(&mut self, last: Own) -> Result<(), S::Error> {
        match last {
            Own::Fatal(fatal) => self.text(&FromServer::Error(fatal)).await,
            Own::Goodbye(fatal) if self.welcomed.load(Ordering::Acquire) => {
                self.text(&FromServer::Error(fatal)).await
            }
            Own::Goodbye(_) | Own::More(_) | Own::Fetch(_) => Ok(()),
        }
    }

    async fn text(&mut self, frame: &FromServer) -> Result<(), S::Error> {
        self.sink.send(Outgoing::Text(frame.to_text())).await
    }
}
