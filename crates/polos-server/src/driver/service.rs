//! The driver's life: it loads the engine, takes turn after turn, and ends when told or when the
//! store cannot be trusted any more.

use super::handle::Handle;
use super::message::{Message, Reply};
use super::outbox::Outbox;
use crate::changes::Changes;
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::health::Health;
use polos_engine::{Config, ConnectionId, Engine, Error as Refusal, RequestId};
use polos_protocol::Millis;
use polos_store::row::AuditRow;
use polos_store::{ReadError, Store};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

/// How many messages may wait for the driver; who has more waits.
const MESSAGES_MAX: usize = 8192;
/// How many messages one commit takes.
const BATCH_MESSAGES_MAX: usize = 2048;
/// The longest sleep: a bound on what a forgotten deadline can cost.
const SLEEP_MAX: Duration = Duration::from_mins(1);
/// The shortest sleep between two ticks.
const TICK_MIN: Duration = Duration::from_millis(1);
/// How long nothing must happen before a virtual clock skips ahead.
const IDLE: Duration = Duration::from_millis(20);
/// On a virtual clock time says nothing about whether a worker lives.
const NEVER_MS: u64 = 1 << 52;
/// How long a waiting run stays in its worker's memory on a virtual clock.
const VIRTUAL_HOT_MS: u64 = 10;

/// What a driver needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// The engine's figures; the incarnation is taken from the store.
    pub engine: Config,
    /// The server's clock.
    pub clock: Clock,
}

/// Why a driver has ended. The process must end with it: what it believes may not be true.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be read at the start.
    #[error("the store cannot be read: {0}")]
    Load(#[source] ReadError),
    /// Another server has the store.
    #[error("another server has taken the store over: {0}")]
    Fenced(String),
    /// The disk has failed.
    #[error("the disk has failed, and what was written is in doubt: {0}")]
    Fatal(String),
    /// The engine has broken a rule of its own.
    #[error("the engine broke off: this is a bug in Polos; nothing that was acknowledged is lost")]
    Panicked,
    /// The system gives no thread or timer.
    #[error("the driver's thread cannot start: {0}")]
    Thread(#[source] std::io::Error),
    /// The system gives no randomness.
    #[error("the system gives no random bytes: {0}")]
    Entropy(getrandom::Error),
}

/// The driver before it runs.
pub struct Service {
    driver: Driver,
}

impl Service {
    /// Makes a driver and the handle to it. Messages wait until it runs.
    pub fn new(options: Options, store: Arc<dyn Store>) -> (Self, Handle) {
        let Options { mut engine, clock } = options;
        engine.incarnation = store.incarnation();
        if clock.is_virtual() {
            engine.lease_ms = NEVER_MS;
            engine.ping_ms = NEVER_MS;
            engine.accept_ms = NEVER_MS;
            engine.step_timeout_ms = NEVER_MS;
            engine.hot_ms = engine.hot_ms.min(VIRTUAL_HOT_MS);
        }
        let (sender, messages) = mpsc::channel(MESSAGES_MAX);
        let grace = Duration::from_millis(engine.grace_ms);
        let handle = Handle::new(sender, Arc::clone(&store), clock.clone(), grace);
        let driver = Driver {
            messages,
            config: engine,
            store,
            clock,
            changes: handle.changes().clone(),
            health: handle.health().clone(),
            entropy: Entropy::new(),
            outboxes: HashMap::new(),
            replies: HashMap::new(),
            audits: HashMap::new(),
            refused: Vec::new(),
            next_request: 1,
            stopping: false,
        };
        (Self { driver }, handle)
    }

    /// Runs on a thread of its own until [`Handle`]'s stop, or until it must not go on.
    pub async fn run(self) -> Result<(), Error> {
        let (done, ended) = oneshot::channel();
        let driver = self.driver;
        std::thread::Builder::new()
            .name("polos-driver".into())
            .spawn(move || {
                let _ = done.send(driver.run());
            })
            .map_err(Error::Thread)?;
        ended.await.unwrap_or(Err(Error::Panicked))
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

/// A call that waits for its answer.
pub(super) struct Waiting {
    pub(super) reply: Reply,
    /// The answer to give if all is well, where it is not the engine's.
    pub(super) instead: Option<Refusal>,
}

/// An audited call that the engine refused.
pub(super) struct Refused {
    pub(super) row: AuditRow,
    pub(super) reply: Reply,
    pub(super) error: Refusal,
}

pub(super) struct Driver {
    pub(super) messages: mpsc::Receiver<Message>,
    pub(super) config: Config,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    pub(super) changes: Changes,
    pub(super) health: Health,
    pub(super) entropy: Entropy,
    /// The connections that the engine knows; `None` after it has closed one.
    pub(super) outboxes: HashMap<ConnectionId, Option<Outbox>>,
    /// The calls that wait for their answer.
    pub(super) replies: HashMap<RequestId, Waiting>,
    /// What the audit log says about them.
    pub(super) audits: HashMap<RequestId, AuditRow>,
    /// Audited calls that the engine refused: answered when the next batch has said so.
    pub(super) refused: Vec<Refused>,
    pub(super) next_request: u64,
    pub(super) stopping: bool,
}

impl Driver {
    fn run(mut self) -> Result<(), Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(Error::Thread)?;
        let mut engine = self.load().map_err(Error::Load)?;
        let mut batch = Vec::new();
        loop {
            self.receive(&runtime, engine.next_deadline(), &mut batch);
            if let Err(breakdown) = self.turn(&mut engine, &mut batch) {
                match self.outage(&runtime, &breakdown)? {
                    Some(revived) => engine = revived,
                    None => return Ok(()),
                }
            }
            if self.stopping && self.refused.is_empty() {
                return Ok(());
            }
        }
    }

    pub(super) fn load(&self) -> Result<Engine, ReadError> {
        Engine::load(self.config.clone(), self.clock.now(), &*self.store)
    }

    /// Waits for messages, but not beyond the deadline.
    fn receive(&mut self, runtime: &Runtime, deadline: Option<Millis>, batch: &mut Vec<Message>) {
        let waited = self.receive_for(runtime, self.sleep(deadline), batch);
        if !waited && self.clock.is_virtual() && self.refused.is_empty() {
            self.skip_ahead();
        }
    }

    /// Waits for messages for a time; false if none came.
    pub(super) fn receive_for(
        &mut self,
        runtime: &Runtime,
        time: Duration,
        batch: &mut Vec<Message>,
    ) -> bool {
        let messages = &mut self.messages;
        let came = runtime.block_on(async {
            tokio::time::timeout(time, messages.recv_many(batch, BATCH_MESSAGES_MAX)).await
        });
        self.stopping |= matches!(came, Ok(0));
        came.is_ok()
    }

    fn sleep(&self, deadline: Option<Millis>) -> Duration {
        if !self.refused.is_empty() {
            return Duration::ZERO;
        }
        let longest = if self.clock.is_virtual() { IDLE } else { SLEEP_MAX };
        let until = deadline
            .map_or(SLEEP_MAX, |at| Duration::from_millis(at.saturating_sub(self.clock.now())));
        until.clamp(TICK_MIN, longest)
    }

    /// Moves a virtual clock to the next timer if no run is at work.
    fn skip_ahead(&self) {
        let idle = self.store.running_runs().is_ok_and(|runs| runs.is_empty());
        if !idle {
            return;
        }
        if let Ok(timers) = self.store.timers(None, 1)
            && let Some(next) = timers.first()
        {
            self.clock.skip_to(next.at);
        }
    }
}
