//! What goes out: records of many runs in one frame, live output coalesced.

use crate::stream::Streams;
use polos_protocol::frame::{
    FromWorker, RecordRequest, RunRecords, RunRef, StreamItem, StreamRequest,
};
use polos_protocol::{NewRecord, RunId, limits};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A frame of records is closed when its estimate reaches this.
const FRAME_BYTES: usize = limits::FRAME_BYTES_MAX - (128 << 10);
/// Live output beyond this is dropped until the connection has taken some.
const STREAM_BYTES_MAX: usize = 4 << 20;
/// What a record costs beside what it counts itself.
const RECORD_BYTES: usize = 192;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Which connection it is for; 0 for none. What runs say to an older one is dropped.
    connection: u64,
    /// Frames that others do not wait for.
    first: Vec<FromWorker>,
    records: Vec<RunRecords>,
    /// Frames that speak of records sent before.
    last: Vec<FromWorker>,
    /// Pieces of values to be kept: one goes at a time, between all others.
    pieces: VecDeque<FromWorker>,
    streams: HashMap<(RunId, u64), Vec<StreamItem>>,
    stream_bytes: usize,
}

impl Outbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection begins (or, with 0, ended): what was meant for the last one is dropped.
    pub(crate) fn open(&self, connection: u64) {
        let mut state = self.state();
        let streams = std::mem::take(&mut state.streams);
        let stream_bytes = state.stream_bytes;
        *state = State { connection, streams, stream_bytes, ..State::default() };
    }

    pub(crate) fn records(&self, connection: u64, records: RunRecords) {
        let mut state = self.state();
        if state.connection == connection {
            state.records.push(records);
            drop(state);
            self.filled.notify_one();
        }
    }

    pub(crate) fn frame(&self, connection: u64, frame: FromWorker) {
        let mut state = self.state();
        if state.connection != connection {
            return;
        }
        match frame {
            FromWorker::Wait(_)
            | FromWorker::Park(_)
            | FromWorker::Complete(_)
            | FromWorker::Fail(_)
            | FromWorker::Block(_)
            | FromWorker::Release(_) => state.last.push(frame),
            FromWorker::Store(_) => state.pieces.push_back(frame),
            _ => state.first.push(frame),
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Something for the connection itself, such as a pong.
    pub(crate) fn now(&self, frame: FromWorker) {
        self.state().first.push(frame);
        self.filled.notify_one();
    }

    /// Waits until there is something.
    pub(crate) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Takes all there is, as few frames as the limit allows; of large values one piece.
    pub(crate) fn take(&self) -> Vec<FromWorker> {
        let mut state = self.state();
        let mut frames = std::mem::take(&mut state.first);
        let streams = std::mem::take(&mut state.streams);
        state.stream_bytes = 0;
        let records = std::mem::take(&mut state.records);
        let last = std::mem::take(&mut state.last);
        let piece = state.pieces.pop_front();
        let is_more = !state.pieces.is_empty();
        drop(state);
        if is_more {
            self.filled.notify_one();
        }
        for ((run, assignment), items) in streams {
            pack_stream(RunRef { run, assignment }, items, &mut frames);
        }
        pack(records, &mut frames);
        frames.extend(last);
        frames.extend(piece);
        frames
    }
}

impl Streams for Outbox {
    fn send(&self, run: RunRef, item: StreamItem) {
        let bytes = 128 + item.data.text().map_or(0, str::len);
        let mut state = self.state();
        if state.stream_bytes + bytes > STREAM_BYTES_MAX {
            tracing::debug!(run = %run.run, "live output dropped: the connection is too slow");
            return;
        }
        state.stream_bytes += bytes;
        state.streams.entry((run.run, run.assignment)).or_default().push(item);
        drop(state);
        self.filled.notify_one();
    }
}

fn pack_stream(run: RunRef, items: Vec<StreamItem>, frames: &mut Vec<FromWorker>) {
    let RunRef { run, assignment } = run;
    let mut batch = Vec::new();
    let mut bytes = 0;
    for item in items {
        let size = 128 + 2 * item.data.text().map_or(0, str::len);
        if bytes + size > FRAME_BYTES && !batch.is_empty() {
            let items = std::mem::take(&mut batch);
            frames.push(FromWorker::Stream(StreamRequest { run, assignment, items }));
            bytes = 0;
        }
        bytes += size;
        batch.push(item);
    }
    if !batch.is_empty() {
        frames.push(FromWorker::Stream(StreamRequest { run, assignment, items: batch }));
    }
}

fn pack(all: Vec<RunRecords>, frames: &mut Vec<FromWorker>) {
    let mut runs = Vec::new();
    let mut bytes = 0;
    for RunRecords { run, assignment, records } in all {
        let mut batch: Vec<NewRecord> = Vec::with_capacity(records.len());
        for record in records {
            let size = record.size() + RECORD_BYTES;
            if bytes + size > FRAME_BYTES && bytes > 0 {
                if !batch.is_empty() {
                    let records = std::mem::take(&mut batch);
                    runs.push(RunRecords { run, assignment, records });
                }
                let runs = std::mem::take(&mut runs);
                frames.push(FromWorker::Record(RecordRequest { runs }));
                bytes = 0;
            }
            bytes += size;
            batch.push(record);
        }
        if !batch.is_empty() {
            runs.push(RunRecords { run, assignment, records: batch });
        }
    }
    if !runs.is_empty() {
        frames.push(FromWorker::Record(RecordRequest { runs }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polos_protocol::frame::StoreRequest;
    use polos_protocol::{Kind, StepKey, Value};

    #[test]
    fn a_large_value_lets_other_frames_pass() {
        let outbox = Outbox::default();
        outbox.open(1);
        let run = RunId::from_bytes([1; 16]);
        let piece = |offset| {
            let (hash, text) = ("ab".into(), "x".to_owned());
            FromWorker::Store(StoreRequest { run, hash, size: 3, offset, text })
        };
        (0..3).for_each(|offset| outbox.frame(1, piece(offset)));
        let kinds = || outbox.take().iter().map(FromWorker::kind).collect::<Vec<_>>();
        assert_eq!(kinds(), ["store"]);
        outbox.frame(1, FromWorker::Release(RunRef { run, assignment: 1 }));
        assert_eq!(kinds(), ["release", "store"]);
        assert_eq!(kinds(), ["store"]);
        assert!(kinds().is_empty());
    }

    #[test]
    fn frames_of_records_keep_the_limit_and_the_order() {
        let outbox = Outbox::default();
        outbox.open(1);
        let run = RunId::from_bytes([1; 16]);
        let text = Value::from_serialize(&"x".repeat(300 << 10)).unwrap();
        let records = (1..=7).map(|n| {
            let mut record = NewRecord::new(n, Kind::Step, StepKey::run(), 0);
            record.value = Some(text.clone());
            record
        });
        outbox.records(1, RunRecords { run, assignment: 1, records: records.collect() });
        outbox.records(9, RunRecords { run, assignment: 1, records: Vec::new() });
        let frames = outbox.take();
        let mut seen = Vec::new();
        for frame in &frames {
            assert!(frame.to_text().len() <= limits::FRAME_BYTES_MAX);
            let FromWorker::Record(request) = frame else { panic!("another frame") };
            seen.extend(request.runs.iter().flat_map(|r| r.records.iter().map(|r| r.n)));
        }
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
        assert!(frames.len() > 2);
        assert!(outbox.take().is_empty());
    }
}
