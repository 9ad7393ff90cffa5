//! A worker as the engine knows it.

use crate::input::ConnectionId;
use polos_protocol::frame::Hello;
use polos_protocol::{Definition, Millis, Namespace, RunId, WorkerId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A worker that is connected, or was a moment ago.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) namespace: Namespace,
    /// Its connection, and the worker's own number for it. None while it may come back.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) connection_number: u64,
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) sdk: String,
    pub(crate) build: Arc<str>,
    pub(crate) build_seen_ms: Millis,
    pub(crate) definitions: BTreeMap<String, Definition>,
    pub(crate) slots: u32,
    pub(crate) placements: BTreeSet<String>,
    /// The runs it has, hot ones too.
    pub(crate) runs: BTreeSet<RunId>,
    /// How many of them are in a slot.
    pub(crate) active: u32,
    /// True while one of them must be alone.
    pub(crate) alone: bool,
    pub(crate) draining: bool,
    pub(crate) connected_ms: Millis,
    /// When it was last heard of.
    pub(crate) heard_at: Millis,
    pub(crate) pinged_at: Millis,
    /// When its runs go elsewhere, if it has no connection.
    pub(crate) lost_at: Option<Millis>,
    /// It did not accept a run in time: nothing new before this.
    pub(crate) muted_until: Millis,
}

impl Worker {
    /// A worker that has not said hello to this server: it has runs, and may come back.
    pub(crate) fn absent(id: WorkerId, namespace: Namespace, now: Millis, lost_at: Millis) -> Self {
        Self {
            id,
            namespace,
            connection: None,
            connection_number: 0,
            name: id.to_string(),
            host: String::new(),
            pid: 0,
            sdk: String::new(),
            build: "".into(),
            build_seen_ms: 0,
            definitions: BTreeMap::new(),
            slots: 0,
            placements: BTreeSet::new(),
            runs: BTreeSet::new(),
            active: 0,
            alone: false,
            draining: false,
            connected_ms: now,
            heard_at: now,
            pinged_at: now,
            lost_at: Some(lost_at),
            muted_until: 0,
        }
    }

    /// Takes in what it says of itself.
    pub(crate) fn greet(&mut self, connection: ConnectionId, hello: &Hello, now: Millis) {
        self.connection = Some(connection);
        self.connection_number = hello.connection;
        self.name.clone_from(&hello.name);
        self.host.clone_from(&hello.host.name);
        self.pid = hello.host.pid;
        self.sdk.clone_from(&hello.sdk);
        self.build = hello.build.clone();
        self.definitions = hello.definitions.iter().map(|d| (d.name.clone(), d.clone())).collect();
        self.slots = hello.slots;
        self.placements = hello.placements.iter().cloned().collect();
        self.connected_ms = now;
        self.heard_at = now;
        self.pinged_at = now;
        self.lost_at = None;
        self.draining = false;
    }

    /// True if its code may go on with a run in which `build`, first seen then, recorded last.
    pub(crate) fn fits_build(&self, (build, seen_ms, pinned): &(Arc<str>, Millis, bool)) -> bool {
        self.build == *build || !pinned && self.build_seen_ms >= *seen_ms
    }

    /// True if it may be given another run of `workflow` now.
    pub(crate) fn takes(&self, workflow: &str, now: Millis) -> bool {
        self.connection.is_some()
            && !self.draining
            && !self.alone
            && self.active < self.slots
            && self.muted_until <= now
            && self.definitions.contains_key(workflow)
    }
}
