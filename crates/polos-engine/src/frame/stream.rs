//! `stream`: live output. Kept by position, not journaled.

use super::Hold;
use crate::engine::Engine;
use crate::error::Error;
use crate::input::ConnectionId;
use polos_protocol::frame::{FromServer, Stored, StreamRequest};
use polos_protocol::{Namespace, RunId, WorkerId};
use polos_store::row::StreamRow;
use polos_store::{Change, Read};
use std::sync::Arc;

impl Engine {
    pub(super) fn stream(
        &mut self,
        worker: WorkerId,
        namespace: &Namespace,
        request: StreamRequest,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let hold = Hold { worker, run: request.run, assignment: request.assignment };
        if !self.check_hold(hold) {
            return Ok(());
        }
        let now = self.now;
        let Some(live) = self.runs.get_mut(&hold.run) else { return Ok(()) };
        let mut position = match live.stream_at {
            Some(position) => position,
            None => store.stream_head(namespace, hold.run)?,
        };
        let mut rows = Vec::with_capacity(request.items.len());
        for item in request.items {
            position += 1;
            rows.push(StreamRow {
                namespace: namespace.clone(),
                run: hold.run,
                position,
                at: now,
                item,
            });
        }
        live.stream_at = Some(position);
        self.change(Change::AppendStream(rows));
        self.changed(namespace, hold.run);
        Ok(())
    }

    /// A worker's value is complete: kept, and the worker told.
    pub(crate) fn store_blob(
        &mut self,
        connection: ConnectionId,
        run: RunId,
        (hash, text): (Arc<str>, Arc<str>),
    ) {
        let Some(worker) = self.connections.get(&connection).copied() else { return };
        let Some(namespace) = self.workers.get(&worker).map(|worker| worker.namespace.clone())
        else {
            return;
        };
        self.change(Change::PutBlob { hash: hash.clone(), text, run });
        self.seal(&namespace);
        self.send(worker, FromServer::Stored(Stored { hash }));
    }
}
