/** The limits that both sides keep; the server's own are in crates/polos-protocol/src/limits.rs. */

/** The largest value carried inside a record, in bytes. */
export const VALUE_INLINE_BYTES_MAX = 1 << 20;
/** The largest blob, in bytes. */
export const BLOB_BYTES_MAX = 32 << 20;
/** The largest frame on the worker socket, in bytes. */
export const FRAME_BYTES_MAX = 1 << 20;
/** The largest message that the socket takes, in bytes. */
export const MESSAGE_BYTES_MAX = 2 * FRAME_BYTES_MAX + (64 << 10);
/** How deep a value may nest. */
export const VALUE_DEPTH_MAX = 100;
/** The longest step key, in bytes. */
export const KEY_BYTES_MAX = 1024;
/** How many failed attempts of a step are journaled at its start, and again at its end. */
export const ATTEMPTS_JOURNALED = 20;
/** How long a step may take unless it says otherwise, in milliseconds. */
export const STEP_TIMEOUT_MS = 600_000;
/** How long a waiting run stays in its worker's memory, in milliseconds. */
export const HOT_MS = 2_000;
/** How long cleanup may take after a cancellation, in milliseconds. */
export const CLEANUP_MS = 30_000;
