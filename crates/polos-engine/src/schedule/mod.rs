//! Which run goes where: the ready runs of all queues, in lanes of equal needs, and the slots that
//! are taken. A slot follows from a run's state; nothing here is stored.

mod lane;
mod numbering;
mod queue;

pub(crate) use lane::LaneKey;
pub(crate) use queue::{Queue, WhileWaiting};

use polos_protocol::{Namespace, QueueConfig, RunId};
use std::collections::BTreeMap;

/// A queue's name within its namespace.
pub(crate) type QueueName = (Namespace, String);

/// All queues.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    queues: BTreeMap<QueueName, Queue>,
    /// True if something may fit that did not fit before.
    stirred: bool,
    /// The queue after which the next round begins, so that none starves.
    last: Option<QueueName>,
}

/// How many closed lanes of one workflow are looked at again when one slot comes free.
const REOPENED_PER_SLOT: usize = 64;

impl Schedule {
    /// The queue, made without limits if it is new.
    pub(crate) fn queue(&mut self, namespace: &Namespace, name: &str) -> &mut Queue {
        self.stirred = true;
        self.queues.entry((namespace.clone(), name.to_owned())).or_insert_with(|| Queue::new(name))
    }

    /// The queue, if there is one.
    pub(crate) fn find(&self, namespace: &Namespace, name: &str) -> Option<&Queue> {
        self.queues.get(&(namespace.clone(), name.to_owned()))
    }

    /// True if some queue of the namespace has reached a limit.
    pub(crate) fn any_full(&self, namespace: &Namespace) -> bool {
        let first = (namespace.clone(), String::new());
        let mut queues = self.queues.range(first..).take_while(|((of, _), _)| of == namespace);
        queues.any(|(_, queue)| queue.is_full())
    }

    /// All queues, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&QueueName, &Queue)> {
        self.queues.iter()
    }

    /// Sets what a queue allows.
    pub(crate) fn configure(&mut self, namespace: &Namespace, config: QueueConfig) {
        self.queue(namespace, &config.name.clone()).configure(config);
    }

    /// A slot of a worker that has these workflows came free.
    pub(crate) fn slot_freed<'a>(
        &mut self,
        namespace: &Namespace,
        workflows: impl Iterator<Item = &'a String>,
    ) {
        let names: Vec<&String> = workflows.collect();
        for ((of, _), queue) in &mut self.queues {
            if of == namespace && queue.has_closed() {
                for name in &names {
                    queue.reopen(name, REOPENED_PER_SLOT);
                }
                self.stirred = true;
            }
        }
    }

    /// Something about the workers changed: every lane is looked at again.
    pub(crate) fn reopen_all(&mut self) {
        self.stirred = true;
        for queue in self.queues.values_mut() {
            queue.reopen_all();
        }
    }

    /// True if a round may place something; asked once a batch.
    pub(crate) fn take_stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred)
    }

    /// Places as many ready runs as fit. `place` gives a run to a worker and says so, or says that
    /// no worker can take a run of this lane now.
    pub(crate) fn round(
        &mut self,
        mut place: impl FnMut(&Namespace, &LaneKey, RunId, WhileWaiting) -> bool,
    ) -> Vec<RunId> {
        let mut names: Vec<QueueName> = self.queues.keys().cloned().collect();
        if let Some(last) = &self.last {
            let start = names.partition_point(|name| name <= last);
            names.rotate_left(start);
        }
        let mut placed = Vec::new();
        for name in names {
            let Some(queue) = self.queues.get_mut(&name) else { continue };
            let before = placed.len();
            queue.place(&mut placed, |lane, run, keeps| place(&name.0, lane, run, keeps));
            if placed.len() > before {
                self.last = Some(name);
            }
        }
        placed
    }
}
