//! The rows, one file a table. Their fields are persisted.

mod api_key;
mod approval;
mod audit;
mod event;
mod queue;
mod run;
mod session;
mod stream;
mod timer;
mod waiter;

pub use api_key::ApiKeyRow;
pub use approval::ApprovalRow;
pub use audit::AuditRow;
pub use event::{EventRow, SignalRow};
pub use queue::QueueRow;
pub use run::{Cancelling, Run, RunRow, RunStatus};
pub use session::SessionRow;
pub use stream::StreamRow;
pub use timer::{TimerKind, TimerRow};
pub use waiter::WaiterRow;

/// A record of a run's journal: the protocol's own form.
pub use polos_protocol::Record as RecordRow;
