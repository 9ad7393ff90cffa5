//! `record`: a worker's records, checked, given their places, and acknowledged once durable.

use super::Hold;
use crate::engine::{Engine, shown};
use crate::error::Error;
use crate::journal::{Added, Misfit, OpenWait};
use crate::live::Phase;
use polos_protocol::failure::codes;
use polos_protocol::frame::{Append, FromServer, RecordRequest, Recorded, RunRecords};
use polos_protocol::record::{Kind, NewRecord, Open};
use polos_protocol::{Blocked, Record, RunId, Value, WorkerId, limits};
use polos_store::{Change, Read};

/// How much of a run's record may be detail, in bytes: opened children carry their input there.
const DETAIL_BYTES_MAX: usize = limits::VALUE_INLINE_BYTES_MAX + (64 << 10);

/// Records that were given their places.
#[derive(Default)]
struct Taken {
    rows: Vec<Record>,
    /// Those that bring something about besides standing in the journal.
    opened: Vec<NewRecord>,
    /// Why the next one has no place.
    misfit: Option<Misfit>,
}

impl Engine {
    pub(super) fn record(
        &mut self,
        worker: WorkerId,
        request: RecordRequest,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let mut recorded = Vec::with_capacity(request.runs.len());
        for of_run in request.runs {
            let hold = Hold { worker, run: of_run.run, assignment: of_run.assignment };
            if self.check_hold(hold)
                && let Some(seq) = self.record_run(hold, of_run, store)?
                && let Some(live) = self.runs.get(&hold.run)
            {
                recorded.push((hold.run, hold.assignment, live.journal.n, seq));
            }
        }
        if !recorded.is_empty() {
            self.send(worker, FromServer::Recorded(Recorded { at: self.now, runs: recorded }));
        }
        Ok(())
    }

    /// Takes in the records of one run. The place of the last one, if the worker can be told by a
    /// plain acknowledgement: it knew everything before them.
    fn record_run(
        &mut self,
        hold: Hold,
        of_run: RunRecords,
        store: &dyn Read,
    ) -> Result<Option<u64>, Error> {
        let id = hold.run;
        self.note_progress(hold);
        let Some(live) = self.runs.get_mut(&id) else { return Ok(None) };
        let (was_up_to_date, before) = (live.is_up_to_date(), live.journal.seq);
        let sent = live.held.as_ref().and_then(|held| held.sent_seq);
        if let Some(bad) = self.bad_reference_in(id, &of_run.records, store)? {
            self.revoke_invalid(hold, &bad);
            return Ok(None);
        }
        let Taken { rows, opened, misfit } = self.take_in(hold, of_run.records);
        if let Some(misfit) = misfit {
            self.flush(id, rows);
            self.revoke_invalid(hold, &misfit.to_string());
            return Ok(None);
        }
        // What came before is acknowledged already, or comes with the journal's next page.
        let last = rows.last().map(|row| row.seq);
        if was_up_to_date && !opened.is_empty() {
            self.begin_echo(id, &rows);
        }
        self.flush(id, rows);
        let over = self.is_over_limit(id);
        self.set_sent(id, None);
        for record in &opened {
            self.effect_of(id, record, store)?;
        }
        let echo = self.end_echo(id);
        if over {
            self.revoke(hold, "ended", "the journal has reached its limit");
            self.block(id, journal_limit(id), self.parting_unheard());
            return Ok(None);
        }
        let Some(live) = self.runs.get(&id) else { return Ok(None) };
        let seq = live.journal.seq;
        if was_up_to_date && last.unwrap_or(before) == seq {
            self.set_sent(id, Some(seq));
            return Ok(last);
        }
        // Something of the server's own stands behind: both come in order.
        if let Some(records) = echo {
            self.set_sent(id, Some(seq));
            let (run, assignment) = (id, hold.assignment);
            let append = Append { run, assignment, records, seq, more: false };
            self.send(hold.worker, FromServer::Append(append));
        } else {
            self.set_sent(id, sent);
            self.page_due(id, hold.assignment);
        }
        Ok(None)
    }

    /// Gives the records that fit their places, up to the first that does not.
    fn take_in(&mut self, hold: Hold, records: Vec<NewRecord>) -> Taken {
        let mut taken = Taken { rows: Vec::with_capacity(records.len()), ..Taken::default() };
        let build = self.workers.get(&hold.worker).map(|worker| worker.build.clone());
        let accepts_duplicates = self.config.is_mutated("accept_duplicates");
        let (id, now) = (hold.run, self.now);
        let Some(live) = self.runs.get_mut(&id) else { return taken };
        for record in records {
            if record.n <= live.journal.n && !accepts_duplicates {
                continue;
            }
            let open = match admit(live, &record, id) {
                Ok(open) => open,
                Err(misfit) => {
                    taken.misfit = Some(misfit);
                    break;
                }
            };
            let seq = live.journal.add(Added {
                kind: record.kind,
                key: &record.key,
                ok: record.error.is_none(),
                after: record.after,
                at: now,
                size: record.size(),
                n: Some(record.n),
                open,
                reset: None,
                resolved: None,
            });
            if matches!(record.kind, Kind::Open | Kind::Emit | Kind::Lost) {
                taken.opened.push(record.clone());
            }
            let (assignment, worker) = (hold.assignment, Some(hold.worker));
            taken.rows.push(Record {
                seq,
                at: now,
                assignment,
                worker,
                build: build.clone(),
                record,
            });
        }
        taken
    }

    /// What the server adds to these records goes to the worker together with them.
    fn begin_echo(&mut self, id: RunId, rows: &[Record]) {
        if let Some(held) = self.runs.get_mut(&id).and_then(|live| live.held.as_mut()) {
            held.echo = Some(rows.to_vec());
        }
    }

    fn end_echo(&mut self, id: RunId) -> Option<Vec<Record>> {
        let echo = self.runs.get_mut(&id)?.held.as_mut()?.echo.take()?;
        Some(echo.iter().map(|record| shown(id, record)).collect())
    }

    fn is_over_limit(&self, id: RunId) -> bool {
        self.runs.get(&id).is_some_and(|live| {
            live.journal.len() > limits::JOURNAL_RECORDS_MAX
                || live.journal.bytes > limits::JOURNAL_BYTES_MAX
        })
    }

    fn set_sent(&mut self, id: RunId, seq: Option<u64>) {
        if let Some(held) = self.runs.get_mut(&id).and_then(|live| live.held.as_mut()) {
            held.sent_seq = seq;
        }
    }

    fn flush(&mut self, id: RunId, rows: Vec<Record>) {
        if rows.is_empty() {
            return;
        }
        if let Some(live) = self.runs.get(&id) {
            let namespace = live.run.row.namespace.clone();
            self.changed(&namespace, id);
        }
        self.change(Change::AppendRecords(id, rows));
    }

    /// A run that records is alive: not wedged, not poisoned, not waiting; and its build is noted.
    fn note_progress(&mut self, hold: Hold) {
        let worker = self.workers.get(&hold.worker);
        let build = worker.map(|worker| (worker.build.clone(), worker.build_seen_ms));
        let Some(live) = self.runs.get_mut(&hold.run) else { return };
        let status = &mut live.run.status;
        let mut dirty = false;
        if let Some((build, seen)) = build
            && status.build.as_ref() != Some(&build)
        {
            status.build = Some(build);
            status.build_seen_ms = seen;
            dirty = true;
        }
        let Some(held) = live.held.as_mut() else { return };
        if !held.progressed {
            held.progressed = true;
            dirty |= status.deaths > 0 || status.alone;
            status.deaths = 0;
            if std::mem::take(&mut status.alone)
                && let Some(worker) = self.workers.get_mut(&hold.worker)
            {
                worker.alone = false;
            }
        }
        if matches!(held.phase, Phase::Given { .. }) {
            held.phase = Phase::Active;
        }
        let woke = matches!(held.phase, Phase::Hot { .. });
        if dirty {
            self.mark_dirty(hold.run);
        }
        if woke && !self.enter_slot(hold.run) {
            self.enter_slot_regardless(hold.run);
        }
        self.keep_watch(hold.run);
    }
}

fn admit(
    live: &crate::live::Live,
    record: &NewRecord,
    id: RunId,
) -> Result<Option<OpenWait>, Misfit> {
    let want = live.journal.n + 1;
    if record.n != want {
        return Err(Misfit::Gap { want, got: record.n });
    }
    let too_large = |what, size, limit| {
        if size > limit { Err(Misfit::TooLarge { what, size, limit }) } else { Ok(()) }
    };
    too_large("key", record.key.as_str().len(), limits::KEY_BYTES_MAX)?;
    let value = record.value.as_ref().and_then(Value::text).map_or(0, str::len);
    too_large("value", value, limits::VALUE_INLINE_BYTES_MAX)?;
    if let (Kind::Emit, Some(kept)) =
        (record.kind, record.value.as_ref().and_then(Value::reference))
    {
        // Whoever takes the event gets what stands in it, not what it refers to.
        let size = usize::try_from(kept.size).unwrap_or(usize::MAX);
        too_large(
            "payload of an event",
            size.max(limits::VALUE_INLINE_BYTES_MAX + 1),
            limits::VALUE_INLINE_BYTES_MAX,
        )?;
    }
    let detail = record.detail.as_deref().map_or(0, |detail| detail.get().len());
    too_large("detail", detail, DETAIL_BYTES_MAX)?;
    live.journal.check(record.kind, &record.key)?;
    if record.kind != Kind::Open {
        return Ok(None);
    }
    let open: Open = record
        .detail()
        .map_err(|error| Misfit::Detail { kind: "open", message: error.to_string() })?;
    let earlier = live.journal.earlier_opens(&record.key);
    Ok(Some(OpenWait::new(&open, id, &record.key, earlier)))
}

fn journal_limit(id: RunId) -> Blocked {
    Blocked {
        code: codes::JOURNAL_LIMIT.to_owned(),
        message: format!(
            "its journal has reached {} records or {} MiB",
            limits::JOURNAL_RECORDS_MAX,
            limits::JOURNAL_BYTES_MAX >> 20
        ),
        hint: format!("split the work into child runs; `polos runs cancel {id}` ends this one"),
        step: None,
        difference: None,
        failure: None,
        since: 0,
    }
}
