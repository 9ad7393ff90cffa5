//! Building the engine from what the store holds: at start, and after a commit that failed.

use super::{Config, Draft, Engine};
use crate::ids::Ids;
use crate::input::Moment;
use crate::live::{Holding, Phase};
use crate::overlay::Overlay;
use crate::schedule::{LaneKey, Schedule};
use crate::timers::Timers;
use crate::worker::Worker;
use polos_protocol::{Millis, Namespace, RunId};
use polos_store::{Read, ReadError};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

impl Engine {
    /// Builds the engine from what the store holds. Runs that were assigned wait for their workers
    /// to come back, for the grace.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn load(config: Config, now: Millis, store: &dyn Read) -> Result<Self, ReadError> {
        let mut engine = Self {
            config,
            now,
            ids: Ids::new(Moment { now, entropy: [0; 16] }),
            runs: HashMap::new(),
            workers: BTreeMap::new(),
            connections: BTreeMap::new(),
            schedule: Schedule::default(),
            timers: Timers::load(store)?,
            builds: store.builds()?.into_iter().collect(),
            operator_queues: BTreeSet::new(),
            resuming: VecDeque::new(),
            watch: BTreeSet::new(),
            overlay: Overlay::default(),
            draft: Draft::default(),
            outputs: Vec::new(),
            pages: Vec::new(),
            touched: Vec::new(),
            crowd: super::crowd::Crowd::default(),
            fault: None,
        };
        engine.load_queues(store)?;
        engine.load_running(store)?;
        for ready in store.ready_runs()? {
            let queue = engine.schedule.queue(&ready.namespace, &ready.queue);
            let has_slot = queue.holds(ready.run);
            let (lane, place) = LaneKey::of(&ready, has_slot);
            queue.push(lane, place);
        }
        Ok(engine)
    }

    fn load_queues(&mut self, store: &dyn Read) -> Result<(), ReadError> {
        for row in store.queues()? {
            if row.by_operator {
                self.operator_queues.insert((row.namespace.clone(), row.config.name.clone()));
            }
            self.schedule.configure(&row.namespace, row.config);
        }
        for kept in store.kept_slots()? {
            let queue = self.schedule.queue(&kept.namespace, &kept.queue);
            queue.take(kept.run, kept.slot, kept.concurrency_key.as_deref());
        }
        Ok(())
    }

    fn load_running(&mut self, store: &dyn Read) -> Result<(), ReadError> {
        for (namespace, run) in store.running_runs()? {
            self.await_worker(&namespace, run, store)?;
        }
        Ok(())
    }

    /// A run that a worker had when the last engine ended: the worker may still come back.
    fn await_worker(
        &mut self,
        namespace: &Namespace,
        id: RunId,
        store: &dyn Read,
    ) -> Result<(), ReadError> {
        let Some(mut live) = Self::read_run(namespace, id, store)? else { return Ok(()) };
        let Some(worker) = live.run.status.worker else { return Ok(()) };
        let lost_at = self.now + self.config.grace_ms;
        let entry = self
            .workers
            .entry(worker)
            .or_insert_with(|| Worker::absent(worker, namespace.clone(), self.now, lost_at));
        entry.runs.insert(id);
        entry.active += 1;
        let key = live.run.row.options.concurrency_key.as_deref();
        self.schedule.queue(namespace, &live.run.row.queue).take(id, id, key);
        live.held = Some(Holding {
            worker,
            phase: Phase::Active,
            sent_seq: None,
            paging: None,
            echo: None,
            kept_back: Vec::new(),
            watch_at: self.now + self.config.step_timeout_ms + self.config.wedged_margin_ms,
            progressed: true,
            in_slot: true,
        });
        self.watch
            .insert((self.now + self.config.step_timeout_ms + self.config.wedged_margin_ms, id));
        self.runs.insert(id, live);
        Ok(())
    }
}
