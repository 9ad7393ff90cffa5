//! Runs in memory: reading them in, forgetting them, and adding to their journals.

use super::{Engine, shown};
use crate::error::Error;
use crate::journal::{Added, Journal, OpenWait};
use crate::live::{Live, Phase};
use polos_protocol::frame::Append;
use polos_protocol::record::{Kind, NewRecord, ResetDetail, ResolvedDetail, VerbDetail};
use polos_protocol::{Failure, Namespace, Record, RunId, StepKey, Value};
use polos_store::{Change, Read, ReadError};
use serde::Serialize;

/// A record that the server writes.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) value: Option<Value>,
    pub(crate) error: Option<Failure>,
    pub(crate) detail: Option<std::sync::Arc<serde_json::value::RawValue>>,
    pub(crate) reset: Option<ResetDetail>,
    pub(crate) resolved: Option<ResolvedDetail>,
}

impl Said {
    pub(crate) fn detail<T: Serialize>(detail: &T) -> Self {
        let detail = serde_json::value::to_raw_value(detail).ok().map(Into::into);
        Self { detail, ..Self::default() }
    }
}

impl Engine {
    pub(super) fn read_run(
        namespace: &Namespace,
        id: RunId,
        store: &dyn Read,
    ) -> Result<Option<Live>, ReadError> {
        let Some(run) = store.run(namespace, id)? else { return Ok(None) };
        let marks = store.journal_marks(namespace, id)?;
        let journal = Journal::load(id, run.status.assignment, marks);
        Ok(Some(Live::new(run, journal)))
    }

    /// Brings a run into memory. False if there is none in this namespace.
    pub(crate) fn bring(
        &mut self,
        namespace: &Namespace,
        id: RunId,
        store: &dyn Read,
    ) -> Result<bool, Error> {
        if let Some(live) = self.runs.get(&id) {
            let found = live.run.row.namespace == *namespace;
            self.touched.push(id);
            return Ok(found);
        }
        if self.overlay.is_deleted(id) {
            return Ok(false);
        }
        let Some(live) = Self::read_run(namespace, id, store)? else { return Ok(false) };
        self.insert(live);
        Ok(true)
    }

    /// Takes a run into memory that is there for the first time.
    pub(crate) fn insert(&mut self, live: Live) {
        self.touched.push(live.id());
        self.runs.insert(live.id(), live);
    }

    /// Appends a record of the server's own to a run in memory, and shows it to the run's worker.
    pub(crate) fn say(&mut self, id: RunId, kind: Kind, key: StepKey, said: Said) {
        let now = self.now;
        let Some(live) = self.runs.get_mut(&id) else { return };
        let mut record = NewRecord::new(0, kind, key, live.journal.seq);
        record.value = said.value;
        record.error = said.error;
        record.detail = said.detail;
        let seq = live.journal.add(Added {
            kind,
            key: &record.key,
            ok: record.error.is_none(),
            after: record.after,
            at: now,
            size: record.size(),
            n: None,
            open: None,
            reset: said.reset.as_ref(),
            resolved: said.resolved.as_ref(),
        });
        let record = Record { seq, at: now, assignment: 0, worker: None, build: None, record };
        let namespace = live.run.row.namespace.clone();
        self.forward(id, &record);
        self.change(Change::AppendRecords(id, vec![record]));
        self.changed(&namespace, id);
    }

    /// Notes an operator's or the engine's own verb in a run's journal.
    pub(crate) fn say_verb(&mut self, id: RunId, verb: &str, by: &str, note: Option<String>) {
        let detail = VerbDetail { verb: verb.to_owned(), by: by.to_owned(), note };
        self.say(id, Kind::Verb, StepKey::run(), Said::detail(&detail));
    }

    /// Shows a record to the worker that has the run, unless the run waits for its slot or the
    /// worker still reads the journal: then it comes with the rest.
    fn forward(&mut self, id: RunId, record: &Record) {
        let Some(live) = self.runs.get_mut(&id) else { return };
        let assignment = live.run.status.assignment;
        let Some(held) = live.held.as_mut() else { return };
        if let Some(echo) = held.echo.as_mut() {
            echo.push(record.clone());
            return;
        }
        if held.phase == Phase::Resuming || !held.kept_back.is_empty() {
            held.kept_back.push(record.clone());
            return;
        }
        if held.paging.is_some() || held.sent_seq.is_none_or(|sent| sent + 1 != record.seq) {
            return;
        }
        let worker = held.worker;
        if self.workers.get(&worker).is_none_or(|worker| worker.connection.is_none()) {
            return;
        }
        held.sent_seq = Some(record.seq);
        let append = Append {
            run: id,
            assignment,
            records: vec![shown(id, record)],
            seq: record.seq,
            more: false,
        };
        self.send(worker, polos_protocol::frame::FromServer::Append(append));
    }

    /// What was opened under a key of a run in memory.
    pub(crate) fn opened(&self, id: RunId, key: &StepKey) -> Option<&OpenWait> {
        self.runs.get(&id)?.journal.opens.get(key)
    }
}
