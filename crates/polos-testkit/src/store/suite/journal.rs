//! Journals.

use crate::store::sample::{NOW, apply, command, commit, key, record, run, value};
use polos_protocol::record::{Open, ResolvedDetail};
use polos_protocol::value::{BlobRef, Place};
use polos_protocol::{Failure, Kind, Namespace, NewRecord, StepKey, Value};
use polos_store::read::Stretch;
use polos_store::row::RecordRow;
use polos_store::{Change, CommitError, Store};

fn append(store: &dyn Store, records: &[RecordRow]) {
    apply(store, vec![Change::AppendRecords(run(1), records.to_vec())]);
}

fn text(records: &[RecordRow]) -> Vec<String> {
    records.iter().map(|record| serde_json::to_string(record).unwrap()).collect()
}

fn bare(seq: u64, kind: Kind, key: StepKey) -> RecordRow {
    let record = NewRecord::new(0, kind, key, 0);
    RecordRow { seq, at: NOW, assignment: 0, worker: None, build: None, record }
}

fn one_of_each() -> Vec<RecordRow> {
    let mut rows = vec![record(1)];
    rows.extend((2..).zip(Kind::ALL).map(|(seq, kind)| bare(seq, kind, key(kind.name()))));
    let mut failed = record(20);
    failed.record.value = None;
    failed.record.error = Some(Failure::new("boom", "größer \"als\" \n gedacht").terminal());
    failed.record.attempt = 3;
    failed.record.version = 2;
    failed.record.requested_ms = Some(i64::MAX as u64);
    rows.push(failed);
    let mut opened = record(21);
    opened.record = NewRecord::new(5, Kind::Open, key("t"), 3)
        .with_detail(&Open::Timer { at: NOW + 4 })
        .unwrap();
    rows.push(opened);
    for (seq, by) in [(22, None), (23, Some("aes"))] {
        let mut kept_apart = record(seq);
        let reference = Value::from_reference(BlobRef { hash: "ab".into(), size: 9 });
        kept_apart.record.value = Some(match by {
            Some(codec) => reference.with_codec(codec),
            None => reference,
        });
        rows.push(kept_apart);
    }
    let mut null = record(24);
    null.record.value = Some(Value::null());
    rows.push(null);
    let mut sealed = record(25);
    sealed.record.value = Some(value(r#""x""#).with_codec("aes"));
    rows.push(sealed);
    rows
}

/// No field is lost, and an absent value is not `null`.
pub fn records_read_back_as_they_were_written(store: &dyn Store) {
    let rows = one_of_each();
    append(store, &rows);
    let back = store.journal(&Namespace::default(), run(1), 0, usize::MAX).unwrap();
    assert_eq!(text(&back), text(&rows));
    assert!(store.journal(&Namespace::default(), run(2), 0, usize::MAX).unwrap().is_empty());
}

/// At least one record, then until the bytes are passed.
pub fn a_page_ends_when_its_bytes_are_passed(store: &dyn Store) {
    append(store, &(1..=9).map(record).collect::<Vec<_>>());
    let size = record(1).record.size();
    let seqs = |after, bytes_max| -> Vec<u64> {
        let page = store.journal(&Namespace::default(), run(1), after, bytes_max).unwrap();
        page.iter().map(|row| row.seq).collect()
    };
    assert_eq!(seqs(0, 0), [1]);
    assert_eq!(seqs(3, 1), [4]);
    assert_eq!(seqs(0, size), [1]);
    assert_eq!(seqs(0, size + 1), [1, 2]);
    assert_eq!(seqs(7, usize::MAX), [8, 9]);
    assert_eq!(seqs(9, usize::MAX), [0; 0]);
}

/// The end is the last record's place, and the bytes are the sum of what the records count.
pub fn a_journal_ends_with_its_last_record(store: &dyn Store) {
    let ns = Namespace::default();
    let end =
        || (store.journal_end(&ns, run(1)).unwrap(), store.journal_bytes(&ns, run(1)).unwrap());
    assert_eq!(end(), (0, 0));
    let rows = one_of_each();
    append(store, &rows);
    let bytes: usize = rows.iter().map(|row| row.record.size()).sum();
    assert_eq!(end(), (25, bytes as u64));
}

/// A worker is sent neither what only people want, nor large values.
pub fn a_replay_leaves_out_what_only_people_want(store: &dyn Store) {
    let ns = Namespace::default();
    let mut rows = one_of_each();
    rows[0].record.traceparent = Some("00-1-2-03".into());
    append(store, &rows);
    let page = |after, upto, value_bytes_max| {
        let stretch = Stretch { after, upto, bytes_max: usize::MAX, value_bytes_max };
        store.replay_page(&ns, run(1), stretch).unwrap()
    };
    let whole = page(0, u64::MAX, usize::MAX);
    assert_eq!(whole.len(), rows.len());
    for (mut row, bare) in rows.iter().cloned().zip(whole) {
        let record = &mut row.record;
        (record.requested_ms, record.started_ms, record.ended_ms) = (None, None, None);
        (row.worker, record.traceparent) = (None, None);
        assert_eq!(text(&[bare]), text(&[row]));
    }
    let seqs: Vec<u64> = page(3, 6, usize::MAX).iter().map(|row| row.seq).collect();
    assert_eq!(seqs, [4, 5, 6]);
    let sealed = &page(24, 25, 2)[0].record.value;
    let (place, value) = (Place::Record(run(1), 25), rows.pop().unwrap().record.value);
    assert_eq!(*sealed, value.as_ref().map(|value| value.left_out(place, 3)));
    assert_eq!(store.journal_value(&ns, run(1), 25).unwrap(), value);
    assert_eq!(store.journal_value(&ns, run(1), 26).unwrap(), None);
    assert_eq!(store.journal_value(&ns, run(2), 25).unwrap(), None);
}

/// Details stay for the kinds that the engine must understand.
pub fn marks_leave_payloads_out(store: &dyn Store) {
    let detail = ResolvedDetail { by: "timer".into(), ..ResolvedDetail::default() };
    let with_detail = |seq, kind| {
        let mut row = bare(seq, kind, key("k"));
        row.record = row.record.with_detail(&detail).unwrap();
        row
    };
    let kinds = (1..).zip(Kind::ALL).map(|(seq, kind)| with_detail(seq, kind));
    let mut rows: Vec<_> = kinds.collect();
    rows[0].record.error = Some(Failure::new("boom", "no"));
    append(store, &rows);
    let marks = store.journal_marks(&Namespace::default(), run(1)).unwrap();
    for (mark, row) in marks.iter().zip(&rows) {
        let record = &row.record;
        assert_eq!((mark.seq, mark.kind, &mark.key), (row.seq, record.kind, &record.key));
        assert_eq!(mark.ok, record.error.is_none());
        assert_eq!((mark.at, mark.assignment, mark.n), (row.at, row.assignment, record.n));
        assert_eq!(mark.size, record.size() as u64);
        let kept = matches!(mark.kind, Kind::Open | Kind::Reset | Kind::Resolved | Kind::Intent);
        assert_eq!(mark.detail.is_some(), kept, "{:?}", mark.kind);
    }
    assert_eq!(marks.len(), rows.len());
}

/// A key may have an intent, attempts and an outcome.
pub fn a_key_finds_all_its_records(store: &dyn Store) {
    let rows = [
        bare(1, Kind::Intent, key("pay")),
        bare(2, Kind::Step, key("other")),
        bare(3, Kind::Step, key("pay")),
        bare(4, Kind::Verb, StepKey::run()),
    ];
    append(store, &rows);
    let seqs = |key: &StepKey| -> Vec<u64> {
        let found = store.journal_key(&Namespace::default(), run(1), key).unwrap();
        found.iter().map(|row| row.seq).collect()
    };
    assert_eq!(seqs(&key("pay")), [1, 3]);
    assert_eq!(seqs(&StepKey::run()), [4]);
    assert_eq!(seqs(&key("none")), [0; 0]);
}

/// A recorded step is never written over.
pub fn a_place_is_taken_once(store: &dyn Store) {
    append(store, &[record(1)]);
    let mut other = record(1);
    other.record.key = key("other");
    let again = vec![command(vec![], vec![Change::AppendRecords(run(1), vec![other])])];
    assert!(matches!(commit(store, again), Err(CommitError::Fatal(_))));
    let back = store.journal(&Namespace::default(), run(1), 0, usize::MAX).unwrap();
    assert_eq!(text(&back), text(&[record(1)]));
}
