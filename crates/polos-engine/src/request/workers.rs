//! Workers, and what they can run.

use super::Caller;
use crate::engine::Engine;
use crate::error::Error;
use polos_protocol::frame::{Empty, FromServer};
use polos_protocol::rest::{DefinitionStatus, WorkerStatus};
use polos_protocol::{Namespace, WorkerId};
use std::collections::BTreeMap;

impl Engine {
    pub(super) fn drain_worker(&mut self, caller: Caller<'_>, id: WorkerId) -> Result<(), Error> {
        match self.workers.get_mut(&id) {
            Some(worker) if worker.namespace == *caller.namespace => worker.draining = true,
            _ => return Err(Error::not_found("worker", id)),
        }
        self.send(id, FromServer::Drain(Empty {}));
        Ok(())
    }

    pub(super) fn list_workers(&self, namespace: &Namespace) -> Vec<WorkerStatus> {
        let of_namespace = self.workers.values().filter(|worker| worker.namespace == *namespace);
        of_namespace
            .map(|worker| WorkerStatus {
                id: worker.id,
                name: worker.name.clone(),
                host: worker.host.clone(),
                pid: worker.pid,
                sdk: worker.sdk.clone(),
                build: worker.build.to_string(),
                state: match (worker.connection.is_some(), worker.draining) {
                    (false, _) => "lost",
                    (true, true) => "draining",
                    (true, false) => "connected",
                }
                .to_owned(),
                slots: worker.slots,
                runs: worker.runs.iter().copied().collect(),
                definitions: worker.definitions.keys().cloned().collect(),
                connected_ms: worker.connected_ms,
            })
            .collect()
    }

    pub(super) fn list_definitions(&self, namespace: &Namespace) -> Vec<DefinitionStatus> {
        let mut all: BTreeMap<String, DefinitionStatus> = BTreeMap::new();
        for worker in
            self.workers.values().filter(|w| w.namespace == *namespace && w.connection.is_some())
        {
            for definition in worker.definitions.values() {
                let entry =
                    all.entry(definition.name.clone()).or_insert_with(|| DefinitionStatus {
                        definition: definition.clone(),
                        builds: Vec::new(),
                        workers: 0,
                    });
                entry.workers += 1;
                let build = worker.build.to_string();
                if !entry.builds.contains(&build) {
                    entry.builds.push(build);
                }
            }
        }
        all.into_values().collect()
    }
}
