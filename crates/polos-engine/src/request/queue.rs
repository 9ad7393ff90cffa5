//! Queues: what they allow, and whether anything starts from them.

use super::Caller;
use super::start::check_name;
use crate::engine::Engine;
use crate::error::Error;
use polos_protocol::QueueConfig;
use polos_store::Change;
use polos_store::row::QueueRow;

impl Engine {
    pub(super) fn put_queue(
        &mut self,
        caller: Caller<'_>,
        config: QueueConfig,
    ) -> Result<QueueConfig, Error> {
        check_name("queue", &config.name)?;
        let was_held = self
            .schedule
            .find(caller.namespace, &config.name)
            .is_some_and(|queue| queue.config().hold);
        if was_held != config.hold
            && self.schedule.find(caller.namespace, &config.name).is_some_and(|q| q.held() > 0)
        {
            let message = format!(
                "`hold` of queue `{}` cannot change while runs have its slots",
                config.name
            );
            let hint = "pause it, wait until it is empty, then change it";
            return Err(Error::new(crate::error::Class::Conflict, "queue_in_use", message, hint));
        }
        self.write_queue(caller, config.clone());
        Ok(config)
    }

    pub(super) fn pause_queue(
        &mut self,
        caller: Caller<'_>,
        name: &str,
        paused: bool,
    ) -> Result<QueueConfig, Error> {
        check_name("queue", name)?;
        let mut config = self.schedule.queue(caller.namespace, name).config().clone();
        config.paused = paused;
        self.write_queue(caller, config.clone());
        Ok(config)
    }

    fn write_queue(&mut self, caller: Caller<'_>, config: QueueConfig) {
        self.operator_queues.insert((caller.namespace.clone(), config.name.clone()));
        self.schedule.configure(caller.namespace, config.clone());
        let row = QueueRow { namespace: caller.namespace.clone(), config, by_operator: true };
        self.change(Change::PutQueue(row));
    }
}
