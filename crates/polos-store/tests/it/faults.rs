//! The model's own means: snapshots and faults on order.

use polos_protocol::{Namespace, State};
use polos_store::{Batch, CommitError, Read as _, Store as _};
use polos_testkit::store::sample::{apply, command, commit, insert_run, run, run_row, status};
use polos_testkit::store::{Fault, Memory};

fn insert(store: &Memory, number: u64) -> Result<Vec<polos_store::Outcome>, CommitError> {
    let change = insert_run(run_row(number), status(State::Queued));
    commit(store, vec![command(vec![], vec![change])])
}

fn holds(store: &Memory, number: u64) -> bool {
    store.run(&Namespace::default(), run(number)).unwrap().is_some()
}

#[test]
fn commits_fail_on_order() {
    let store = Memory::new();
    let mut commits = 0;
    store.set_plan(move |_| {
        commits += 1;
        match commits {
            1 => Fault::Refuse(CommitError::Unavailable("full".into())),
            2 => Fault::Lose,
            _ => Fault::None,
        }
    });
    assert_eq!(insert(&store, 1), Err(CommitError::Unavailable("full".into())));
    assert!(!holds(&store, 1));
    assert!(matches!(insert(&store, 2), Err(CommitError::Unknown(_))));
    assert!(holds(&store, 2), "written, though nobody was told");
    insert(&store, 3).unwrap();
    store.set_plan(|_| Fault::Lose);
    store.clear_plan();
    insert(&store, 4).unwrap();
}

#[test]
fn a_snapshot_comes_back_as_another_life() {
    let store = Memory::new();
    insert(&store, 1).unwrap();
    let snapshot = store.snapshot();
    let owner = store.incarnation();
    insert(&store, 2).unwrap();
    store.restore(&snapshot);
    assert!(holds(&store, 1) && !holds(&store, 2));
    let stale = Batch { owner, commands: vec![] };
    assert!(matches!(store.commit(stale), Err(CommitError::Fenced(_))));
    apply(&store, vec![insert_run(run_row(2), status(State::Queued))]);
    assert!(
        !{
            store.restore(&snapshot);
            holds(&store, 2)
        },
        "a snapshot is not written to"
    );
}
