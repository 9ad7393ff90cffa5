//! `hello`: a worker comes, or comes back with the runs that it still holds.

use crate::engine::{Engine, Parting};
use crate::input::ConnectionId;
use crate::live::Phase;
use crate::output::Output;
use crate::worker::Worker;
use polos_protocol::frame::{Fatal, FromServer, Held, Hello, Kept, VERSIONS, Welcome};
use polos_protocol::{Definition, Kind, Millis, Namespace, RunId, WorkerId, limits};
use polos_store::Change;
use polos_store::row::QueueRow;
use std::collections::{BTreeMap, BTreeSet};

impl Engine {
    pub(crate) fn connect(
        &mut self,
        connection: ConnectionId,
        namespace: &Namespace,
        hello: &Hello,
    ) {
        if let Err(fatal) = self.admit(namespace, hello) {
            self.output(Output::Send(connection, FromServer::Error(fatal)));
            self.close_connection(connection);
            return;
        }
        let id = hello.worker;
        let build_seen_ms = self.note_build(&hello.build);
        let now = self.now;
        let worker = self
            .workers
            .entry(id)
            .or_insert_with(|| Worker::absent(id, namespace.clone(), now, now));
        if let Some(old) = worker.connection {
            self.connections.remove(&old);
            self.output(Output::Close(old));
        }
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.greet(connection, hello, now);
            worker.build_seen_ms = build_seen_ms;
        }
        self.connections.insert(connection, id);
        self.declare_queues(namespace, hello);
        let kept = self.reconcile(id, hello);
        self.send(id, FromServer::Welcome(self.welcome(namespace, kept)));
        self.schedule.reopen_all();
        self.seal(namespace);
    }

    fn admit(&self, namespace: &Namespace, hello: &Hello) -> Result<(), Fatal> {
        let refuse = |code: &str, message: String, hint: &str| {
            Err(Fatal { code: code.to_owned(), message, hint: hint.to_owned() })
        };
        let [low, high] = hello.protocol;
        if low > VERSIONS[1] || high < VERSIONS[0] || low > high {
            let message = format!(
                "the worker speaks protocol {low} to {high}, this server {} to {}",
                VERSIONS[0], VERSIONS[1]
            );
            return refuse(
                "protocol_version",
                message,
                "install an SDK and a server of fitting versions",
            );
        }
        if let Some(worker) = self.workers.get(&hello.worker) {
            if worker.namespace != *namespace {
                return refuse(
                    "worker_id_taken",
                    format!("`{}` is a worker of another namespace", hello.worker),
                    "",
                );
            }
            if worker.connection_number >= hello.connection {
                let message =
                    format!("connection {} of this worker is not its newest", hello.connection);
                return refuse(
                    "stale_connection",
                    message,
                    "two processes may use one worker id: give each its own",
                );
            }
        }
        let long = |definition: &&Definition| {
            definition.name.is_empty() || definition.name.len() > limits::NAME_BYTES_MAX
        };
        if let Some(bad) = hello.definitions.iter().find(long) {
            let name: String = bad.name.chars().take(40).collect();
            let message = format!("`{name}` is no name: use 1 to {} bytes", limits::NAME_BYTES_MAX);
            return refuse("bad_name", message, "rename the definition");
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = hello.definitions.iter().find(|d| !seen.insert(&d.name)) {
            return refuse(
                "duplicate_definition",
                format!("`{}` is registered twice", twice.name),
                "rename one of them",
            );
        }
        if Kind::ALL.iter().any(|kind| !hello.kinds.is_empty() && !hello.kinds.contains(kind)) {
            let message = "the worker does not know every kind of record that this server may send"
                .to_owned();
            return refuse("record_kinds", message, "install a newer SDK");
        }
        Ok(())
    }

    /// When this build was first seen; noted if that is now.
    fn note_build(&mut self, build: &std::sync::Arc<str>) -> Millis {
        if let Some(at) = self.builds.get(build) {
            return *at;
        }
        // Builds are ordered by when they came: two in one millisecond must not tie.
        let at = self.builds.values().max().map_or(self.now, |last| self.now.max(last + 1));
        self.builds.insert(build.clone(), at);
        self.change(Change::PutBuild(build.clone(), at));
        at
    }

    fn declare_queues(&mut self, namespace: &Namespace, hello: &Hello) {
        for config in &hello.queues {
            let name = (namespace.clone(), config.name.clone());
            let same = self
                .schedule
                .find(namespace, &config.name)
                .is_some_and(|queue| queue.config() == config);
            if same || self.operator_queues.contains(&name) {
                continue;
            }
            self.schedule.configure(namespace, config.clone());
            let row = QueueRow {
                namespace: namespace.clone(),
                config: config.clone(),
                by_operator: false,
            };
            self.change(Change::PutQueue(row));
        }
    }

    /// Compares what the worker says it holds with what it was given.
    fn reconcile(&mut self, id: WorkerId, hello: &Hello) -> Vec<Kept> {
        let given: Vec<RunId> =
            self.workers.get(&id).map(|w| w.runs.iter().copied().collect()).unwrap_or_default();
        let held: BTreeMap<RunId, &Held> = hello.held.iter().map(|held| (held.run, held)).collect();
        let mut kept = Vec::new();
        for run in given {
            let Some(live) = self.runs.get(&run) else { continue };
            let (assignment, seq) = (live.run.status.assignment, live.journal.seq);
            match held.get(&run) {
                Some(held) if held.assignment == assignment && held.seq <= seq => {
                    kept.push(self.keep(held));
                }
                _ => self.give_back(run, Parting::Clean),
            }
        }
        kept
    }

    /// A run stays with its worker. What came for one that waits for its slot stays back until it
    /// has it.
    fn keep(&mut self, held: &Held) -> Kept {
        let (run, assignment) = (held.run, held.assignment);
        if let Some(holding) = self.runs.get_mut(&run).and_then(|live| live.held.as_mut()) {
            holding.sent_seq = Some(held.seq);
            holding.paging = None;
            holding.kept_back.clear();
        }
        self.account_for(held);
        self.keep_watch(run);
        let Some(live) = self.runs.get(&run) else {
            return Kept { run, assignment, seq: held.seq, n: 0 };
        };
        let resuming = live.held.as_ref().is_some_and(|h| h.phase == Phase::Resuming);
        let seq = if resuming { held.seq } else { live.journal.seq };
        let kept = Kept { run, assignment, seq, n: live.journal.n };
        if held.seq < seq {
            self.page_due(run, assignment);
        }
        kept
    }

    /// Gives a held run the slots that it has by what its worker says: a server that has just
    /// started does not know which runs wait in memory, and took all of them for working.
    fn account_for(&mut self, held: &Held) {
        let now = self.now;
        if self.config.is_mutated("all_held_runs_work") {
            return;
        }
        let wait = held.wait.as_ref().filter(|wait| {
            // A backoff keeps its slots: it ends in the worker's memory.
            wait.is_within_limits() && wait.until_min().is_none()
        });
        let Some(live) = self.runs.get_mut(&held.run) else { return };
        let Some(holding) = live.held.as_ref() else { return };
        if holding.phase == Phase::Resuming {
            return;
        }
        let Some(wait) = wait else {
            if !holding.in_slot {
                self.enter_slot_regardless(held.run);
            }
            return;
        };
        // A cancellation that it has not seen wakes it like an outcome.
        let is_true = live.is_true(wait, now) || live.journal.is_cancelled_after(held.seq);
        if let Some(holding) = live.held.as_mut() {
            holding.phase = Phase::Hot { wait: wait.clone() };
        }
        self.leave_slot(held.run);
        if is_true {
            self.go_on(held.run);
        }
    }

    fn welcome(&self, namespace: &Namespace, kept: Vec<Kept>) -> Welcome {
        Welcome {
            protocol: VERSIONS[1],
            features: Vec::new(),
            server: self.config.version.clone(),
            incarnation: self.config.incarnation,
            namespace: namespace.clone(),
            now: self.now,
            lease_ms: self.config.lease_ms,
            ping_ms: self.config.ping_ms,
            hot_ms: self.config.hot_ms,
            kept,
        }
    }
}
