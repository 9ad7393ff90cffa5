//! What the store does on this machine, beside what the disk does in the same run:
//! `cargo bench -p polos-store [-- DIRECTORY]`. Prints; asserts nothing.

#![expect(clippy::needless_for_each, reason = "one line a measurement")]
#![expect(clippy::print_stdout, reason = "printing is what it is for")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on ends")]

use polos_protocol::{Namespace, State};
use polos_store::read::{PageRequest, Stretch};
use polos_store::row::{RecordRow, TimerKind};
use polos_store::sqlite::{Options, Store};
use polos_store::{Batch, Change, Check, Command, Read as _, Store as _};
use polos_testkit::store::sample::{
    NOW, command, insert_run, record, run, run_row, status, timer, value,
};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn main() {
    let named = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let parent = named.map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(parent).unwrap();
    fsync(directory.path());
    sequential(directory.path());
    batches(directory.path());
    large_values(directory.path());
    replay(directory.path());
    parked(directory.path());
    fsync(directory.path());
}

fn open(directory: &Path, name: &str) -> Store {
    Store::open(&directory.join(name), Options::default()).unwrap()
}

fn commit(store: &Store, commands: Vec<Command>) {
    store.commit(Batch { owner: store.incarnation(), commands }).unwrap();
}

fn report(name: &str, figure: &str) {
    println!("{name:<58} {figure}");
    std::io::stdout().flush().unwrap();
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    format!("p50 {:>9.1?}  p99 {:>9.1?}", at(50), at(99))
}

fn timed(count: u64, mut act: impl FnMut(u64)) -> Vec<Duration> {
    (0..count)
        .map(|number| {
            let start = Instant::now();
            act(number);
            start.elapsed()
        })
        .collect()
}

/// The disk alone: 4 KiB written over and synced, in a file of full size, and at the end of one.
fn fsync(directory: &Path) {
    let file = std::fs::File::create(directory.join("fsync")).unwrap();
    let page = [7_u8; 4096];
    for number in 0..256 {
        file.write_all_at(&page, number * 4096).unwrap();
    }
    file.sync_all().unwrap();
    let sync = |offset: u64| {
        file.write_all_at(&page, offset).unwrap();
        file.sync_data().unwrap();
    };
    let over = timed(300, |number| sync(number % 256 * 4096));
    report("disk: 4 KiB over + fdatasync", &quantiles(over));
    let behind = timed(300, |number| sync((256 + number) * 4096));
    report("disk: 4 KiB appended + fdatasync", &quantiles(behind));
}

/// One run, step after step, each durable before the next.
fn sequential(directory: &Path) {
    let store = open(directory, "sequential");
    commit(&store, vec![command(vec![], vec![insert_run(run_row(1), status(State::Running))])]);
    let start = Instant::now();
    let times = timed(2_000, |number| commit(&store, vec![append(1, number + 1)]));
    let per_second = 2_000.0 / start.elapsed().as_secs_f64();
    report("one step a commit", &format!("{}  {per_second:.0} commits/s", quantiles(times)));
}

fn append(number: u64, seq: u64) -> Command {
    let records = vec![record(seq)];
    command(
        vec![Check::RunAssignment(run(number), 0)],
        vec![Change::AppendRecords(run(number), records)],
    )
}

/// A thousand runs, a step of each in every batch; and long appends to one run.
fn batches(directory: &Path) {
    let store = open(directory, "batches");
    let start = Instant::now();
    for first in 0..10_u64 {
        let insert = |number| {
            let checks = vec![Check::RunAbsent(run(number))];
            command(checks, vec![insert_run(run_row(number), status(State::Running))])
        };
        commit(&store, (first * 100..first * 100 + 100).map(insert).collect());
    }
    rate("start of runs, 100 a commit", 1_000, start);

    let prepared: Vec<Vec<_>> =
        (1..=200).map(|seq| (0..1_000).map(|number| append(number, seq)).collect()).collect();
    let start = Instant::now();
    prepared.into_iter().for_each(|commands| commit(&store, commands));
    rate("steps of 1,000 runs, 1,000 a commit", 200_000, start);

    let prepared: Vec<_> = (0..200_u64)
        .map(|turn| {
            let records: Vec<RecordRow> =
                (1..=1_000).map(|seq| record(1_000 * (turn + 1) + seq)).collect();
            vec![command(vec![], vec![Change::AppendRecords(run(turn % 10), records)])]
        })
        .collect();
    let start = Instant::now();
    prepared.into_iter().for_each(|commands| commit(&store, commands));
    rate("records of one run, 1,000 a command", 200_000, start);

    let update = |number| {
        let change = Change::UpdateRun(run(number), Box::new(status(State::Waiting)));
        command(vec![Check::RunAssignment(run(number), 0)], vec![change])
    };
    let start = Instant::now();
    commit(&store, (0..1_000).map(update).collect());
    rate("changes of status, 1,000 a commit", 1_000, start);
}

fn rate(name: &str, rows: u32, start: Instant) {
    let elapsed = start.elapsed();
    let per_second = f64::from(rows) / elapsed.as_secs_f64();
    report(name, &format!("{per_second:>9.0} rows/s  {:.2?} a row", elapsed / rows));
}

/// Values of 64 KB.
fn large_values(directory: &Path) {
    let store = open(directory, "large");
    let text = format!("\"{}\"", "x".repeat(64 << 10));
    let fat = |seq| {
        let mut record = record(seq);
        record.record.value = Some(value(&text));
        record
    };
    let prepared: Vec<Vec<_>> = (1..=20)
        .map(|seq| {
            let one = |number| Change::AppendRecords(run(number), vec![fat(seq)]);
            (0..100).map(|number| command(vec![], vec![one(number)])).collect()
        })
        .collect();
    let start = Instant::now();
    prepared.into_iter().for_each(|commands| commit(&store, commands));
    rate("steps with 64 KB each, 100 a commit", 2_000, start);
}

/// What the engine reads to go on with a run of 10,000 records.
fn replay(directory: &Path) {
    let store = open(directory, "replay");
    for turn in 0..10_u64 {
        let records = (turn * 1_000 + 1..=turn * 1_000 + 1_000).map(record).collect();
        commit(&store, vec![command(vec![], vec![Change::AppendRecords(run(1), records)])]);
    }
    let ns = Namespace::default();
    let start = Instant::now();
    store.journal_marks(&ns, run(1)).unwrap();
    report("marks of 10,000 records", &format!("{:.2?}", start.elapsed()));
    let start = Instant::now();
    let (mut seq, mut pages) = (0, 0);
    let stretch =
        |after| Stretch { after, upto: u64::MAX, bytes_max: 256 << 10, value_bytes_max: 32 << 10 };
    while let Some(last) = store.replay_page(&ns, run(1), stretch(seq)).unwrap().last() {
        (seq, pages) = (last.seq, pages + 1);
    }
    report("10,000 records in pages", &format!("{:.2?} ({pages} pages)", start.elapsed()));
    let times = timed(2_000, |_| drop(store.run(&ns, run(9)).unwrap()));
    report("a read that finds nothing", &quantiles(times));
}

/// What a start reads where 100,000 runs are parked.
fn parked(directory: &Path) {
    let store = open(directory, "parked");
    let start = Instant::now();
    for first in 0..100 {
        let park = |number| {
            let due = timer(NOW + number, run(number), TimerKind::Until, "t");
            let insert = insert_run(run_row(number), status(State::Waiting));
            command(vec![], vec![insert, Change::PutTimer(due)])
        };
        commit(&store, (first * 1_000..first * 1_000 + 1_000).map(park).collect());
    }
    rate("parked runs with a timer, 1,000 a commit", 100_000, start);
    drop(store);
    let start = Instant::now();
    let store = open(directory, "parked");
    report("open with 100,000 parked runs", &format!("{:.2?}", start.elapsed()));
    store.ready_runs().unwrap();
    store.running_runs().unwrap();
    store.queues().unwrap();
    store.timers(None, 1_000).unwrap();
    report("the same, and what an engine loads", &format!("{:.2?}", start.elapsed()));
    let ns = Namespace::default();
    let page = PageRequest { cursor: None, limit: 50 };
    let filter = polos_protocol::rest::RunFilter {
        state: vec![State::Blocked],
        ..polos_protocol::rest::RunFilter::default()
    };
    let start = Instant::now();
    store.runs(&ns, &filter, &page).unwrap();
    report("the blocked ones among them", &format!("{:.2?}", start.elapsed()));
}
