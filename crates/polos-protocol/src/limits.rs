//! The limits that both sides keep. Figures are defaults of the protocol; the server sends the
//! ones in force in `welcome`.

/// The largest value carried inside a record, in bytes.
pub const VALUE_INLINE_BYTES_MAX: usize = 1 << 20;
/// Values above this size travel by reference in journal pages, in bytes.
pub const VALUE_BY_REFERENCE_BYTES: usize = 32 << 10;
/// The largest blob, in bytes.
pub const BLOB_BYTES_MAX: usize = 32 << 20;
/// The largest frame on the worker socket, in bytes.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// The largest message a socket accepts: a frame may hold one inline value of the full size.
pub const MESSAGE_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX + (64 << 10);
/// A page of the journal, in bytes.
pub const JOURNAL_PAGE_BYTES: usize = 256 << 10;
/// How many pages of journals may be under way on one connection.
pub const PAGES_UNDER_WAY_MAX: u32 = 16;
/// A run's journal, in bytes; beyond it the run blocks with advice.
pub const JOURNAL_BYTES_MAX: u64 = 64 << 20;
/// A run's journal, in records; beyond it the run blocks with advice.
pub const JOURNAL_RECORDS_MAX: u64 = 100_000;
/// How deep runs may start runs.
pub const DEPTH_MAX: u32 = 32;
/// How many children one run may have.
pub const CHILDREN_MAX: u32 = 10_000;
/// The longest step key, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;
/// The longest name of a workflow, queue, topic, label or start key, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// How many labels a run may carry.
pub const LABELS_MAX: usize = 32;
/// How many failed attempts of a step are journaled at its start, and again at its end.
pub const ATTEMPTS_JOURNALED: u32 = 20;
/// How deep wait trees may nest.
pub const WAIT_DEPTH_MAX: usize = 64;
/// How many leaves a wait tree may have.
pub const WAIT_LEAVES_MAX: usize = 10_000;
/// A connection that says nothing for this long has lost its lease, in milliseconds.
pub const LEASE_MS: u64 = 10_000;
/// How often the server pings, in milliseconds.
pub const PING_MS: u64 = 3_000;
/// How long a connection that ended may take to come back, in milliseconds.
pub const GRACE_MS: u64 = 1_000;
/// How long a started run may take to be accepted by the worker's own loop, in milliseconds.
pub const ACCEPT_MS: u64 = 10_000;
/// How long a step may take unless it says otherwise, in milliseconds.
pub const STEP_TIMEOUT_MS: u64 = 600_000;
/// How long a waiting run stays in its worker's memory, in milliseconds.
pub const HOT_MS: u64 = 2_000;
/// How long cleanup may take after a cancellation, in milliseconds.
pub const CLEANUP_MS: u64 = 30_000;
