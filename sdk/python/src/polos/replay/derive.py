"""What follows from the run alone: idempotency keys, fingerprints, chance."""

from __future__ import annotations

import hashlib
import json
import uuid as uuids
from typing import Any

from polos import ids


def idempotency_key(run: str, key: str, generation: int) -> str:
    """The key handed to a step's effect: the same over attempts, workers and machines."""
    digest = hashlib.sha256(b"polos idempotency key\0" + ids.raw("run", run) + key.encode())
    if generation > 0:
        digest.update(b"\0" + generation.to_bytes(4, "big"))
    return f"polos_{digest.hexdigest()[:32]}"


def chance(seed: str, scope: str, purpose: str, counter: int) -> bytes:
    """32 bytes that derive from the seed, a scope, a purpose and a counter."""
    digest = hashlib.sha256()
    for part in (seed, scope, purpose):
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    digest.update(counter.to_bytes(8, "big"))
    return digest.digest()


def number(drawn: bytes) -> int:
    """The first eight bytes as a number."""
    return int.from_bytes(drawn[:8], "big")


def unit(number: int) -> float:
    """A number of 64 bits as a fraction in 0..1."""
    return (number >> 11) / (1 << 53)


def uuid(drawn: bytes) -> uuids.UUID:
    """A version 4 UUID made of derived bytes."""
    return uuids.UUID(bytes=drawn[:16], version=4)


def sha256_hex(text: str) -> str:
    """The SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(args: Any) -> str:
    """The hash by which replay compares arguments: of their canonical JSON."""
    canonical = json.dumps(args, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256_hex(canonical)[:32]
