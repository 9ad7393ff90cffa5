//! Sessions.

use super::Caller;
use crate::engine::Engine;
use polos_protocol::SessionId;
use polos_protocol::rest::{Session, SessionRequest};
use polos_store::Change;
use polos_store::row::SessionRow;

impl Engine {
    pub(super) fn create_session(
        &mut self,
        caller: Caller<'_>,
        request: SessionRequest,
    ) -> Session {
        let (now, tail) = self.ids.parts();
        let session = Session {
            id: SessionId::from_parts(now, tail),
            title: request.title,
            metadata: request.metadata,
            created_ms: self.now,
            updated_ms: self.now,
        };
        let row = SessionRow { namespace: caller.namespace.clone(), session: session.clone() };
        self.overlay.put_session(row.clone());
        self.change(Change::PutSession(Box::new(row)));
        session
    }
}
