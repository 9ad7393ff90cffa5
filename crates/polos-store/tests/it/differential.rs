//! Random batches against `SQLite` and the model: the same outcomes, the same pictures.

use polos_protocol::record::{Placement, RunOptions};
use polos_protocol::rest::ApprovalState;
use polos_protocol::{Failure, Kind, Namespace, RunId, State, StepKey};
use polos_store::row::{EventRow, RunRow, RunStatus, SignalRow, TimerKind, TimerRow, WaiterRow};
use polos_store::sqlite::{Options, Store as Sqlite};
use polos_store::{Batch, Change, Check, Command, CommitError, Store};
use polos_testkit::store::Memory;
use polos_testkit::store::picture::{self, Universe};
use polos_testkit::store::sample::{
    self, NOW, approval, approval_row, key, namespace, record, run, run_row, session, status,
};
use proptest::prelude::*;
use proptest::sample::select;

/// A few of everything, so that things meet.
const RUNS: u64 = 5;

fn runs() -> impl Strategy<Value = RunId> {
    (1..=RUNS).prop_map(run)
}

fn names() -> impl Strategy<Value = String> {
    select(vec!["work0", "work1", "queue0", "k"]).prop_map(str::to_owned)
}

fn keys() -> impl Strategy<Value = StepKey> {
    select(vec![key("step1"), key("step2"), key("ü/#%"), StepKey::run()])
}

fn times() -> impl Strategy<Value = u64> {
    (0..6_u64).prop_map(|offset| NOW + offset)
}

fn states() -> impl Strategy<Value = State> {
    select(State::ALL.to_vec())
}

fn statuses() -> impl Strategy<Value = RunStatus> {
    let code = select(vec!["boom", "k"]);
    (states(), 0..3_u64, times(), proptest::option::of(code), any::<[bool; 3]>()).prop_map(
        |(state, assignment, time, code, [build, alone, any_build])| RunStatus {
            assignment,
            since_ms: time,
            ended_ms: state.is_ended().then_some(time),
            error: code.map(|code| Failure::new(code, "größer \"oder\" \\ kleiner")),
            build: build.then(|| "k".into()),
            build_seen_ms: time,
            alone,
            any_build,
            ..status(state)
        },
    )
}

fn rows() -> impl Strategy<Value = RunRow> {
    let relation = (proptest::option::of(1..=RUNS), any::<bool>());
    let options = (proptest::option::of(names()), any::<[bool; 2]>(), -2..3_i32);
    (1..=RUNS, relation, options, proptest::option::of(names()), times()).prop_map(
        |(number, (parent, detached), (label, [pin, require], priority), start_key, created_ms)| {
            let own = run_row(number);
            let parent = parent.filter(|parent| *parent < number);
            let labels = label.iter().map(|label| ("tier".to_owned(), label.clone())).collect();
            let placement = label.map(|key| Placement { key, require });
            RunRow {
                root: run(parent.unwrap_or(number)),
                parent: parent.map(run),
                detached: detached && parent.is_some(),
                options: RunOptions { labels, placement, pin, priority, ..own.options },
                start_key,
                created_ms,
                ..own
            }
        },
    )
}

fn records() -> impl Strategy<Value = Change> {
    let one = (keys(), select(Kind::ALL.to_vec()), any::<[bool; 3]>(), 0..3_u64);
    (runs(), 1..12_u64, prop::collection::vec(one, 1..4)).prop_map(|(run, from, parts)| {
        let rows = (from..).zip(parts).map(|(seq, (key, kind, [value, error, detail], n))| {
            let mut row = record(seq);
            row.assignment = n;
            row.record.key = key;
            row.record.kind = kind;
            row.record.n = n * 7;
            row.record.value = row.record.value.filter(|_| value);
            row.record.error = error.then(|| Failure::new("boom", "größer \"oder\" \\ \n"));
            row.record.detail =
                detail.then(|| serde_json::value::to_raw_value("d").unwrap().into());
            row
        });
        Change::AppendRecords(run, rows.collect())
    })
}

fn run_changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (rows(), statuses()).prop_map(|(row, status)| sample::insert_run(row, status)),
        4 => (runs(), statuses()).prop_map(|(run, status)| Change::UpdateRun(run, Box::new(status))),
        4 => records(),
        1 => runs().prop_map(Change::DeleteRun),
        1 => times().prop_map(Change::DeleteStartKeysBefore),
    ]
}

fn wait_changes() -> impl Strategy<Value = Change> {
    let kinds = || select(vec![TimerKind::Open, TimerKind::Until, TimerKind::RunDeadline]);
    let waiters = || {
        (names(), runs(), keys()).prop_map(|(topic, run, key)| WaiterRow {
            namespace: Namespace::default(),
            topic,
            run,
            key,
        })
    };
    let events = (names(), 1..5_u64, proptest::option::of(names()), times());
    prop_oneof![
        (times(), runs(), kinds(), keys()).prop_map(|(at, run, kind, key)| {
            Change::PutTimer(TimerRow { at, namespace: Namespace::default(), run, kind, key })
        }),
        (runs(), kinds(), keys()).prop_map(|(run, kind, key)| Change::DeleteTimer(run, kind, key)),
        runs().prop_map(Change::DeleteTimers),
        waiters().prop_map(Change::PutWaiter),
        waiters().prop_map(Change::DeleteWaiter),
        runs().prop_map(Change::DeleteWaiters),
        events.prop_map(|(topic, position, key, at)| {
            Change::InsertEvent(EventRow { key, at, ..sample::event_row(&topic, position) })
        }),
        times().prop_map(Change::DeleteEventsBefore),
        (runs(), 1..4_u64).prop_map(|(run, position)| {
            Change::InsertSignal(sample::signal_row(run, position))
        }),
        (runs(), 1..4_u64, any::<bool>())
            .prop_map(|(run, position, consumed)| Change::MarkSignal(run, position, consumed)),
    ]
}

fn other_changes() -> impl Strategy<Value = Change> {
    let answers = select(vec![ApprovalState::Pending, ApprovalState::Approved]);
    prop_oneof![
        (1..4_u64, runs(), answers, times()).prop_map(|(number, run, state, created_ms)| {
            let mut row = approval_row(number, run);
            (row.approval.state, row.approval.created_ms) = (state, created_ms);
            Change::PutApproval(Box::new(row))
        }),
        (1..4_u64, times()).prop_map(|(number, time)| {
            let mut row = sample::session_row(number);
            row.session.updated_ms = time;
            Change::PutSession(Box::new(row))
        }),
        names().prop_map(|name| Change::PutQueue(sample::queue_row(&name))),
        names().prop_map(|name| Change::InsertAudit(sample::audit_row(&name))),
        (names(), runs()).prop_map(|(name, run)| Change::PutBlob {
            hash: name.as_str().into(),
            text: "[]".into(),
            run,
        }),
        (runs(), 1..5_u64)
            .prop_map(|(run, place)| Change::AppendStream(vec![sample::stream_row(run, place)])),
        (names(), times()).prop_map(|(name, time)| Change::PutBuild(name.as_str().into(), time)),
        (1..4_u64).prop_map(|number| Change::InsertApiKey(Box::new(sample::api_key_row(number)))),
        (1..4_u64, times())
            .prop_map(|(number, time)| Change::RevokeApiKey(sample::api_key(number), time)),
    ]
}

fn checks() -> impl Strategy<Value = Check> {
    prop_oneof![
        runs().prop_map(Check::RunAbsent),
        (runs(), 0..3_u64).prop_map(|(run, assignment)| Check::RunAssignment(run, assignment)),
        (names(), names()).prop_map(|(workflow, key)| Check::StartKeyAbsent { workflow, key }),
        (names(), names()).prop_map(|(topic, key)| Check::EventKeyAbsent { topic, key }),
        (1..4_u64).prop_map(|number| Check::ApprovalPending(approval(number))),
        (runs(), 1..4_u64).prop_map(|(run, position)| Check::SignalPending(run, position)),
    ]
}

/// Puts a change into a namespace; most rows name theirs again.
fn place(change: Change, ns: &Namespace) -> Change {
    match change {
        Change::InsertRun(row, status) => {
            Change::InsertRun(RunRow { namespace: ns.clone(), ..(*row).clone() }.into(), status)
        }
        Change::PutTimer(row) => Change::PutTimer(TimerRow { namespace: ns.clone(), ..row }),
        Change::PutWaiter(row) => Change::PutWaiter(WaiterRow { namespace: ns.clone(), ..row }),
        Change::InsertEvent(row) => Change::InsertEvent(EventRow { namespace: ns.clone(), ..row }),
        Change::InsertSignal(row) => {
            Change::InsertSignal(SignalRow { namespace: ns.clone(), ..row })
        }
        Change::AppendStream(mut rows) => {
            for row in &mut rows {
                row.namespace = ns.clone();
            }
            Change::AppendStream(rows)
        }
        Change::PutApproval(mut row) => {
            row.namespace = ns.clone();
            Change::PutApproval(row)
        }
        Change::PutSession(mut row) => {
            row.namespace = ns.clone();
            Change::PutSession(row)
        }
        Change::PutQueue(mut row) => {
            row.namespace = ns.clone();
            Change::PutQueue(row)
        }
        Change::InsertAudit(mut row) => {
            row.namespace = ns.clone();
            Change::InsertAudit(row)
        }
        Change::InsertApiKey(mut row) => {
            row.key.namespace = ns.clone();
            Change::InsertApiKey(row)
        }
        other => other,
    }
}

fn commands() -> impl Strategy<Value = Command> {
    let change = prop_oneof![3 => run_changes(), 2 => wait_changes(), 1 => other_changes()];
    let changes = prop::collection::vec(change, 1..4);
    let names = select(vec![Namespace::default(), Namespace::default(), namespace("other")]);
    (names, prop::collection::vec(checks(), 0..2), changes).prop_map(
        |(namespace, checks, changes)| {
            let changes = changes.into_iter().map(|change| place(change, &namespace)).collect();
            Command { namespace, checks, changes }
        },
    )
}

fn universe() -> Universe {
    Universe {
        namespaces: vec![Namespace::default(), namespace("other")],
        runs: (1..=RUNS).map(run).collect(),
        names: ["work0", "work1", "queue0", "queue1", "k", "boom"].map(str::to_owned).to_vec(),
        approvals: (1..4).map(approval).collect(),
        sessions: (0..4).map(session).collect(),
        keys: vec![key("step1"), key("ü/#%"), StepKey::run()],
        times: vec![0, NOW, NOW + 2, NOW + 9],
    }
}

fn assert_same(sqlite: &Sqlite, memory: &Memory) {
    let [left, right] =
        [sqlite as &dyn Store, memory].map(|store| picture::of(store, &universe()).unwrap());
    for (left, right) in left.lines().zip(right.lines()) {
        assert_eq!(left, right, "SQLite on the left, the model on the right");
    }
    assert_eq!(left.len(), right.len());
}

fn commit(store: &dyn Store, commands: &[Command]) -> Result<Vec<polos_store::Outcome>, String> {
    let batch = Batch { owner: store.incarnation(), commands: commands.to_vec() };
    store.commit(batch).map_err(|error| match error {
        CommitError::Fatal(_) => "contradiction".to_owned(),
        other => other.to_string(),
    })
}

/// A dozen for the daily run; `PROPTEST_CASES` for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").map_or(12, |cases| cases.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn both_stores_hold_the_same(commands in prop::collection::vec(commands(), 60)) {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(directory.path(), Options::default()).unwrap();
        let memory = Memory::new();
        let mut contradiction = None;
        for batch in commands.chunks(3) {
            let before = memory.snapshot();
            let expected = commit(&memory, batch);
            if expected.is_err() {
                // It ends a store's life, so it comes last.
                memory.restore(&before);
                contradiction = Some(batch);
                continue;
            }
            prop_assert_eq!(commit(&sqlite, batch), expected);
        }
        assert_same(&sqlite, &memory);
        // It may be none any more: the rows that it met may be gone.
        if let Some(batch) = contradiction {
            prop_assert_eq!(commit(&sqlite, batch), commit(&memory, batch));
            assert_same(&sqlite, &memory);
        }
    }
}
