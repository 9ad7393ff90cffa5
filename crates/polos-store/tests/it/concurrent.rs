//! Many threads: batches are whole, reads see what is committed.

use polos_protocol::{Namespace, State};
use polos_store::row::TimerKind;
use polos_store::sqlite::{Options, Store};
use polos_store::{Change, Read as _};
use polos_testkit::store::sample::{NOW, apply, insert_run, record, run, run_row, status, timer};
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn readers_never_see_half_a_batch() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Options::default()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // More readers than connections: some wait for one.
        for _ in 0..8 {
            scope.spawn(|| {
                let ns = Namespace::default();
                while !done.load(Ordering::Relaxed) {
                    for number in 1..=10 {
                        let seq = store.journal_end(&ns, run(number)).unwrap();
                        assert_eq!(seq % 5, 0, "half of a command was seen");
                    }
                    assert!(store.timers(None, 9).unwrap().len() <= 1);
                }
            });
        }
        let writers: Vec<_> = [0, 5]
            .map(|first| {
                let store = &store;
                scope.spawn(move || {
                    for number in first + 1..=first + 5 {
                        apply(store, vec![insert_run(run_row(number), status(State::Running))]);
                        for turn in 0..10 {
                            let records = (turn * 5 + 1..=turn * 5 + 5).map(record).collect();
                            let due = timer(NOW + turn, run(1), TimerKind::Open, "one");
                            let put = Change::PutTimer(due);
                            apply(store, vec![Change::AppendRecords(run(number), records), put]);
                        }
                    }
                })
            })
            .into();
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(store.running_runs().unwrap().len(), 10);
}
