//! Batches: checks, order, the fence, and what is never half done.

use crate::store::sample::{
    apply, approval, approval_row, command, commit, event_row, insert_run, record, run, run_row,
    signal_row, status,
};
use polos_protocol::{Namespace, State};
use polos_store::{Batch, Change, Check, CommitError, Outcome, Store};

/// A failed check costs its own command only.
pub fn a_command_that_is_refused_changes_nothing_and_spares_its_neighbours(store: &dyn Store) {
    let insert = |number| insert_run(run_row(number), status(State::Queued));
    let outcomes = commit(
        store,
        vec![
            command(vec![Check::RunAbsent(run(1))], vec![insert(1)]),
            command(
                vec![Check::RunAbsent(run(2)), Check::RunAssignment(run(1), 7)],
                vec![insert(2), Change::AppendRecords(run(1), vec![record(1)])],
            ),
            command(vec![Check::RunAbsent(run(3))], vec![insert(3)]),
        ],
    );
    assert_eq!(outcomes.unwrap(), [Outcome::Applied, Outcome::Refused(1), Outcome::Applied]);
    let ns = Namespace::default();
    assert!(store.run(&ns, run(1)).unwrap().is_some());
    assert!(store.run(&ns, run(2)).unwrap().is_none());
    assert!(store.run(&ns, run(3)).unwrap().is_some());
    assert!(store.journal_marks(&ns, run(1)).unwrap().is_empty());
}

/// The second start with one id is refused within one batch.
pub fn later_commands_see_what_earlier_ones_changed(store: &dyn Store) {
    let mut assigned = status(State::Running);
    assigned.assignment = 1;
    let outcomes = commit(
        store,
        vec![
            command(vec![], vec![insert_run(run_row(1), status(State::Queued))]),
            command(vec![Check::RunAbsent(run(1))], vec![]),
            command(
                vec![Check::RunAssignment(run(1), 0)],
                vec![Change::UpdateRun(run(1), Box::new(assigned))],
            ),
            command(vec![Check::RunAssignment(run(1), 0)], vec![]),
            command(vec![Check::RunAssignment(run(1), 1)], vec![]),
        ],
    );
    let refused = Outcome::Refused(0);
    let expected = [Outcome::Applied, refused.clone(), Outcome::Applied, refused, Outcome::Applied];
    assert_eq!(outcomes.unwrap(), expected);
}

/// Every check, holding and failing.
pub fn the_check_that_failed_is_named(store: &dyn Store) {
    let mut started = run_row(1);
    started.start_key = Some("k".into());
    let mut event = event_row("topic", 1);
    event.key = Some("k".into());
    apply(
        store,
        vec![
            insert_run(started, status(State::Queued)),
            Change::InsertEvent(event),
            Change::InsertSignal(signal_row(run(1), 1)),
            Change::PutApproval(Box::new(approval_row(1, run(1)))),
        ],
    );
    let start_key = |workflow: &str, key: &str| Check::StartKeyAbsent {
        workflow: workflow.into(),
        key: key.into(),
    };
    let event_key =
        |topic: &str, key: &str| Check::EventKeyAbsent { topic: topic.into(), key: key.into() };
    let pairs = [
        (Check::RunAbsent(run(2)), Check::RunAbsent(run(1))),
        (Check::RunAssignment(run(1), 0), Check::RunAssignment(run(1), 1)),
        (Check::RunAssignment(run(1), 0), Check::RunAssignment(run(2), 0)),
        (start_key("work0", "k"), start_key("work1", "k")),
        (start_key("work1", "other"), start_key("work1", "k")),
        (Check::ApprovalPending(approval(1)), Check::ApprovalPending(approval(2))),
        (event_key("topic", "other"), event_key("topic", "k")),
        (event_key("other", "k"), event_key("topic", "k")),
        (Check::SignalPending(run(1), 1), Check::SignalPending(run(1), 2)),
    ];
    for (holds, fails) in pairs {
        let both = command(vec![holds.clone(), fails.clone()], vec![]);
        let outcomes = commit(store, vec![command(vec![holds], vec![]), both]).unwrap();
        assert_eq!(outcomes, [Outcome::Applied, Outcome::Refused(1)], "{fails:?}");
    }
}

/// Only the current incarnation writes.
pub fn another_owner_is_fenced_off(store: &dyn Store) {
    let insert = insert_run(run_row(1), status(State::Queued));
    for owner in [store.incarnation() - 1, store.incarnation() + 1] {
        let batch = Batch { owner, commands: vec![command(vec![], vec![insert.clone()])] };
        assert!(matches!(store.commit(batch), Err(CommitError::Fenced(_))));
    }
    assert_eq!(store.run(&Namespace::default(), run(1)).unwrap(), None);
}

/// What cannot be is an error of the whole batch, and nothing of it stays.
pub fn a_contradiction_undoes_the_whole_batch(store: &dyn Store) {
    let ghost = Change::UpdateRun(run(2), Box::new(status(State::Running)));
    let batch = vec![
        command(vec![], vec![insert_run(run_row(1), status(State::Queued))]),
        command(vec![], vec![Change::AppendRecords(run(1), vec![record(1)]), ghost]),
    ];
    let error = commit(store, batch).unwrap_err();
    assert!(matches!(&error, CommitError::Fatal(message) if message.contains("no run")), "{error}");
    assert_eq!(store.run(&Namespace::default(), run(1)).unwrap(), None);
    assert!(store.journal(&Namespace::default(), run(1), 0, 1).unwrap().is_empty());
}

/// No commands, no outcomes.
pub fn an_empty_batch_is_fine(store: &dyn Store) {
    assert_eq!(commit(store, vec![]).unwrap(), []);
    assert_eq!(commit(store, vec![command(vec![], vec![])]).unwrap(), [Outcome::Applied]);
    assert_eq!(store.topic_head(&Namespace::default(), "none").unwrap(), 0);
    assert!(store.timers(None, 10).unwrap().is_empty());
}
