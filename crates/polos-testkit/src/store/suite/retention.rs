//! What is deleted, and what stays.

use crate::store::sample::{
    NOW, apply, approval_row, child_row, insert_run, record, run, run_row, signal_row, status,
    stream_row, timer, waiter,
};
use polos_protocol::{Namespace, RunId, State};
use polos_store::read::PageRequest;
use polos_store::row::{RunRow, RunStatus, TimerKind};
use polos_store::{Change, Store};

fn with_all(number: u64) -> Vec<Change> {
    let id = run(number);
    vec![
        insert_run(run_row(number), status(State::Completed)),
        Change::AppendRecords(id, vec![record(1), record(2)]),
        Change::InsertSignal(signal_row(id, 1)),
        Change::AppendStream(vec![stream_row(id, 1)]),
        Change::PutTimer(timer(NOW, id, TimerKind::Open, "a")),
        Change::PutWaiter(waiter("t", id, "a")),
        Change::PutApproval(Box::new(approval_row(number, id))),
        Change::PutBlob { hash: format!("h{number}").into(), text: "1".into(), run: id },
    ]
}

/// How many rows of each table belong to a run.
fn rows_of(store: &dyn Store, number: u64) -> [usize; 8] {
    let (ns, id) = (Namespace::default(), run(number));
    let page = PageRequest { cursor: None, limit: 9 };
    [
        usize::from(store.run(&ns, id).unwrap().is_some()),
        store.journal_marks(&ns, id).unwrap().len(),
        store.signals(&ns, id).unwrap().len(),
        store.stream(&ns, id, 0, 9).unwrap().len(),
        store.timers(None, 9).unwrap().iter().filter(|row| row.run == id).count(),
        store.waiters(&ns, "t").unwrap().iter().filter(|row| row.run == id).count(),
        store.approvals(&ns, None, Some(id), &page).unwrap().items.len(),
        usize::from(store.blob(&ns, &format!("h{number}")).unwrap().is_some()),
    ]
}

/// All of its own goes, and nothing of others.
pub fn a_deleted_run_takes_its_own_along(store: &dyn Store) {
    apply(store, [with_all(1), with_all(2)].concat());
    assert_eq!(rows_of(store, 1), [1, 2, 1, 1, 1, 1, 1, 1]);
    apply(store, vec![Change::DeleteRun(run(1)), Change::DeleteRun(run(9))]);
    assert_eq!(rows_of(store, 1), [0; 8]);
    assert_eq!(rows_of(store, 2), [1, 2, 1, 1, 1, 1, 1, 1]);
    apply(store, with_all(1));
    assert_eq!(rows_of(store, 1), [1, 2, 1, 1, 1, 1, 1, 1]);
}

/// A key goes by the time at which its run ended, and never before the run has.
pub fn a_start_key_outlives_its_run(store: &dyn Store) {
    let insert = |number, key: &str, state| {
        let row = RunRow { start_key: Some(key.into()), ..run_row(number) };
        insert_run(RunRow { workflow: "w".into(), ..row }, status(state))
    };
    apply(
        store,
        vec![
            insert(1, "deleted", State::Completed),
            insert(2, "ended", State::Failed),
            insert(3, "living", State::Waiting),
            Change::DeleteRun(run(1)),
        ],
    );
    let ns = Namespace::default();
    let there = || {
        ["deleted", "ended", "living"].map(|key| store.start_key(&ns, "w", key).unwrap().is_some())
    };
    assert_eq!(there(), [true, true, true]);
    apply(store, vec![Change::DeleteStartKeysBefore(NOW + 1_000)]);
    assert_eq!(there(), [true, true, true]);
    apply(store, vec![Change::DeleteStartKeysBefore(NOW + 1_001)]);
    assert_eq!(there(), [false, false, true]);
}

fn ended(state: State, ended_ms: u64) -> RunStatus {
    RunStatus { ended_ms: Some(ended_ms), ..status(state) }
}

fn trees(store: &dyn Store, before: u64, limit: u32) -> Vec<Vec<RunId>> {
    store.ended_roots(&Namespace::default(), before, limit).unwrap()
}

/// A root whose descendant lives stays; the others come with all of theirs, earliest first.
pub fn trees_are_deleted_whole(store: &dyn Store) {
    let (first, second, third) = (run_row(1), run_row(4), run_row(7));
    let child = child_row(2, &first);
    apply(
        store,
        vec![
            insert_run(first.clone(), ended(State::Completed, NOW + 20)),
            insert_run(child.clone(), ended(State::Failed, NOW + 15)),
            insert_run(child_row(3, &child), ended(State::Cancelled, NOW + 25)),
            insert_run(second.clone(), ended(State::Completed, NOW + 1)),
            insert_run(child_row(5, &second), status(State::Running)),
            insert_run(third, ended(State::Completed, NOW + 10)),
            insert_run(run_row(8), status(State::Blocked)),
        ],
    );
    let tree = vec![run(1), run(2), run(3)];
    assert_eq!(trees(store, NOW + 100, 9), [vec![run(7)], tree.clone()]);
    assert_eq!(trees(store, NOW + 100, 1), [vec![run(7)]]);
    assert_eq!(trees(store, NOW + 20, 9), [vec![run(7)]]);
    let resumed = RunStatus { ended_ms: Some(NOW + 1), ..status(State::Running) };
    apply(store, vec![Change::UpdateRun(run(7), Box::new(resumed))]);
    assert_eq!(trees(store, NOW + 100, 9), [tree]);
}

/// A detached run is kept and deleted by its own end.
pub fn a_detached_run_is_a_root(store: &dyn Store) {
    let root = run_row(1);
    let detached = RunRow { detached: true, ..child_row(2, &root) };
    let below = child_row(3, &detached);
    apply(
        store,
        vec![
            insert_run(root, ended(State::Completed, NOW + 1)),
            insert_run(detached, status(State::Running)),
            insert_run(below, ended(State::Completed, NOW + 1)),
        ],
    );
    assert_eq!(trees(store, NOW + 9, 9), [vec![run(1)]]);
    apply(store, vec![Change::UpdateRun(run(2), Box::new(ended(State::Failed, NOW + 2)))]);
    assert_eq!(trees(store, NOW + 9, 9), [vec![run(1)], vec![run(2), run(3)]]);
}
