//! Queues, blobs, live output and builds.

use crate::store::sample::{
    NOW, apply, command, commit, insert_run, queue_row, record, run, run_row, status, stream_row,
};
use polos_protocol::value::BlobRef;
use polos_protocol::{Namespace, State, Value};
use polos_store::read::QueueCount;
use polos_store::row::RunRow;
use polos_store::{Change, CommitError, Store};

/// The last configuration counts.
pub fn queues_keep_their_configuration(store: &dyn Store) {
    let mut changed = queue_row("b");
    apply(store, ["b", "a"].map(|name| Change::PutQueue(queue_row(name))).to_vec());
    changed.config.concurrency = None;
    changed.config.paused = true;
    changed.by_operator = false;
    apply(store, vec![Change::PutQueue(changed.clone())]);
    assert_eq!(store.queues().unwrap(), [queue_row("a"), changed]);
}

/// Slots follow from the runs; what waits or has ended holds none.
pub fn queues_are_counted(store: &dyn Store) {
    let rows = [
        (1, "b", State::Running),
        (2, "b", State::Queued),
        (3, "b", State::Queued),
        (4, "a", State::Running),
        (5, "c", State::Waiting),
        (6, "c", State::Completed),
    ];
    let insert = |(number, queue, state): (u64, &str, State)| {
        insert_run(RunRow { queue: queue.into(), ..run_row(number) }, status(state))
    };
    apply(store, rows.map(insert).to_vec());
    let count = |queue: &str, queued, running| QueueCount { queue: queue.into(), queued, running };
    let counts = store.queue_counts(&Namespace::default()).unwrap();
    assert_eq!(counts, [count("a", 0, 1), count("b", 2, 1)]);
}

/// Bytes are kept once, until the last run that refers to them is deleted.
pub fn a_blob_lives_as_long_as_a_run_refers_to_it(store: &dyn Store) {
    let insert = |number| insert_run(run_row(number), status(State::Completed));
    let put = |hash: &str, number| Change::PutBlob {
        hash: hash.into(),
        text: format!("\"{hash}\"").into(),
        run: run(number),
    };
    let blobs = vec![put("shared", 1), put("shared", 1), put("shared", 2), put("own", 1)];
    apply(store, [vec![insert(1), insert(2)], blobs].concat());
    let ns = Namespace::default();
    let text = |hash: &str| store.blob(&ns, hash).unwrap();
    assert_eq!(text("shared").as_deref(), Some("\"shared\""));
    assert_eq!(text("none"), None);
    apply(store, vec![Change::DeleteRun(run(1))]);
    assert_eq!((text("own"), text("shared").is_some()), (None, true));
    apply(store, vec![Change::DeleteRun(run(2))]);
    assert_eq!(text("shared"), None);
}

/// A fork, a parent or another run that took a value by reference keeps it after its maker is gone.
pub fn what_a_journal_or_an_input_refers_to_is_kept(store: &dyn Store) {
    let reference = |hash: &str| Value::from_reference(BlobRef { hash: hash.into(), size: 6 });
    let put = |hash: &str| Change::PutBlob {
        hash: hash.into(),
        text: format!("\"{hash}\"").into(),
        run: run(1),
    };
    let mut row = record(1);
    row.record.value = Some(reference("step"));
    let other = RunRow { input: reference("input"), ..run_row(2) };
    let runs = [run_row(1), other].map(|row| insert_run(row, status(State::Completed)));
    apply(store, runs.to_vec());
    apply(store, vec![put("step"), put("input"), Change::AppendRecords(run(2), vec![row])]);
    apply(store, vec![Change::DeleteRun(run(1))]);
    let kept = |hash: &str| store.blob(&Namespace::default(), hash).unwrap().is_some();
    assert!(kept("step") && kept("input"));
    apply(store, vec![Change::DeleteRun(run(2))]);
    assert!(!kept("step") && !kept("input"));
}

/// A run holds what its input and its records refer to, whoever put it there.
pub fn a_blob_is_held_by_the_values_that_refer_to_it(store: &dyn Store) {
    let ns = Namespace::default();
    let refer = |hash: &str| {
        Value::from_reference(BlobRef { hash: hash.into(), size: hash.len() as u64 + 2 })
    };
    let put = |hash: &str| Change::PutBlob {
        hash: hash.into(),
        text: format!("\"{hash}\"").into(),
        run: run(1),
    };
    let mut heir = run_row(2);
    heir.input = refer("in");
    let mut row = record(1);
    row.record.value = Some(refer("out"));
    let changes = vec![
        insert_run(run_row(1), status(State::Completed)),
        put("in"),
        put("out"),
        put("own"),
        insert_run(heir, status(State::Completed)),
        Change::AppendRecords(run(2), vec![row]),
    ];
    apply(store, changes);
    let sizes =
        |number| ["in", "out", "own"].map(|h| store.blob_size(&ns, run(number), h).unwrap());
    assert_eq!(sizes(1), [Some(4), Some(5), Some(5)]);
    assert_eq!(sizes(2), [Some(4), Some(5), None]);
    apply(store, vec![Change::DeleteRun(run(1))]);
    let kept = ["in", "out", "own"].map(|hash| store.blob(&ns, hash).unwrap().is_some());
    assert_eq!(kept, [true, true, false]);
    apply(store, vec![Change::DeleteRun(run(2))]);
    assert_eq!(store.blob(&ns, "in").unwrap(), None);
}

/// After a place, so many.
pub fn live_output_is_resumed_by_place(store: &dyn Store) {
    let rows = vec![stream_row(run(1), 1), stream_row(run(1), 2), stream_row(run(2), 1)];
    apply(
        store,
        vec![Change::AppendStream(rows), Change::AppendStream(vec![stream_row(run(1), 3)])],
    );
    let ns = Namespace::default();
    let read = |after, limit| -> Vec<String> {
        let rows = store.stream(&ns, run(1), after, limit).unwrap();
        rows.iter().map(|row| format!("{row:?}")).collect()
    };
    let expected = |place| format!("{:?}", stream_row(run(1), place));
    assert_eq!(read(0, 2), [expected(1), expected(2)]);
    assert_eq!(read(2, 9), [expected(3)]);
    assert_eq!(read(3, 9), [""; 0]);
    assert_eq!(store.stream_head(&ns, run(1)).unwrap(), 3);
    assert_eq!(store.stream_head(&ns, run(9)).unwrap(), 0);
    let again = Change::AppendStream(vec![stream_row(run(1), 3)]);
    let again = commit(store, vec![command(vec![], vec![again])]);
    assert!(matches!(again, Err(CommitError::Fatal(_))));
}

/// Later sightings change nothing.
pub fn a_build_is_first_seen_once(store: &dyn Store) {
    let seen = |build: &str, at| Change::PutBuild(build.into(), at);
    apply(store, vec![seen("b2", NOW + 5), seen("b1", NOW + 2), seen("b2", NOW)]);
    assert_eq!(store.builds().unwrap(), [("b1".into(), NOW + 2), ("b2".into(), NOW + 5)]);
}
