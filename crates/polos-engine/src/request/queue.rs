//! Queues: what they allow, and whether anything starts from them.

use super::Caller;
use super::start::check_name;
use crate::engine::Engine;
use crate::error::Error;
use polos_protocol::QueueConfig;
use polos_store::row::QueueRow;
use polos_store::{Change, Read};

impl Engine {
    pub(super) fn put_queue(
        &mut self,
        caller: Caller<'_>,
        config: QueueConfig,
        store: &dyn Read,
    ) -> Result<QueueConfig, Error> {
        check_name("queue", &config.name)?;
        self.write_queue(caller, config.clone());
        self.look_for_deadlock(caller.namespace, &config.name, store)?;
        Ok(config)
    }

    pub(super) fn pause_queue(
        &mut self,
        caller: Caller<'_>,
        name: &str,
        paused: bool,
        store: &dyn Read,
    ) -> Result<QueueConfig, Error> {
        check_name("queue", name)?;
        let mut config = self.schedule.queue(caller.namespace, name).config().clone();
        config.paused = paused;
        self.write_queue(caller, config.clone());
        self.look_for_deadlock(caller.namespace, name, store)?;
        Ok(config)
    }

    fn write_queue(&mut self, caller: Caller<'_>, config: QueueConfig) {
        self.operator_queues.insert((caller.namespace.clone(), config.name.clone()));
        self.schedule.configure(caller.namespace, config.clone());
        let row = QueueRow { namespace: caller.namespace.clone(), config, by_operator: true };
        self.change(Change::PutQueue(row));
    }
}
