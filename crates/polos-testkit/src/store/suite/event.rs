//! Events on topics and signals to runs.

use crate::store::sample::{NOW, apply, command, commit, event_row, run, signal_row};
use polos_protocol::Namespace;
use polos_store::row::{EventRow, SignalRow};
use polos_store::{Change, Check, CommitError, Outcome, Store};

fn next(store: &dyn Store, position: u64, from_ms: u64) -> Option<u64> {
    let next = store.next_event(&Namespace::default(), "t", position, from_ms).unwrap();
    next.map(|event| event.position)
}

/// After a place the time does not matter; from the beginning it does.
pub fn a_topic_is_read_from_a_place_or_a_time(store: &dyn Store) {
    let late = EventRow { at: NOW + 50, ..event_row("t", 2) };
    let rows = [event_row("t", 1), late, event_row("t", 3), event_row("u", 1)];
    apply(store, rows.iter().cloned().map(Change::InsertEvent).collect());
    let ns = Namespace::default();
    assert_eq!(store.next_event(&ns, "t", 0, 0).unwrap(), Some(rows[0].clone()));
    assert_eq!(next(store, 0, NOW + 2), Some(2), "the first place, not the earliest time");
    assert_eq!(next(store, 0, NOW + 51), None);
    assert_eq!(next(store, 1, NOW + 51), Some(2));
    assert_eq!(next(store, 2, 0), Some(3));
    assert_eq!(next(store, 3, 0), None);
    assert_eq!(store.topic_head(&ns, "t").unwrap(), 3);
    assert_eq!(store.topic_head(&ns, "none").unwrap(), 0);
}

/// A key finds its event, and no second one takes it.
pub fn a_key_is_published_once(store: &dyn Store) {
    let keyed =
        |topic: &str, position| EventRow { key: Some("k".into()), ..event_row(topic, position) };
    apply(store, vec![Change::InsertEvent(keyed("t", 1)), Change::InsertEvent(keyed("u", 1))]);
    let ns = Namespace::default();
    assert_eq!(store.event_key(&ns, "t", "k").unwrap(), Some(keyed("t", 1)));
    assert_eq!(store.event_key(&ns, "t", "other").unwrap(), None);
    let again = vec![command(vec![], vec![Change::InsertEvent(keyed("t", 2))])];
    assert!(matches!(commit(store, again), Err(CommitError::Fatal(_))));
}

/// A place is never used again, though retention took its event.
pub fn a_topic_remembers_its_head(store: &dyn Store) {
    apply(store, (1..=3).map(|place| Change::InsertEvent(event_row("t", place))).collect());
    let ns = Namespace::default();
    apply(store, vec![Change::DeleteEventsBefore(NOW + 3)]);
    assert_eq!(next(store, 0, 0), Some(3));
    apply(store, vec![Change::DeleteEventsBefore(NOW + 4)]);
    assert_eq!(next(store, 0, 0), None);
    assert_eq!(store.topic_head(&ns, "t").unwrap(), 3);
}

/// Consuming is conditional; a consumed signal stays for its key.
pub fn a_signal_is_consumed_once(store: &dyn Store) {
    let rows = [signal_row(run(1), 1), signal_row(run(1), 2), signal_row(run(2), 1)];
    apply(store, rows.iter().cloned().map(Change::InsertSignal).collect());
    let take =
        command(vec![Check::SignalPending(run(1), 1)], vec![Change::MarkSignal(run(1), 1, true)]);
    let outcomes = commit(store, vec![take.clone(), take.clone()]).unwrap();
    assert_eq!(outcomes, [Outcome::Applied, Outcome::Refused(0)]);
    let ns = Namespace::default();
    let consumed = SignalRow { consumed: true, ..rows[0].clone() };
    assert_eq!(store.signals(&ns, run(1)).unwrap(), [consumed, rows[1].clone()]);
    let back = command(vec![], vec![Change::MarkSignal(run(1), 1, false)]);
    assert_eq!(commit(store, vec![back, take]).unwrap(), [Outcome::Applied, Outcome::Applied]);
    assert_eq!(store.signals(&ns, run(2)).unwrap(), [rows[2].clone()]);
}
