"""Ids: a printed prefix and 128 bits in Crockford base32, time ordered."""

from __future__ import annotations

import hashlib
import os
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_DIGITS = {character: value for value, character in enumerate(_ALPHABET)}
_LENGTH = 26


def text(prefix: str, raw: bytes) -> str:
    """The printed form of 16 bytes."""
    bits = int.from_bytes(raw, "big")
    digits = (_ALPHABET[(bits >> (5 * place)) & 31] for place in range(_LENGTH - 1, -1, -1))
    return f"{prefix}_{''.join(digits)}"


def raw(prefix: str, printed: str) -> bytes:
    """The 16 bytes of a printed id; `ValueError` if it is not one of this kind."""
    head, _, digits = printed.partition("_")
    if head != prefix or len(digits) != _LENGTH or digits[0] > "7":
        raise ValueError(f"`{printed[:64]}` is not an id of the form `{prefix}_…`")
    bits = 0
    for character in digits:
        value = _DIGITS.get(character)
        if value is None:
            raise ValueError(f"`{printed[:64]}` is not an id of the form `{prefix}_…`")
        bits = bits << 5 | value
    return bits.to_bytes(16, "big")


def new(prefix: str) -> str:
    """A new id: this moment and chance."""
    return text(prefix, int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10))


def child_run(parent: str, key: str) -> str:
    """The id of the run that `parent` opens under a key: the same two give the same id always."""
    above = raw("run", parent)
    digest = hashlib.sha256(b"run" + above + key.encode()).digest()
    return text("run", above[:6] + digest[:10])
