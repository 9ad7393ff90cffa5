//! Slots: making runs ready, giving them to workers, and taking them back.

use super::{Engine, Page, Parting, shown};
use crate::error::Error;
use crate::live::{Holding, Phase};
use crate::output::Output;
use crate::schedule::{LaneKey, WhileWaiting};
use polos_protocol::frame::{Append, FromServer};
use polos_protocol::{Millis, Namespace, Record, RunId, State, WorkerId};
use polos_store::Read;
use polos_store::read::ReadyRun;
use polos_store::row::Run;

impl Engine {
    /// A run in memory may go on: it waits for a slot and a worker.
    pub(crate) fn make_ready(&mut self, id: RunId) {
        let now = self.now;
        let Some(live) = self.runs.get_mut(&id) else { return };
        let status = &mut live.run.status;
        status.state = State::Queued;
        status.since_ms = now;
        status.wait = None;
        status.why = None;
        let ready = ReadyRun::of(&live.run);
        self.mark_dirty(id);
        self.enqueue(&ready);
    }

    /// Puts a run into its lane.
    pub(crate) fn enqueue(&mut self, ready: &ReadyRun) {
        let queue = self.schedule.queue(&ready.namespace, &ready.queue);
        let (lane, place) = LaneKey::of(ready, queue.holds(ready.run));
        queue.push(lane, place);
    }

    /// Takes a queued run out of its lane.
    pub(crate) fn unready(&mut self, run: &Run) {
        let ready = ReadyRun::of(run);
        let queue = self.schedule.queue(&ready.namespace, &ready.queue);
        for has_slot in [false, true] {
            let (lane, place) = LaneKey::of(&ready, has_slot);
            queue.remove(&lane, place);
        }
    }

    /// Gives ready runs to workers while slots last. Once a batch.
    pub(super) fn place_ready(&mut self, store: &dyn Read) -> Result<(), Error> {
        if !self.schedule.take_stirred() {
            return Ok(());
        }
        self.resume_hot();
        let mut schedule = std::mem::take(&mut self.schedule);
        let mut fault = None;
        schedule.round(|namespace, lane, run, while_waiting| {
            let Some(worker) = self.pick(namespace, lane) else { return false };
            match self.give(namespace, run, (worker, while_waiting), store) {
                Ok(()) => true,
                Err(error) => {
                    fault = Some(error);
                    false
                }
            }
        });
        // What was given may have stirred the schedule that stood in meanwhile.
        self.schedule = schedule;
        self.schedule.take_stirred();
        fault.map_or(Ok(()), Err)
    }

    /// The worker for a run of this lane: one that holds its placement key, else the least loaded.
    fn pick(&self, namespace: &Namespace, lane: &LaneKey) -> Option<WorkerId> {
        let fits = self.workers.values().filter(|worker| {
            worker.namespace == *namespace
                && worker.takes(&lane.workflow, self.now)
                && (!lane.alone || worker.active == 0)
                && lane.build.as_ref().is_none_or(|build| worker.fits_build(build))
        });
        let Some((key, require)) = &lane.placement else {
            return fits.min_by_key(|worker| (worker.active, worker.id)).map(|worker| worker.id);
        };
        let anyone_holds = self
            .workers
            .values()
            .any(|w| w.namespace == *namespace && w.placements.contains(&**key));
        fits.filter(|worker| worker.placements.contains(&**key) || !anyone_holds || !require)
            .min_by_key(|worker| (!worker.placements.contains(&**key), worker.active, worker.id))
            .map(|worker| worker.id)
    }

    /// Gives a run to a worker: the assignment counts before the run is sent.
    fn give(
        &mut self,
        namespace: &Namespace,
        id: RunId,
        (worker, while_waiting): (WorkerId, WhileWaiting),
        store: &dyn Read,
    ) -> Result<(), Error> {
        if !self.bring(namespace, id, store)? {
            return Ok(());
        }
        let accept_by = self.now + self.config.accept_ms;
        let now = self.now;
        let Some(live) = self.runs.get_mut(&id) else { return Ok(()) };
        let status = &mut live.run.status;
        status.state = State::Running;
        status.since_ms = now;
        status.assignment += 1;
        status.worker = Some(worker);
        if while_waiting == WhileWaiting::KeepsSlot {
            status.slot.get_or_insert(id);
        }
        status.started_ms.get_or_insert(now);
        live.journal.n = 0;
        live.held = Some(Holding {
            worker,
            phase: Phase::Given { accept_by },
            sent_seq: None,
            paging: None,
            echo: None,
            kept_back: Vec::new(),
            watch_at: accept_by,
            progressed: false,
            in_slot: true,
        });
        let (assignment, alone) = (status.assignment, status.alone);
        let placement =
            live.run.row.options.placement.as_ref().map(|placement| placement.key.clone());
        self.watch.insert((accept_by, id));
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.runs.insert(id);
            worker.active += 1;
            worker.alone |= alone;
            worker.placements.extend(placement);
        }
        self.mark_dirty(id);
        self.seal(namespace);
        self.pages.push(Page { run: id, assignment, is_start: true });
        Ok(())
    }

    /// A run in a worker's memory gives its slots back while it waits.
    pub(crate) fn leave_slot(&mut self, id: RunId) {
        let Some(live) = self.runs.get_mut(&id) else { return };
        let Some(held) = live.held.as_mut() else { return };
        if !std::mem::take(&mut held.in_slot) {
            return;
        }
        let (row, keeps) = (live.run.row.clone(), live.run.status.slot.is_some());
        if let Some(worker) = self.workers.get_mut(&held.worker) {
            worker.active = worker.active.saturating_sub(1);
            self.schedule.slot_freed(&worker.namespace, worker.definitions.keys());
        }
        let queue = self.schedule.queue(&row.namespace, &row.queue);
        if !keeps {
            queue.free(id);
        }
    }

    /// A run that keeps its slot while it waits gives it back: it has ended.
    pub(crate) fn give_slot_up(&mut self, id: RunId) {
        let Some(live) = self.runs.get_mut(&id) else { return };
        live.run.status.slot = None;
        let row = live.run.row.clone();
        self.schedule.queue(&row.namespace, &row.queue).free(id);
    }

    /// With `hold`, a child in its parent's queue and key runs under its parent's slot.
    pub(crate) fn join_slot(&mut self, parent: RunId, child: RunId) {
        let Some(above) = self.runs.get(&parent) else { return };
        let (row, Some(slot)) = (above.run.row.clone(), above.run.status.slot) else { return };
        let Some(live) = self.runs.get_mut(&child) else { return };
        let (own, key) = (live.run.row.clone(), row.options.concurrency_key.as_deref());
        let same = own.namespace == row.namespace
            && own.queue == row.queue
            && own.options.concurrency_key.as_deref() == key;
        if !same || own.detached || live.run.status.slot.is_some() {
            return;
        }
        live.run.status.slot = Some(slot);
        self.schedule.queue(&row.namespace, &row.queue).take(child, slot, key);
    }

    /// A hot run goes on: takes its slots if they are free, else waits for them ahead of new runs.
    /// True if it goes on now.
    pub(crate) fn enter_slot(&mut self, id: RunId) -> bool {
        let Some(live) = self.runs.get_mut(&id) else { return false };
        let row = live.run.row.clone();
        let Some(held) = live.held.as_mut() else { return false };
        let key = row.options.concurrency_key.as_deref();
        let worker_has_room = self
            .workers
            .get(&held.worker)
            .is_some_and(|worker| worker.active < worker.slots.max(1));
        let queue = self.schedule.queue(&row.namespace, &row.queue);
        let fits = queue.holds(id) || queue.has_room(key) && !queue.config().paused;
        if !worker_has_room || !(fits || self.config.is_mutated("resume_without_slot")) {
            return false;
        }
        queue.take(id, id, key);
        held.in_slot = true;
        held.phase = Phase::Active;
        if let Some(worker) = self.workers.get_mut(&held.worker) {
            worker.active += 1;
        }
        self.keep_watch(id);
        true
    }

    /// A hot run has gone on by itself (a backoff in its worker's memory is over): it has its slots.
    pub(crate) fn enter_slot_regardless(&mut self, id: RunId) {
        let Some(live) = self.runs.get_mut(&id) else { return };
        let row = live.run.row.clone();
        let Some(held) = live.held.as_mut() else { return };
        held.in_slot = true;
        held.phase = Phase::Active;
        if let Some(worker) = self.workers.get_mut(&held.worker) {
            worker.active += 1;
        }
        self.schedule.queue(&row.namespace, &row.queue).take(
            id,
            id,
            row.options.concurrency_key.as_deref(),
        );
    }

    /// Lets hot runs go on whose slots have come free.
    fn resume_hot(&mut self) {
        for id in std::mem::take(&mut self.resuming) {
            if !self
                .runs
                .get(&id)
                .and_then(|l| l.held.as_ref())
                .is_some_and(|held| held.phase == Phase::Resuming)
            {
                continue;
            }
            if self.enter_slot(id) {
                self.send_kept_back(id);
            } else {
                self.resuming.push_back(id);
            }
        }
    }

    fn send_kept_back(&mut self, id: RunId) {
        let Some(live) = self.runs.get_mut(&id) else { return };
        let (assignment, seq) = (live.run.status.assignment, live.journal.seq);
        let Some(held) = live.held.as_mut() else { return };
        let kept_back = std::mem::take(&mut held.kept_back);
        let records: Vec<Record> = kept_back.iter().map(|record| shown(id, record)).collect();
        let worker = held.worker;
        let connected = self.workers.get(&worker).is_some_and(|worker| worker.connection.is_some());
        let follows = records
            .first()
            .is_some_and(|first| held.sent_seq.is_some_and(|sent| sent + 1 == first.seq))
            && held.paging.is_none();
        if connected && follows {
            held.sent_seq = Some(seq);
            self.send(
                worker,
                FromServer::Append(Append { run: id, assignment, records, seq, more: false }),
            );
        } else if connected {
            // It came back on another connection meanwhile: what it lacks comes as a page.
            self.page_due(id, assignment);
        }
    }

    /// Takes a run from its worker, whatever it was doing there. The caller says what becomes of it.
    pub(crate) fn take_back(&mut self, id: RunId) -> Option<Holding> {
        self.leave_slot(id);
        let live = self.runs.get_mut(&id)?;
        let held = live.held.take()?;
        let alone = live.run.status.alone;
        if let Some(worker) = self.workers.get_mut(&held.worker) {
            worker.runs.remove(&id);
            worker.alone &= !alone;
        }
        self.touch(id);
        Some(held)
    }

    pub(crate) fn touch(&mut self, id: RunId) {
        self.touched.push(id);
    }

    /// Takes a run from its worker and lets another have it.
    pub(crate) fn give_back(&mut self, id: RunId, parting: Parting) {
        let Some(held) = self.take_back(id) else { return };
        self.part(id, parting);
        let now = self.now;
        let Some(live) = self.runs.get_mut(&id) else { return };
        if let Phase::Hot { wait } = held.phase {
            // It was waiting anyway: it waits on without a worker.
            if !live.is_true(&wait, now) {
                self.park(id, wait);
                return;
            }
        }
        self.make_ready(id);
    }

    /// Looks at a run again when its worker should have done something.
    pub(crate) fn keep_watch(&mut self, id: RunId) {
        let now = self.now;
        let limit = self.step_limit(id);
        let margin = self.config.wedged_margin_ms;
        let Some(held) = self.runs.get_mut(&id).and_then(|live| live.held.as_mut()) else { return };
        let at = now.saturating_add(limit).saturating_add(margin);
        // One entry a run is enough: it is looked at when that comes, and put off.
        if held.watch_at <= now || held.watch_at > at {
            self.watch.insert((at, id));
        }
        held.watch_at = at;
    }

    fn step_limit(&self, id: RunId) -> Millis {
        let limit = || {
            let live = self.runs.get(&id)?;
            let worker = self.workers.get(&live.held.as_ref()?.worker)?;
            worker.definitions.get(&live.run.row.workflow)?.step_timeout_ms
        };
        limit().unwrap_or(self.config.step_timeout_ms)
    }

    /// Tells a worker that a run is its no more.
    pub(crate) fn close_connection(&mut self, connection: crate::input::ConnectionId) {
        self.output(Output::Close(connection));
    }
}
