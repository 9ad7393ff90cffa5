//! Behaviour of the store.

use polos_protocol::{Namespace, RunId};
use polos_store::row::{RunRow, RunStatus};
use polos_store::sqlite::{Options, Store};
use polos_store::{Batch, Change, Check, Command, Outcome, Read as _, Store as _};

#[test]
fn a_batch_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Options::default()).unwrap();
    let id = RunId::from_parts(5, [1; 10]);
    let row = RunRow {
        namespace: Namespace::default(),
        id,
        workflow: "w".into(),
        kind: polos_protocol::DefinitionKind::Workflow,
        input: polos_protocol::Value::null(),
        start_key: Some("k".into()),
        seed: "00".into(),
        root: id,
        parent: None,
        parent_key: None,
        detached: false,
        depth: 0,
        queue: "default".into(),
        options: polos_protocol::record::RunOptions::default(),
        principal: "me".into(),
        forked_from: None,
        created_ms: 5,
    };
    let command = Command {
        namespace: Namespace::default(),
        checks: vec![Check::RunAbsent(id)],
        changes: vec![Change::InsertRun(row.clone().into(), Box::new(RunStatus::queued(5)))],
    };
    let batch = Batch { owner: store.incarnation(), commands: vec![command.clone(), command] };
    assert_eq!(store.commit(batch).unwrap(), [Outcome::Applied, Outcome::Refused(0)]);
    let run = store.run(&Namespace::default(), id).unwrap().unwrap();
    assert_eq!(*run.row, row);
    assert_eq!(store.ready_runs().unwrap().len(), 1);
}
