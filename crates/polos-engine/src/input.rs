//! What goes into the engine.

use crate::pager::Ended;
use polos_protocol::frame::{FromWorker, Hello};
use polos_protocol::rest::{DecideRequest, PublishRequest, SessionRequest, StartRequest, Verb};
use polos_protocol::{ApprovalId, Millis, Namespace, QueueConfig, RunId, WorkerId};
use polos_store::Change;
use polos_store::read::ReadyRun;
use std::sync::Arc;

/// The time of an input, and bytes from which its ids derive.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The server's time. It must never go back.
    pub now: Millis,
    /// Fresh random bytes, of this input only.
    pub entropy: [u8; 16],
}

/// A connection of a worker, numbered by the driver; a number is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// A request that waits for its response, numbered by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A worker has connected and said hello.
    Connect {
        /// The new connection.
        connection: ConnectionId,
        /// The namespace of its key.
        namespace: Namespace,
        /// Its first frame.
        hello: Box<Hello>,
    },
    /// A worker has sent a frame (any but `hello`, `fetch` and `store`, which the driver answers).
    Frame {
        /// Its connection.
        connection: ConnectionId,
        /// The frame.
        frame: FromWorker,
    },
    /// The last page of an order is about to be sent.
    Paged {
        /// The connection.
        connection: ConnectionId,
        /// What was ordered.
        ended: Ended,
    },
    /// A worker's value is complete and checked: keep it.
    Blob {
        /// Its connection.
        connection: ConnectionId,
        /// The run that will refer to it.
        run: RunId,
        /// The SHA-256 of the text, in hex.
        hash: Arc<str>,
        /// The text.
        text: Arc<str>,
    },
    /// A connection has ended.
    Disconnect {
        /// Which.
        connection: ConnectionId,
    },
    /// A worker's process is known to be gone: nothing of it can act any more.
    WorkerDead {
        /// Which.
        worker: WorkerId,
    },
    /// Somebody asks for something.
    Request {
        /// Names the response.
        id: RequestId,
        /// The namespace of the caller's key.
        namespace: Namespace,
        /// Who asks: the name of the key.
        principal: Arc<str>,
        /// What for.
        request: Request,
    },
    /// Time has passed: [`crate::Engine::next_deadline`] has come.
    Tick,
}

/// A large value that was checked, and the SHA-256 of its text in hex.
#[derive(Clone)]
pub struct Kept {
    /// The hash.
    pub hash: Arc<str>,
    /// The text.
    pub text: Arc<str>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({} bytes as {})", self.text.len(), self.hash)
    }
}

/// What one can ask the engine. Everything that only reads goes to the store instead.
#[derive(Debug, Clone)]
pub enum Request {
    /// Start a run.
    Start(Box<StartRequest>),
    /// Start a run whose input is too large to stand inline: it is kept apart, and what the request
    /// itself has for an input is not looked at.
    StartWith(Box<StartRequest>, Kept),
    /// Do an operator's verb to a run.
    Verb(RunId, Verb),
    /// Answer an approval.
    Decide(ApprovalId, DecideRequest),
    /// Publish an event or send a signal.
    Publish(PublishRequest),
    /// Set what a queue allows.
    PutQueue(QueueConfig),
    /// Pause (true) or resume (false) a queue.
    PauseQueue(String, bool),
    /// Make a session.
    CreateSession(SessionRequest),
    /// Let a worker finish or park what it has and take nothing new.
    DrainWorker(WorkerId),
    /// The workers of the namespace.
    Workers,
    /// What the namespace's workers can run.
    Definitions,
    /// Why a run stands where it stands, in one sentence.
    Explain(RunId),
    /// Why queued runs wait, in one sentence each: their places and what would let them go on.
    ExplainQueued(Vec<ReadyRun>),
    /// Make rows durable that the engine has no rule for: API keys, audit entries.
    Write(Vec<Change>),
    /// Delete runs that ended before this time, whole trees only, and what else is as old.
    Retain(Millis),
}
