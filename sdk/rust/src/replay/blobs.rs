//! Values kept apart: fetching them before they are handed out, storing large ones before they
//! are referred to.

use crate::replay::ending::{Ending, Phase};
use crate::replay::{Machine, RequestId, derive};
use polos_protocol::frame::{Blob, FetchRequest, FromWorker, StoreRequest};
use polos_protocol::record::{Open, OpenChild};
use polos_protocol::value::BlobRef;
use polos_protocol::{Failure, NewRecord, Value, limits};
use std::collections::HashMap;
use std::sync::Arc;

/// How many outcomes ahead of the code are fetched.
const FETCH_AHEAD: usize = 8;
/// A piece of a stored value; escaping may double it on the wire.
const PIECE_BYTES: usize = 256 << 10;

#[derive(Debug, Default)]
pub(crate) struct Blobs {
    fetched: HashMap<Arc<str>, Value>,
    fetching: HashMap<Arc<str>, String>,
    storing: HashMap<Arc<str>, (Value, Vec<Deferred>)>,
}

/// What waits until a value is stored.
#[derive(Debug)]
enum Deferred {
    Record(Box<NewRecord>, Option<RequestId>),
    /// A child whose input it is.
    Child(Box<NewRecord>, RequestId, Box<OpenChild>),
    Output,
}

impl Blobs {
    pub(crate) fn is_busy(&self) -> bool {
        !self.fetching.is_empty() || !self.storing.is_empty()
    }
}

impl Machine {
    /// The value itself; asks for it if it is kept apart and not here.
    pub(crate) fn resolve_value(&mut self, value: &Value) -> Option<Value> {
        let Some(reference) = value.reference() else { return Some(value.clone()) };
        if let Some(fetched) = self.blobs.fetched.get(&reference.hash) {
            return Some(fetched.clone());
        }
        let hash = reference.hash.clone();
        self.fetch(&hash);
        None
    }

    fn fetch(&mut self, hash: &Arc<str>) {
        if self.blobs.fetched.contains_key(hash) || self.blobs.fetching.contains_key(hash) {
            return;
        }
        self.blobs.fetching.insert(hash.clone(), String::new());
        self.frame(FromWorker::Fetch(FetchRequest { run: self.start.run, hash: hash.clone() }));
    }

    pub(crate) fn prefetch(&mut self) {
        let ahead: Vec<Arc<str>> = self
            .journal
            .queue
            .iter()
            .take(FETCH_AHEAD)
            .filter_map(|item| item.value.as_ref()?.reference().map(|r| r.hash.clone()))
            .collect();
        for hash in &ahead {
            self.fetch(hash);
        }
    }

    /// The outcome has been handed to the code.
    pub(crate) fn forget_value(&mut self, value: Option<&Value>) {
        if let Some(reference) = value.and_then(Value::reference) {
            self.blobs.fetched.remove(&reference.hash);
        }
    }

    /// A piece of a value that was asked for.
    pub fn blob(&mut self, blob: &Blob) {
        let Some(text) = self.blobs.fetching.get_mut(&blob.hash) else { return };
        if blob.size == 0 {
            let hash = &blob.hash;
            self.block_misuse(
                format!("the server does not have value `{hash}`, to which the journal refers"),
                "restore it from a backup, or retry from the step that made it: `polos runs retry RUN`",
            );
            return;
        }
        if blob.offset != text.len() as u64 {
            return;
        }
        text.push_str(&blob.text);
        if (text.len() as u64) < blob.size {
            return;
        }
        let text = self.blobs.fetching.remove(&blob.hash).unwrap_or_default();
        match Value::from_text(&text) {
            Ok(value) => {
                self.blobs.fetched.insert(blob.hash.clone(), value);
            }
            Err(cause) => self.block_unreadable(&cause),
        }
    }

    /// Sends a record with its value; a large one is stored first.
    pub(crate) fn submit_valued(
        &mut self,
        mut record: NewRecord,
        request: Option<RequestId>,
        value: Value,
    ) {
        if fits_inline(&value) {
            record.value = Some(value);
            self.submit(record, request);
        } else if value.size() > limits::BLOB_BYTES_MAX as u64 {
            record.error = Some(too_large(&value));
            self.submit(record, request);
        } else {
            self.store(value, Deferred::Record(Box::new(record), request));
        }
    }

    pub(crate) fn store_output(&mut self, value: Value) {
        if value.size() > limits::BLOB_BYTES_MAX as u64 {
            self.end(Ending::Fail(too_large(&value), None));
        } else {
            self.store(value, Deferred::Output);
        }
    }

    /// Opens a child whose input is too large to stand in the record: that is stored first.
    pub(crate) fn submit_child(&mut self, record: NewRecord, id: RequestId, child: OpenChild) {
        let input = child.input.clone();
        self.store(input, Deferred::Child(Box::new(record), id, Box::new(child)));
    }

    fn store(&mut self, value: Value, deferred: Deferred) {
        let hash: Arc<str> = derive::sha256_hex(value.text().unwrap_or_default()).into();
        if let Some((_, waiting)) = self.blobs.storing.get_mut(&hash) {
            waiting.push(deferred);
            return;
        }
        self.send_pieces(&hash, &value);
        self.blobs.storing.insert(hash, (value, vec![deferred]));
    }

    fn send_pieces(&mut self, hash: &Arc<str>, value: &Value) {
        let text = value.text().unwrap_or_default();
        let mut offset = 0;
        while offset < text.len() {
            let end = text.floor_char_boundary((offset + PIECE_BYTES).min(text.len()));
            self.frame(FromWorker::Store(StoreRequest {
                run: self.start.run,
                hash: hash.clone(),
                size: text.len() as u64,
                offset: offset as u64,
                text: text[offset..end].to_owned(),
            }));
            offset = end;
        }
    }

    /// A value is kept: what waited for it may refer to it.
    pub fn stored(&mut self, hash: &str) {
        let Some((hash, (value, waiting))) = self.blobs.storing.remove_entry(hash) else { return };
        let reference = Value::from_reference(BlobRef { hash, size: value.size() });
        for deferred in waiting {
            match deferred {
                Deferred::Record(mut record, request) => {
                    record.value = Some(reference.clone());
                    self.submit_with(*record, request, Some(value.clone()));
                }
                Deferred::Child(record, request, child) => {
                    let child = OpenChild { input: reference.clone(), ..*child };
                    match record.with_detail(&Open::Child(child)) {
                        Ok(record) => self.submit(record, Some(request)),
                        Err(cause) => self.block_unreadable(&cause),
                    }
                }
                Deferred::Output if matches!(self.phase, Phase::Storing) => {
                    self.end(Ending::Complete(reference.clone()));
                }
                Deferred::Output => {}
            }
        }
    }

    /// The connection is a new one: what was asked for or on its way is sent again.
    pub(crate) fn refetch(&mut self) {
        let fetching: Vec<Arc<str>> = self.blobs.fetching.keys().cloned().collect();
        for hash in fetching {
            self.blobs.fetching.remove(&hash);
            self.fetch(&hash);
        }
        let storing: Vec<(Arc<str>, Value)> = self
            .blobs
            .storing
            .iter()
            .map(|(hash, (value, _))| (hash.clone(), value.clone()))
            .collect();
        for (hash, value) in storing {
            self.send_pieces(&hash, &value);
        }
    }
}

/// True if a value may travel inside a record.
pub(crate) fn fits_inline(value: &Value) -> bool {
    value.reference().is_some() || value.size() <= limits::VALUE_INLINE_BYTES_MAX as u64
}

fn too_large(value: &Value) -> Failure {
    refuse_above(value, limits::BLOB_BYTES_MAX)
}

/// Refuses a value that is larger than its place allows.
pub(crate) fn check_size(value: &Value, bytes_max: usize) -> Result<(), Failure> {
    if value.size() > bytes_max as u64 { Err(refuse_above(value, bytes_max)) } else { Ok(()) }
}

fn refuse_above(value: &Value, bytes_max: usize) -> Failure {
    let message = format!(
        "a value of {} bytes is larger than the limit of {bytes_max} bytes; keep it elsewhere and \
         record where",
        value.size(),
    );
    Failure::new("value_too_large", message).terminal()
}
