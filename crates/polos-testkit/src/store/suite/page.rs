//! Lists go by cursor.

use crate::store::sample::{NOW, apply, insert_run, run_row, status};
use polos_protocol::rest::RunFilter;
use polos_protocol::{Namespace, State};
use polos_store::read::PageRequest;
use polos_store::row::RunRow;
use polos_store::{ReadError, Store};

/// Rows of one and the same time included, and though the list grows at its top.
pub fn pages_neither_skip_nor_repeat(store: &dyn Store) {
    let row = |number| RunRow { created_ms: NOW + number / 3, ..run_row(number) };
    let insert = |number| insert_run(row(number), status(State::Queued));
    apply(store, (1..=10).map(insert).collect());
    let (ns, filter) = (Namespace::default(), RunFilter::default());
    let mut request = PageRequest { cursor: None, limit: 3 };
    let mut seen = Vec::new();
    for newcomer in 20.. {
        let page = store.runs(&ns, &filter, &request).unwrap();
        seen.extend(page.items.iter().map(|run| run.row.id));
        assert!(page.items.len() == 3 || page.next_cursor.is_none());
        apply(store, vec![insert(newcomer)]);
        request.cursor = page.next_cursor;
        if request.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (1..=10).rev().map(|number| row(number).id).collect::<Vec<_>>());
    let exact = store.runs(&ns, &filter, &PageRequest { cursor: None, limit: 0 }).unwrap();
    assert_eq!(exact.items.len(), 1, "a page of none would never end");
}

/// A cursor is opaque, but it is not any text.
pub fn a_foreign_cursor_is_refused(store: &dyn Store) {
    let ns = Namespace::default();
    for cursor in ["", "x", "x.y", "1", "99999999999999999999999.run"] {
        let request = PageRequest { cursor: Some(cursor.into()), limit: 3 };
        let refused = |error| matches!(error, ReadError::Cursor(_));
        assert!(refused(store.runs(&ns, &RunFilter::default(), &request).unwrap_err()));
        assert!(refused(store.approvals(&ns, None, None, &request).unwrap_err()));
        assert!(refused(store.sessions(&ns, &request).unwrap_err()));
        assert!(refused(store.audit(&ns, &request).unwrap_err()));
    }
}
