//! A process killed at any moment: what it was told is durable is there, and nothing by halves.

use crate::child::start_self;
use polos_protocol::Namespace;
use polos_store::row::TimerRow;
use polos_store::sqlite::{FILE, Options, Store};
use polos_store::{Batch, Read as _, Store as _};
use polos_testkit::store::sample::{record, run};
use std::path::Path;
use std::time::Duration;

const KILLS: u64 = 20;

/// A small generator of repeatable numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// How many whole batches the store holds; anything by halves is an error.
fn whole_batches(store: &Store) -> u64 {
    let ns = Namespace::default();
    let count = store.running_runs().unwrap().len() as u64;
    let timers: Vec<TimerRow> = store.timers(None, u32::MAX).unwrap();
    assert_eq!(timers.len() as u64, count);
    for number in 1..=count {
        assert!(store.run(&ns, run(number)).unwrap().is_some(), "batch {number} is missing");
        let seq = store.journal_end(&ns, run(number)).unwrap();
        assert_eq!(seq, 20, "batch {number} has half a journal");
        assert_eq!(store.signals(&ns, run(number)).unwrap().len(), 1);
    }
    assert!(store.journal_marks(&ns, run(count + 1)).unwrap().is_empty());
    count
}

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    let directory = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(7);
    let (mut acked, mut incarnation) = (0, 0);
    for round in 0..KILLS {
        let mut child = start_self("writes", directory.path());
        child.next("open").unwrap();
        for _ in 0..numbers.below(8) {
            acked = child.next("acked").unwrap().parse().unwrap();
        }
        // Not to wait for anything: to die somewhere inside the next commits.
        std::thread::sleep(Duration::from_micros(numbers.below(3_000)));
        child.process.kill().unwrap();
        child.process.wait().unwrap();
        while let Some(number) = child.next("acked") {
            acked = number.parse().unwrap();
        }
        let store = Store::open(directory.path(), Options::default()).unwrap();
        assert_eq!(store.check().unwrap(), [""; 0], "round {round}");
        let count = whole_batches(&store);
        assert!(count == acked || count == acked + 1, "{count} batches, {acked} acknowledged");
        assert!(store.incarnation() > incarnation);
        (incarnation, acked) = (store.incarnation(), count);
    }
    assert!(acked > KILLS, "the rounds wrote something");
}

/// A power cut that loses the end of the write-ahead log, or leaves rubbish there, leaves a prefix
/// of the batches.
#[test]
fn a_torn_log_leaves_a_prefix() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { checkpoint_pages: u32::MAX, ..Options::default() };
    let store = Store::open(directory.path(), options).unwrap();
    for number in 1..=8 {
        let commands = crate::child::batch(number);
        store.commit(Batch { owner: store.incarnation(), commands }).unwrap();
    }
    let log = std::fs::read(directory.path().join(format!("{FILE}-wal"))).unwrap();
    let mut numbers = Numbers(3);
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..24 {
        let mut torn = log.clone();
        let at = usize::try_from(numbers.below(log.len() as u64)).unwrap();
        if round % 2 == 0 {
            torn.truncate(at);
        } else {
            torn[at..].fill(u8::try_from(round).unwrap());
        }
        seen.insert(batches_in_copy(directory.path(), &torn));
    }
    assert!(seen.len() > 3 && seen.iter().all(|count| *count <= 8), "{seen:?}");
    assert_eq!(batches_in_copy(directory.path(), &log), 8);
    let seqs = store.journal(&Namespace::default(), run(1), 19, 1).unwrap();
    assert_eq!(seqs[0].seq, record(20).seq);
}

fn batches_in_copy(original: &Path, log: &[u8]) -> u64 {
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(original.join(FILE), copy.path().join(FILE)).unwrap();
    std::fs::write(copy.path().join(format!("{FILE}-wal")), log).unwrap();
    // Cut within the very first transactions, there may be no schema yet: it is made anew.
    let store = Store::open(copy.path(), Options::default()).unwrap();
    assert_eq!(store.check().unwrap(), [""; 0]);
    whole_batches(&store)
}
