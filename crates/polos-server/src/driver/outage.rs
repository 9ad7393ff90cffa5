//! When a commit fails: everybody who waits is told, every connection ends, and a new engine is
//! built from what the store really holds, as soon as it takes writes again.

use super::message::Message;
use super::service::{Driver, Error};
use super::turn::recovered;
use polos_engine::Engine;
use polos_engine::error::{Class, Error as Refusal};
use polos_protocol::frame::Fatal;
use polos_store::{Batch, CommitError, Outcome};
use std::time::Duration;
use tokio::runtime::Runtime;

/// The first pause before the store is tried again; it doubles up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Why a turn broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Breakdown {
    #[error("{0}")]
    Commit(CommitError),
    #[error("the store refused command {command} of a batch: what the engine believed was not so")]
    Refused { command: usize },
    #[error("the store could not be read after a commit: {0}")]
    Read(String),
    #[error("the system gives no random bytes: {0}")]
    Entropy(getrandom::Error),
}

impl Breakdown {
    /// True if some of the batch may be durable.
    fn is_unknown(&self) -> bool {
        match self {
            Self::Commit(cause) => matches!(cause, CommitError::Unknown(_)),
            Self::Refused { .. } | Self::Read(_) => true,
            Self::Entropy(_) => false,
        }
    }

    /// The error with which the process must end, if it must.
    fn fatal(&self) -> Option<Error> {
        match self {
            Self::Commit(CommitError::Fenced(by)) => Some(Error::Fenced(by.clone())),
            Self::Commit(CommitError::Fatal(cause)) => Some(Error::Fatal(cause.clone())),
            Self::Entropy(cause) => Some(Error::Entropy(*cause)),
            _ => None,
        }
    }

    fn refusal(&self) -> Refusal {
        if self.is_unknown() {
            return Refusal::new(
                Class::Unavailable,
                "outcome_unknown",
                format!("nobody knows yet whether this was done: {self}"),
                "look before you ask again, or ask again with the same idempotency key",
            );
        }
        let hint = match self {
            Self::Commit(CommitError::ReadOnly(_)) => "make the data directory writable",
            Self::Commit(CommitError::Unavailable(_)) => {
                "nothing was done: make room on the disk of the data directory, then ask again"
            }
            _ => "see the server's log",
        };
        Refusal::new(Class::Unavailable, "store_unavailable", self.to_string(), hint)
    }
}

impl Driver {
    /// Lasts until the store takes writes again; `None` if the driver is to stop meanwhile.
    pub(super) fn outage(
        &mut self,
        runtime: &Runtime,
        breakdown: &Breakdown,
    ) -> Result<Option<Engine>, Error> {
        let refusal = breakdown.refusal();
        self.health.degrade(refusal.message.clone());
        tracing::error!(%breakdown, "the engine starts afresh");
        self.hang_up(&refusal);
        if let Some(fatal) = breakdown.fatal() {
            self.refuse_waiting(&refusal);
            return Err(fatal);
        }
        let mut pause = PAUSE_MIN;
        let mut batch = Vec::new();
        loop {
            match self.revive(&refusal.message) {
                Ok(engine) => {
                    self.refuse_waiting(&refusal);
                    self.health.recover();
                    tracing::info!("the store takes writes again");
                    return Ok(Some(engine));
                }
                Err(again) => {
                    if let Some(fatal) = again.fatal() {
                        return Err(fatal);
                    }
                    let refusal = again.refusal();
                    self.health.degrade(refusal.message.clone());
                    self.refuse_waiting(&refusal);
                    self.receive_for(runtime, pause, &mut batch);
                    self.refuse(&refusal, &mut batch);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
            if self.stopping {
                return Ok(None);
            }
        }
    }

    /// Proves that the store takes writes, and builds an engine from what it holds.
    fn revive(&self, problem: &str) -> Result<Engine, Breakdown> {
        let commands = vec![recovered(self.clock.now(), problem)];
        let batch = Batch { owner: self.store.incarnation(), commands };
        let outcomes = self.store.commit(batch).map_err(Breakdown::Commit)?;
        if outcomes != [Outcome::Applied] {
            return Err(Breakdown::Refused { command: 0 });
        }
        self.load().map_err(|cause| Breakdown::Read(cause.to_string()))
    }

    fn hang_up(&mut self, refusal: &Refusal) {
        for (_, outbox) in self.outboxes.drain() {
            if let Some(outbox) = outbox {
                outbox.fail(fatal_of(refusal));
            }
        }
    }

    fn refuse_waiting(&mut self, refusal: &Refusal) {
        self.audits.clear();
        let refused = self.refused.drain(..).map(|refused| (refused.reply, refused.error));
        let waiting = self.replies.drain().map(|(_, waiting)| {
            (waiting.reply, waiting.instead.unwrap_or_else(|| refusal.clone()))
        });
        for (reply, error) in refused.chain(waiting) {
            let _ = reply.send(Err(error));
        }
    }

    fn refuse(&mut self, refusal: &Refusal, batch: &mut Vec<Message>) {
        for message in batch.drain(..) {
            match message {
                Message::Call(_, reply) => {
                    let _ = reply.send(Err(refusal.clone()));
                }
                Message::Connect { outbox, .. } => outbox.fail(fatal_of(refusal)),
                Message::Stop => self.stopping = true,
                Message::Frame { .. }
                | Message::Paged { .. }
                | Message::Blob { .. }
                | Message::Disconnect { .. }
                | Message::WorkerDead { .. } => {}
            }
        }
    }
}

fn fatal_of(refusal: &Refusal) -> Fatal {
    Fatal {
        code: refusal.code.to_owned(),
        message: refusal.message.clone(),
        hint: refusal.hint.clone(),
    }
}
