//! What concerns people: approvals, sessions, the audit log, keys.

use crate::store::sample::{
    NOW, api_key, api_key_row, apply, approval, approval_row, audit_row, command, commit, run,
    session, session_row,
};
use polos_protocol::record::Answer;
use polos_protocol::rest::ApprovalState;
use polos_protocol::{ApprovalId, Namespace};
use polos_store::read::PageRequest;
use polos_store::row::ApprovalRow;
use polos_store::{Change, Check, CommitError, Outcome, Store};

const WHOLE: PageRequest = PageRequest { cursor: None, limit: 100 };

fn answered(number: u64) -> ApprovalRow {
    let mut row = approval_row(number, run(1));
    row.approval.state = ApprovalState::Approved;
    row.approval.answer = Some(Answer {
        approval: row.approval.id,
        approved: true,
        feedback: Some("go".into()),
        value: Some(serde_json::json!({ "n": 1 })),
        scope: Some("run".into()),
        by: "ada".into(),
        at: NOW,
    });
    row
}

fn put(row: ApprovalRow) -> Change {
    Change::PutApproval(Box::new(row))
}

fn text(row: &ApprovalRow) -> String {
    serde_json::to_string(&row.approval).unwrap()
}

/// The second answer is refused.
pub fn an_approval_is_answered_once(store: &dyn Store) {
    apply(store, vec![put(approval_row(1, run(1)))]);
    let ns = Namespace::default();
    let asked = store.approval(&ns, approval(1)).unwrap().unwrap();
    assert_eq!(text(&asked), text(&approval_row(1, run(1))));
    let answer = command(vec![Check::ApprovalPending(approval(1))], vec![put(answered(1))]);
    let outcomes = commit(store, vec![answer.clone(), answer]).unwrap();
    assert_eq!(outcomes, [Outcome::Applied, Outcome::Refused(0)]);
    let row = store.approval(&ns, approval(1)).unwrap().unwrap();
    assert_eq!(text(&row), text(&answered(1)));
    assert!(store.approval(&ns, approval(2)).unwrap().is_none());
}

/// Newest first.
pub fn approvals_are_listed_by_state_and_run(store: &dyn Store) {
    apply(
        store,
        vec![put(approval_row(1, run(1))), put(answered(2)), put(approval_row(3, run(2)))],
    );
    let list = |state, run| -> Vec<ApprovalId> {
        let page = store.approvals(&Namespace::default(), state, run, &WHOLE).unwrap();
        page.items.iter().map(|row| row.approval.id).collect()
    };
    let pending = Some(ApprovalState::Pending);
    assert_eq!(list(None, None), [approval(3), approval(2), approval(1)]);
    assert_eq!(list(pending, None), [approval(3), approval(1)]);
    assert_eq!(list(None, Some(run(1))), [approval(2), approval(1)]);
    assert_eq!(list(pending, Some(run(1))), [approval(1)]);
    assert_eq!(list(Some(ApprovalState::Expired), None), []);
}

/// A session moves up when it changes.
pub fn sessions_are_listed_latest_first(store: &dyn Store) {
    apply(store, (1..=3).map(|n| Change::PutSession(Box::new(session_row(n)))).collect());
    let mut moved = session_row(1);
    moved.session.updated_ms = NOW + 9;
    moved.session.title = None;
    apply(store, vec![Change::PutSession(Box::new(moved.clone()))]);
    let ns = Namespace::default();
    let page = store.sessions(&ns, &WHOLE).unwrap();
    let ids: Vec<_> = page.items.iter().map(|row| row.session.id).collect();
    assert_eq!(ids, [session(1), session(3), session(2)]);
    let back = store.session(&ns, session(1)).unwrap().unwrap().session;
    let text = |session| serde_json::to_string(session).unwrap();
    assert_eq!(text(&back), text(&moved.session));
    assert!(store.session(&ns, session(7)).unwrap().is_none());
}

/// In the order of writing, whatever the times.
pub fn the_audit_log_is_newest_first(store: &dyn Store) {
    apply(store, ["a", "b"].map(|target| Change::InsertAudit(audit_row(target))).to_vec());
    apply(store, vec![Change::InsertAudit(audit_row("c"))]);
    let page = store.audit(&Namespace::default(), &WHOLE).unwrap();
    assert_eq!(page.items, ["c", "b", "a"].map(audit_row));
}

/// The first revocation counts; an unknown key is no error.
pub fn api_keys_are_revoked_once(store: &dyn Store) {
    apply(store, [2, 1].map(|n| Change::InsertApiKey(Box::new(api_key_row(n)))).to_vec());
    let revoke = |number, at| Change::RevokeApiKey(api_key(number), at);
    apply(store, vec![revoke(1, NOW + 1), revoke(1, NOW + 2), revoke(9, NOW)]);
    let keys = store.api_keys().unwrap();
    let seen: Vec<_> =
        keys.iter().map(|row| (row.key.id, row.key.revoked_ms, row.secret_hash)).collect();
    let [first, second] = [1, 2].map(|number| api_key_row(number).secret_hash);
    assert_eq!(seen, [(api_key(1), Some(NOW + 1), first), (api_key(2), None, second)]);
    let mut same = api_key_row(3);
    same.secret_hash = first;
    let twice = vec![command(vec![], vec![Change::InsertApiKey(Box::new(same))])];
    assert!(matches!(commit(store, twice), Err(CommitError::Fatal(_))));
}
