//! The limits: what a provider, or something that poses as one, may make us hold.

/// The largest request body; Anthropic's own limit is 32 MB.
pub(crate) const REQUEST_BYTES_MAX: usize = 32 * 1024 * 1024;
/// All bytes of one streamed reply, framing included.
pub(crate) const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// One server-sent event.
pub(crate) const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How much of an error's body is read.
pub(crate) const ERROR_BODY_BYTES_MAX: usize = 64 * 1024;
/// How much of a provider's own words an error repeats.
pub(crate) const ERROR_TEXT_CHARS_MAX: usize = 1_000;
/// Content blocks in one reply.
pub(crate) const BLOCKS_MAX: usize = 1_024;
/// Tool calls in one reply.
pub(crate) const TOOL_CALLS_MAX: usize = 128;
/// A script of replies.
pub(crate) const SCRIPT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A file of prices.
pub(crate) const PRICES_BYTES_MAX: u64 = 1024 * 1024;
/// Cache markers in one Anthropic request.
pub(crate) const MARKERS_MAX: usize = 4;
