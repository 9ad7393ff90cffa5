//! Timers and waiters.

use crate::store::sample::{NOW, apply, key, namespace, run, timer, waiter};
use polos_protocol::{Namespace, RunId, StepKey};
use polos_store::row::{TimerKind, TimerRow, WaiterRow};
use polos_store::{Batch, Change, Command, Store};

/// By time, then by namespace, run, kind and key; a page goes on after the last one.
pub fn timers_come_in_their_order(store: &dyn Store) {
    let mut rows = vec![
        timer(NOW + 2, run(1), TimerKind::Open, "a"),
        timer(NOW + 1, run(2), TimerKind::Until, "a"),
        timer(NOW + 1, run(2), TimerKind::Open, "b"),
        timer(NOW + 1, run(2), TimerKind::Open, "a"),
        timer(NOW + 1, run(1), TimerKind::Cleanup, "a"),
        TimerRow { key: StepKey::run(), ..timer(NOW, run(3), TimerKind::RunDeadline, "") },
    ];
    apply(store, rows.iter().cloned().map(Change::PutTimer).collect());
    let far = TimerRow {
        namespace: namespace("a-first"),
        ..timer(NOW + 1, run(9), TimerKind::Deadline, "z")
    };
    let commands = vec![Command {
        namespace: far.namespace.clone(),
        checks: vec![],
        changes: vec![Change::PutTimer(far.clone())],
    }];
    store.commit(Batch { owner: store.incarnation(), commands }).unwrap();
    rows.push(far);
    rows.sort();
    assert_eq!(store.timers(None, 100).unwrap(), rows);
    assert_eq!(store.timers(None, 2).unwrap(), rows[..2]);
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(
            store.timers(Some(row), 2).unwrap(),
            rows[index + 1..].iter().take(2).cloned().collect::<Vec<_>>()
        );
    }
}

/// One timer per run, kind and key.
pub fn a_timer_is_moved_and_removed(store: &dyn Store) {
    let keep = timer(NOW + 5, run(2), TimerKind::Open, "a");
    let deadline = timer(NOW + 3, run(1), TimerKind::Deadline, "a");
    let open = timer(NOW + 1, run(1), TimerKind::Open, "a");
    let moved = TimerRow { at: NOW + 9, ..open.clone() };
    let put = [&keep, &deadline, &open, &moved].map(|row| Change::PutTimer(row.clone()));
    apply(store, put.to_vec());
    assert_eq!(store.timers(None, 9).unwrap(), [deadline.clone(), keep.clone(), moved.clone()]);
    let delete = |run: RunId, kind| Change::DeleteTimer(run, kind, key("a"));
    apply(store, vec![delete(run(1), TimerKind::Open), delete(run(1), TimerKind::Until)]);
    assert_eq!(store.timers(None, 9).unwrap(), [deadline, keep.clone()]);
    apply(store, vec![Change::PutTimer(moved), Change::DeleteTimers(run(1))]);
    assert_eq!(store.timers(None, 9).unwrap(), [keep]);
}

/// A time beyond what a database can count is later than all others.
pub fn a_timer_that_is_never_due_comes_last(store: &dyn Store) {
    let never = timer(u64::MAX, run(1), TimerKind::Open, "a");
    let soon = timer(NOW, run(2), TimerKind::Open, "a");
    apply(store, vec![Change::PutTimer(never), Change::PutTimer(soon.clone())]);
    let timers = store.timers(None, 9).unwrap();
    assert_eq!(timers[0], soon);
    assert!(timers[1].at >= i64::MAX as u64);
    assert!(store.timers(Some(&timers[1]), 9).unwrap().is_empty());
}

/// Found by topic, removed one by one or by run.
pub fn waiters_are_found_by_topic(store: &dyn Store) {
    let rows = [
        waiter("t", run(2), "a"),
        waiter("t", run(1), "b"),
        waiter("t", run(1), "a"),
        waiter("u", run(1), "a"),
    ];
    apply(store, rows.iter().cloned().map(Change::PutWaiter).collect());
    apply(store, vec![Change::PutWaiter(rows[0].clone())]);
    let on =
        |topic: &str| -> Vec<WaiterRow> { store.waiters(&Namespace::default(), topic).unwrap() };
    assert_eq!(on("t"), [rows[2].clone(), rows[1].clone(), rows[0].clone()]);
    assert!(store.waiters(&namespace("other"), "t").unwrap().is_empty());
    apply(
        store,
        vec![Change::DeleteWaiter(rows[2].clone()), Change::DeleteWaiter(rows[2].clone())],
    );
    assert_eq!(on("t"), [rows[1].clone(), rows[0].clone()]);
    apply(store, vec![Change::DeleteWaiters(run(1))]);
    assert_eq!(on("t"), [rows[0].clone()]);
    assert!(on("u").is_empty());
}
