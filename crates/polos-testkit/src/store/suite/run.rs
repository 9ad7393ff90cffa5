//! Runs: what is kept of them and how they are found.

use crate::store::sample::{
    NOW, apply, child_row, insert_run, key, namespace, run, run_row, session, status, value, worker,
};
use polos_protocol::frame::{Lost, Previous, Settled};
use polos_protocol::record::{Placement, RunOptions};
use polos_protocol::rest::RunFilter;
use polos_protocol::value::BlobRef;
use polos_protocol::{Blocked, Failure, Namespace, RunId, State, Value, Wait};
use polos_store::read::PageRequest;
use polos_store::row::{Cancelling, Run, RunRow, RunStatus};
use polos_store::{Batch, Change, Command, Store};

fn read(store: &dyn Store, id: RunId) -> Run {
    store.run(&Namespace::default(), id).unwrap().unwrap()
}

fn found(store: &dyn Store, filter: &RunFilter) -> Vec<RunId> {
    let page = PageRequest { cursor: None, limit: 100 };
    let page = store.runs(&Namespace::default(), filter, &page).unwrap();
    page.items.iter().map(|run| run.row.id).collect()
}

/// No field is lost, whether it is set or not.
pub fn a_run_reads_back_as_it_was_written(store: &dyn Store) {
    let plain = run_row(1);
    let rich = RunRow {
        kind: polos_protocol::DefinitionKind::Agent,
        start_key: Some("k".into()),
        detached: true,
        forked_from: Some(run(7)),
        options: RunOptions {
            queue: Some("q".into()),
            placement: Some(Placement { key: "sbx".into(), require: true }),
            deadline_ms: Some(NOW + 5),
            timeout_ms: Some(9),
            pin: true,
            traceparent: Some("00-ab".into()),
            ..plain.options.clone()
        },
        ..child_row(2, &plain)
    };
    let bare = RunRow { options: RunOptions::default(), ..run_row(3) };
    for row in [plain, rich, bare] {
        let status = status(State::Queued);
        apply(store, vec![insert_run(row.clone(), status.clone())]);
        assert_eq!(read(store, row.id), Run { row: row.into(), status });
    }
    assert_eq!(store.run(&Namespace::default(), run(9)).unwrap(), None);
}

fn full_status() -> RunStatus {
    let failure = Failure {
        kind: Some("ValueError".into()),
        cause: Some(Box::new(Failure::new("inner", "deep"))),
        details: Some(serde_json::json!([1, null])),
        ..Failure::new("boom", "it went off").terminal()
    };
    RunStatus {
        slot: Some(run(1)),
        state: State::Blocked,
        since_ms: NOW + 3,
        assignment: 4,
        worker: Some(worker(2)),
        build: Some("b2".into()),
        build_seen_ms: NOW,
        deaths: 1,
        alone: true,
        wait: Some(Wait::Any(vec![Wait::Key(key("a")), Wait::Until(NOW)])),
        why: Some("waits for `a`".into()),
        cursors: [("topic".to_owned(), 5)].into(),
        given_back: [("topic".to_owned(), [2, 3].into())].into(),
        output: Some(value(r#"{"out":1}"#)),
        error: Some(failure.clone()),
        failed_step: Some(key("bad")),
        blocked: Some(Blocked {
            code: "uncaught_error".into(),
            message: "nobody caught it".into(),
            hint: "resume".into(),
            step: Some("bad".into()),
            difference: None,
            failure: Some(failure),
            since: NOW,
        }),
        cancelling: Some(Cancelling {
            by: "ada".into(),
            reason: Some("late".into()),
            code: "cancelled".into(),
            at: NOW,
            deadline_ms: NOW + 30_000,
        }),
        previous: Some(Previous { dead: true, lease_end_ms: NOW }),
        lost: vec![Lost { assignment: 2, lease_end_ms: NOW }],
        started_ms: Some(NOW + 1),
        ended_ms: Some(NOW + 2),
        people_ms: 77,
        key_generation: 2,
        settled: vec![Settled { key: key("s"), done: Some(Value::null()), by: "ada".into() }],
        accepted: vec![key("x")],
        any_build: true,
    }
}

/// A status is replaced by the next one as a whole.
pub fn a_status_is_rewritten_whole(store: &dyn Store) {
    apply(store, vec![insert_run(run_row(1), status(State::Queued))]);
    for status in [full_status(), status(State::Waiting)] {
        apply(store, vec![Change::UpdateRun(run(1), Box::new(status.clone()))]);
        let run = read(store, run(1));
        assert_eq!(run.status, status);
        assert_eq!(*run.row, run_row(1));
    }
}

/// Values come back to the letter, inline, by reference or in a user's codec.
pub fn values_keep_their_form(store: &dyn Store) {
    let reference = BlobRef { hash: "ab".into(), size: 3 };
    let values = [
        value(r#"{"b":1,  "a":[9007199254740993,1.0,-0.0,1e400]}"#),
        Value::null(),
        value("\"\""),
        value(r#""\u0000 und ü 😀""#),
        value("\"sealed\"").with_codec("aes"),
        Value::from_reference(reference.clone()),
        Value::from_reference(reference).with_codec("aes"),
        serde_json::from_str("{}").unwrap(),
    ];
    for (number, input) in (1..).zip(values) {
        let row = RunRow { input: input.clone(), ..run_row(number) };
        apply(store, vec![insert_run(row, status(State::Queued))]);
        let back = read(store, run(number));
        let text = |value: &Value| serde_json::to_string(value).unwrap();
        assert_eq!(text(&back.row.input), text(&input));
    }
}

/// A start key is scoped to its workflow.
pub fn a_start_key_finds_its_run(store: &dyn Store) {
    let with_key = |number, workflow: &str| {
        let row =
            RunRow { start_key: Some("k".into()), workflow: workflow.into(), ..run_row(number) };
        insert_run(row, status(State::Queued))
    };
    apply(store, vec![with_key(1, "a"), with_key(2, "b")]);
    let ns = Namespace::default();
    assert_eq!(store.start_key(&ns, "a", "k").unwrap(), Some(run(1)));
    assert_eq!(store.start_key(&ns, "b", "k").unwrap(), Some(run(2)));
    assert_eq!(store.start_key(&ns, "c", "k").unwrap(), None);
    assert_eq!(store.start_key(&namespace("other"), "a", "k").unwrap(), None);
}

/// Queued runs come with all that the scheduler needs.
pub fn what_the_scheduler_sees(store: &dyn Store) {
    let placement = Some(Placement { key: "sbx".into(), require: false });
    let options = RunOptions { placement, pin: true, ..run_row(1).options };
    let row = RunRow { options, ..run_row(1) };
    let again = RunStatus {
        build: Some("b1".into()),
        build_seen_ms: NOW,
        alone: true,
        started_ms: Some(NOW),
        ..status(State::Queued)
    };
    let free = RunStatus { any_build: true, ..again.clone() };
    apply(
        store,
        vec![
            insert_run(row.clone(), again),
            insert_run(run_row(2), status(State::Queued)),
            insert_run(run_row(3), status(State::Running)),
            insert_run(run_row(4), free),
        ],
    );
    let ready = store.ready_runs().unwrap();
    let ids: Vec<_> = ready.iter().map(|ready| ready.run).collect();
    assert_eq!(ids, [run(1), run(2), run(4)]);
    let (old, new, free) = (&ready[0], &ready[1], &ready[2]);
    assert_eq!(old.build, Some(("b1".into(), NOW, true)));
    assert_eq!(old.placement, Some(("sbx".into(), false)));
    assert_eq!((old.priority, old.resumed, old.alone), (row.options.priority, true, true));
    assert_eq!((&old.queue, &old.workflow), (&row.queue, &row.workflow));
    assert_eq!(old.concurrency_key, row.options.concurrency_key);
    assert_eq!((&new.build, new.resumed, new.alone), (&None, false, false));
    assert_eq!(free.build, None, "any build will do");
}

/// By state.
pub fn running_runs_are_found(store: &dyn Store) {
    let changes = (1..).zip(State::ALL).map(|(number, state)| {
        insert_run(RunRow { queue: "q".into(), ..run_row(number) }, status(state))
    });
    apply(store, changes.collect());
    apply(store, vec![insert_run(run_row(8), status(State::Waiting))]);
    let ns = Namespace::default();
    let numbered = |state| 1 + State::ALL.iter().position(|one| *one == state).unwrap() as u64;
    assert_eq!(store.running_runs().unwrap(), [(ns, run(numbered(State::Running)))]);
}

/// Whatever their state; a run that gives its slot back is not among them.
pub fn runs_that_keep_their_slot_are_found(store: &dyn Store) {
    let row = RunRow { queue: "q".into(), ..run_row(1) };
    let keeps = RunStatus { slot: Some(run(1)), ..status(State::Waiting) };
    let child = RunRow { queue: "q".into(), ..child_row(2, &row) };
    apply(
        store,
        vec![
            insert_run(row.clone(), keeps.clone()),
            insert_run(child, RunStatus { slot: Some(run(1)), ..status(State::Queued) }),
            insert_run(run_row(3), status(State::Waiting)),
        ],
    );
    let kept = store.kept_slots().unwrap();
    let slots: Vec<_> = kept.iter().map(|kept| (kept.run, kept.slot)).collect();
    assert_eq!(slots, [(run(1), run(1)), (run(2), run(1))]);
    assert_eq!(
        (&kept[0].queue, &kept[0].concurrency_key),
        (&row.queue, &row.options.concurrency_key)
    );
    apply(store, vec![Change::UpdateRun(run(1), Box::new(RunStatus { slot: None, ..keeps }))]);
    assert_eq!(store.kept_slots().unwrap().len(), 1);
}

/// Detached children count, but nobody waits for them.
pub fn children_are_counted_and_the_living_found(store: &dyn Store) {
    let parent = run_row(1);
    let detached = RunRow { detached: true, ..child_row(4, &parent) };
    let grandchild = child_row(5, &child_row(2, &parent));
    apply(
        store,
        vec![
            insert_run(parent.clone(), status(State::Waiting)),
            insert_run(child_row(2, &parent), status(State::Running)),
            insert_run(child_row(3, &parent), status(State::Failed)),
            insert_run(detached, status(State::Running)),
            insert_run(grandchild, status(State::Queued)),
        ],
    );
    let ns = Namespace::default();
    assert_eq!(store.living_children(&ns, run(1)).unwrap(), [run(2)]);
    assert_eq!(store.living_children(&ns, run(2)).unwrap(), [run(5)]);
    assert_eq!(store.child_count(&ns, run(1)).unwrap(), 3);
    assert_eq!(store.child_count(&ns, run(5)).unwrap(), 0);
}

/// Each field of a filter, and two together.
pub fn filters_take_what_they_name(store: &dyn Store) {
    let parent = run_row(1);
    apply(
        store,
        vec![
            insert_run(parent.clone(), status(State::Failed)),
            insert_run(child_row(2, &parent), full_status()),
            insert_run(run_row(3), status(State::Queued)),
        ],
    );
    let all = RunFilter::default;
    let some = |text: &str| Some(text.to_owned());
    let check = |filter: RunFilter, expected: &[u64]| {
        let expected: Vec<_> = expected.iter().map(|number| run(*number)).collect();
        assert_eq!(found(store, &filter), expected, "{filter:?}");
    };
    check(all(), &[3, 2, 1]);
    check(RunFilter { state: vec![State::Queued], ..all() }, &[3]);
    check(RunFilter { state: vec![State::Failed, State::Blocked], ..all() }, &[2, 1]);
    check(RunFilter { workflow: some("work1"), ..all() }, &[3, 1]);
    check(RunFilter { build: some("b2"), ..all() }, &[2]);
    check(RunFilter { error: some("boom"), ..all() }, &[1]);
    check(RunFilter { error: some("uncaught_error"), ..all() }, &[2]);
    check(RunFilter { queue: some("queue0"), ..all() }, &[2]);
    check(RunFilter { session: Some(session(0)), ..all() }, &[2]);
    check(RunFilter { parent: Some(run(1)), ..all() }, &[2]);
    check(RunFilter { root: Some(run(1)), ..all() }, &[2, 1]);
    check(RunFilter { root: Some(run(2)), ..all() }, &[]);
    check(RunFilter { roots_only: true, ..all() }, &[3, 1]);
    let labels = [("tier".to_owned(), "t0".to_owned())].into();
    check(RunFilter { labels, ..all() }, &[2]);
    check(RunFilter { created_from_ms: Some(NOW + 2), ..all() }, &[3, 2]);
    check(RunFilter { created_to_ms: Some(NOW + 2), ..all() }, &[1]);
    let both = RunFilter { roots_only: true, workflow: some("work1"), ..all() };
    check(RunFilter { state: vec![State::Queued], ..both }, &[3]);
}

/// Names and values of labels are only compared.
pub fn labels_may_hold_anything(store: &dyn Store) {
    let odd = r#"a.b"c'[0]$\ ü%_"#;
    let labels = |value: &str| [(odd.to_owned(), value.to_owned())].into();
    let options = RunOptions { labels: labels(odd), ..RunOptions::default() };
    apply(store, vec![insert_run(RunRow { options, ..run_row(1) }, status(State::Queued))]);
    let filter = |value| RunFilter { labels: labels(value), ..RunFilter::default() };
    assert_eq!(found(store, &filter(odd)), [run(1)]);
    assert_eq!(found(store, &filter("%")), []);
}

/// A child's id has its parent's time; the list goes by the time it was made.
pub fn a_list_is_newest_first(store: &dyn Store) {
    let parent = run_row(1);
    let id = RunId::derived(parent.id.bytes(), "child");
    let child = RunRow { id, created_ms: NOW + 9, ..child_row(2, &parent) };
    let rows = [parent, run_row(5), child];
    apply(store, rows.map(|row| insert_run(row, status(State::Queued))).to_vec());
    assert_eq!(found(store, &RunFilter::default()), [id, run(5), run(1)]);
}

/// The same ids, keys and names in another namespace are others.
pub fn namespaces_are_apart(store: &dyn Store) {
    for (name, state) in [("b", State::Running), ("a", State::Queued)] {
        let namespace = namespace(name);
        let row =
            RunRow { namespace: namespace.clone(), start_key: Some("k".into()), ..run_row(1) };
        let commands = vec![Command {
            namespace,
            checks: vec![polos_store::Check::RunAbsent(run(1))],
            changes: vec![insert_run(row, status(state))],
        }];
        let batch = Batch { owner: store.incarnation(), commands };
        assert_eq!(store.commit(batch).unwrap(), [polos_store::Outcome::Applied]);
    }
    let (a, b) = (namespace("a"), namespace("b"));
    assert_eq!(store.run(&a, run(1)).unwrap().unwrap().status.state, State::Queued);
    assert_eq!(store.run(&b, run(1)).unwrap().unwrap().status.state, State::Running);
    assert_eq!(store.run(&Namespace::default(), run(1)).unwrap(), None);
    assert_eq!(store.namespaces().unwrap(), [a.clone(), b.clone()]);
    assert_eq!(store.ready_runs().unwrap()[0].namespace, a);
    assert_eq!(store.running_runs().unwrap(), [(b, run(1))]);
}
