"""The limits that both sides keep: the protocol's defaults."""

from __future__ import annotations

from typing import Final

VALUE_INLINE_BYTES_MAX: Final = 1 << 20
"""The largest value carried inside a record."""
BLOB_BYTES_MAX: Final = 32 << 20
"""The largest value kept by reference."""
FRAME_BYTES_MAX: Final = 1 << 20
"""The largest frame on the worker socket."""
MESSAGE_BYTES_MAX: Final = 2 * FRAME_BYTES_MAX + (64 << 10)
"""The largest message a socket accepts: a frame may hold one inline value of the full size."""
ATTEMPTS_JOURNALED: Final = 20
"""How many failed attempts of a step are journaled at its start, and again at its end."""
ACCEPT_MS: Final = 10_000
STEP_TIMEOUT_MS: Final = 600_000
"""How long a step may take unless it says otherwise."""
HOT_MS: Final = 2_000
"""How long a waiting run stays in its worker's memory."""
CLEANUP_MS: Final = 30_000
"""How long cleanup may take after a cancellation."""
