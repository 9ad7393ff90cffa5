//! The sending side of a connection: makes text of frames, in order; pieces of large values go
//! between other frames, never before them.

use super::{Outgoing, merge};
use futures_util::{Sink, SinkExt};
use polos_protocol::frame::{Blob, Fatal, FromServer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

/// How large a piece of a value is; escaped as text it is at most twice that.
const PIECE_BYTES: usize = 256 << 10;

/// What the connection's own task has to send.
#[derive(Debug)]
pub(super) enum Own {
    /// A value that was asked for. The permit counts the values that wait.
    Value { hash: Arc<str>, text: Option<Arc<str>>, permit: OwnedSemaphorePermit },
    /// The last frame.
    Fatal(Fatal),
    /// The last frame, for something that will pass. A worker that has not been welcomed would take
    /// it for a refusal and stay away, so it is told nothing.
    Goodbye(Fatal),
}

/// A value of which some pieces are still to go.
struct Partial {
    hash: Arc<str>,
    text: Arc<str>,
    offset: usize,
    _permit: OwnedSemaphorePermit,
}

pub(super) struct Writer<S> {
    pub(super) sink: S,
    pub(super) frames: mpsc::Receiver<Vec<FromServer>>,
    pub(super) own: mpsc::Receiver<Own>,
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
        let mut partial: Option<Partial> = None;
        loop {
            tokio::select! {
                biased;
                frames = self.frames.recv() => match frames {
                    Some(frames) => self.frames(frames).await?,
                    None => return self.last().await,
                },
                own = self.own.recv(), if partial.is_none() => match own {
                    Some(Own::Value { hash, text: Some(text), permit }) => {
                        partial = Some(Partial { hash, text, offset: 0, _permit: permit });
                    }
                    Some(Own::Value { hash, text: None, permit }) => {
                        drop(permit);
                        self.value(Blob { hash, size: 0, offset: 0, text: String::new() }).await?;
                    }
                    Some(last) => return self.say(last).await,
                    None => return Ok(()),
                },
                () = std::future::ready(()), if partial.is_some() => {
                    if let Some(value) = partial.take() {
                        partial = self.piece(value).await?;
                    }
                }
            }
        }
    }

    async fn frames(&mut self, frames: Vec<FromServer>) -> Result<(), S::Error> {
        let mut waiting = Some(frames);
        while let Some(frames) = waiting {
            for frame in merge::recorded(frames) {
                if matches!(frame, FromServer::Welcome(_)) {
                    self.welcomed.store(true, Ordering::Release);
                }
                self.sink.feed(Outgoing::Text(frame.to_text())).await?;
            }
            waiting = self.frames.try_recv().ok();
        }
        self.sink.flush().await
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
            Own::Goodbye(_) | Own::Value { .. } => Ok(()),
        }
    }

    async fn piece(&mut self, value: Partial) -> Result<Option<Partial>, S::Error> {
        let end = piece_end(&value.text, value.offset);
        let piece = Blob {
            hash: Arc::clone(&value.hash),
            size: value.text.len() as u64,
            offset: value.offset as u64,
            text: value.text[value.offset..end].to_owned(),
        };
        self.value(piece).await?;
        Ok((end < value.text.len()).then_some(Partial { offset: end, ..value }))
    }

    async fn value(&mut self, blob: Blob) -> Result<(), S::Error> {
        self.text(&FromServer::Blob(blob)).await
    }

    async fn text(&mut self, frame: &FromServer) -> Result<(), S::Error> {
        self.sink.send(Outgoing::Text(frame.to_text())).await
    }
}

/// Where a piece that begins at `start` ends: at a character's border.
fn piece_end(text: &str, start: usize) -> usize {
    text.floor_char_boundary((start + PIECE_BYTES).min(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_at_characters() {
        let text = "é".repeat(PIECE_BYTES);
        let shifted = format!("x{text}");
        assert_eq!(piece_end(&text, 0), PIECE_BYTES);
        assert_eq!(piece_end(&shifted, 0), PIECE_BYTES - 1);
        assert_eq!(piece_end(&shifted, shifted.len() - 2), shifted.len());
    }
}
