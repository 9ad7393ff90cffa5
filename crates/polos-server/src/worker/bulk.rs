//! What is long and goes between other frames, never before them: pages of journals under the
//! worker's credit, and values that it has asked for, piece by piece. Little of it is in memory at a
//! time, however much is wanted.

use super::fatal;
use crate::driver::{Handle, Message};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use polos_engine::pager::{Ended, Order, Page, PageRead, Pager};
use polos_engine::{ConnectionId, Error};
use polos_protocol::frame::{Blob, Fatal, FetchRequest, FromServer, FromWorker, MoreRequest};
use polos_protocol::value::Place;
use polos_protocol::{Namespace, Record, RunId, Value};
use polos_store::{Read, ReadError};
use std::collections::VecDeque;
use std::sync::Arc;

/// How large a piece of a value is; escaped as text it is at most twice that.
const PIECE_BYTES: usize = 256 << 10;
/// How many values may be read at once,
const VALUE_READS_MAX: usize = 2;
/// and how many bytes of values that were read may wait before another one is.
const VALUE_BYTES_MAX: usize = 8 << 20;
/// How many values a worker may have asked for.
const FETCHES_MAX: usize = 16 << 10;

/// The long things of one connection.
pub(super) struct Bulk {
    handle: Handle,
    connection: ConnectionId,
    namespace: Namespace,
    pager: Pager,
    /// Values that were asked for and are not being read.
    wanted: VecDeque<FetchRequest>,
    /// Values that were read, and not yet sent whole.
    values: VecDeque<Partial>,
    value_reads: usize,
    reads: FuturesUnordered<BoxFuture<'static, Result<Done, Error>>>,
}

/// A value of which some pieces are still to go.
struct Partial {
    hash: Arc<str>,
    text: Arc<str>,
    offset: usize,
}

/// Something that was read.
enum Done {
    Page(PageRead, Vec<Record>),
    Value(Arc<str>, Option<Arc<str>>),
}

impl Bulk {
    pub(super) fn new(
        handle: Handle,
        connection: ConnectionId,
        namespace: Namespace,
        pages: u32,
    ) -> Self {
        Self {
            handle,
            connection,
            namespace,
            pager: Pager::new(pages),
            wanted: VecDeque::new(),
            values: VecDeque::new(),
            value_reads: 0,
            reads: FuturesUnordered::new(),
        }
    }

    /// The engine wants a journal sent.
    pub(super) fn order(&mut self, order: Order) {
        self.pager.begin(order);
    }

    /// A run is the worker's no more.
    pub(super) fn forget(&mut self, run: RunId, assignment: u64) {
        self.pager.forget(run, assignment);
    }

    /// The worker has answered a page.
    pub(super) async fn more(&mut self, request: MoreRequest) -> Result<(), Fatal> {
        let taken = self.pager.more(&request).map_err(|error| {
            fatal("page_out_of_order", error.to_string(), "answer each page once it is there")
        })?;
        if !taken {
            let frame = Box::new(FromWorker::More(request));
            self.tell(Message::Frame { connection: self.connection, frame }).await;
        }
        Ok(())
    }

    /// The worker asks for a value.
    pub(super) fn fetch(&mut self, request: FetchRequest) -> Result<(), Fatal> {
        if self.wanted.len() == FETCHES_MAX {
            let message = format!("more than {FETCHES_MAX} values are asked for at once");
            return Err(fatal("too_many_fetches", message, "ask when the code needs them"));
        }
        self.wanted.push_back(request);
        Ok(())
    }

    /// What goes next; never ready while there is nothing. Nothing is lost if it is dropped.
    pub(super) async fn next(&mut self) -> Result<Page, Fatal> {
        loop {
            self.begin_reads();
            let done = if let Some(Some(done)) = self.reads.next().now_or_never() {
                done
            } else if let Some(piece) = self.piece() {
                return Ok(frames(vec![FromServer::Blob(piece)]));
            } else if let Some(done) = self.reads.next().await {
                done
            } else {
                std::future::pending().await
            };
            let done = done.map_err(|error| fatal(error.code, error.message, &error.hint))?;
            if let Some(page) = self.done(done) {
                return Ok(page);
            }
        }
    }

    fn begin_reads(&mut self) {
        while let Some(read) = self.pager.next_read() {
            let handle = self.handle.clone();
            self.reads.push(Box::pin(async move {
                let (namespace, run, stretch) = (read.namespace.clone(), read.run, read.stretch);
                let records =
                    handle.read(move |store| store.replay_page(&namespace, run, stretch)).await?;
                Ok(Done::Page(read, records))
            }));
        }
        let waiting: usize = self.values.iter().map(|value| value.text.len() - value.offset).sum();
        while self.value_reads < VALUE_READS_MAX
            && waiting < VALUE_BYTES_MAX
            && let Some(FetchRequest { hash, .. }) = self.wanted.pop_front()
        {
            self.value_reads += 1;
            let (handle, namespace) = (self.handle.clone(), self.namespace.clone());
            self.reads.push(Box::pin(async move {
                let name = Arc::clone(&hash);
                let text = handle.read(move |store| value(store, &namespace, &name)).await?;
                Ok(Done::Value(hash, text))
            }));
        }
    }

    fn done(&mut self, done: Done) -> Option<Page> {
        match done {
            Done::Page(read, records) => Some(self.pager.page(&read, records)),
            Done::Value(hash, Some(text)) => {
                self.value_reads -= 1;
                self.values.push_back(Partial { hash, text, offset: 0 });
                None
            }
            Done::Value(hash, None) => {
                self.value_reads -= 1;
                let none = Blob { hash, size: 0, offset: 0, text: String::new() };
                Some(frames(vec![FromServer::Blob(none)]))
            }
        }
    }

    /// The engine is told that a journal is there before its last page leaves, so that it hears of it
    /// before it hears the worker's answer.
    pub(super) async fn tell_ended(&mut self, ended: Ended) {
        self.tell(Message::Paged { connection: self.connection, ended }).await;
    }

    async fn tell(&mut self, message: Message) {
        // A server that stops needs to know nothing.
        let _ = self.handle.send(message).await;
    }

    /// The next piece of the first value.
    fn piece(&mut self) -> Option<Blob> {
        let mut value = self.values.pop_front()?;
        let end = piece_end(&value.text, value.offset);
        let piece = Blob {
            hash: Arc::clone(&value.hash),
            size: value.text.len() as u64,
            offset: value.offset as u64,
            text: value.text[value.offset..end].to_owned(),
        };
        value.offset = end;
        if end < value.text.len() {
            // The pieces of a value follow each other: two runs may have asked for the same one.
            self.values.push_front(value);
        }
        Some(piece)
    }
}

fn frames(frames: Vec<FromServer>) -> Page {
    Page { frames, ended: None }
}

/// The text of a value: kept apart under its hash, or in its place.
fn value(
    store: &dyn Read,
    namespace: &Namespace,
    name: &str,
) -> Result<Option<Arc<str>>, ReadError> {
    let value = match Place::from_name(name) {
        None => return store.blob(namespace, name),
        Some(Place::Input(run)) => store.run(namespace, run)?.map(|run| run.row.input.clone()),
        Some(Place::Record(run, seq)) => store.journal_value(namespace, run, seq)?,
    };
    Ok(value.as_ref().and_then(Value::text).map(Arc::from))
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
