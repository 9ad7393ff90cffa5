//! What comes out of the engine, after the commit that makes it true.

use crate::error::Error;
use crate::input::{ConnectionId, RequestId};
use crate::pager::Order;
use polos_protocol::frame::FromServer;
use polos_protocol::rest::{
    Approval, DefinitionStatus, PublishResponse, Session, StartResponse, VerbResponse, WorkerStatus,
};
use polos_protocol::{Namespace, QueueConfig, RunId};
use std::collections::BTreeMap;

/// Something to be done.
#[derive(Debug)]
pub enum Output {
    /// Send a frame to a worker.
    Send(ConnectionId, FromServer),
    /// Send a worker a stretch of a journal, page by page, after the frames sent to it so far; then
    /// [`crate::Input::Paged`].
    Page(ConnectionId, Box<Order>),
    /// End a connection, after the frames sent to it so far.
    Close(ConnectionId),
    /// Answer a request.
    Reply(RequestId, Result<Response, Error>),
    /// Something about a run is different: its journal, its live output or its state.
    Changed(Namespace, RunId),
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub enum Response {
    /// To `Start`.
    Started(StartResponse),
    /// To `Verb`.
    Done(VerbResponse),
    /// To `Decide`.
    Decided(Box<Approval>),
    /// To `Publish`.
    Published(PublishResponse),
    /// To `PutQueue` and `PauseQueue`.
    Queue(QueueConfig),
    /// To `CreateSession`.
    Session(Box<Session>),
    /// To `Workers`.
    Workers(Vec<WorkerStatus>),
    /// To `Definitions`.
    Definitions(Vec<DefinitionStatus>),
    /// To `Explain`.
    Why(String),
    /// To `ExplainQueued`: those that still stand in their queues.
    Whys(BTreeMap<RunId, String>),
    /// To `Retain`: how many runs were deleted.
    Deleted(u64),
    /// To `Write` and `DrainWorker`.
    Ok,
}
