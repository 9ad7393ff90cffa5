"""A value as persisted and sent: JSON in an envelope, inline or by reference."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from polos import limits

_UNSET: Any = object()


def dumps(data: Any) -> str:
    """Compact JSON; `ValueError` for what JSON does not know."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"`{name}` is not JSON")


def loads(text: str) -> Any:
    """Reads JSON; `ValueError` if it is none."""
    return json.loads(text, parse_constant=_no_constant)


class Value:
    """JSON, as text or as data, or a reference to bytes kept apart."""

    __slots__ = ("_data", "_text", "codec", "reference")

    def __init__(
        self,
        *,
        text: str | None = None,
        data: Any = _UNSET,
        reference: tuple[str, int] | None = None,
        codec: str | None = None,
    ) -> None:
        self._text = text
        self._data = data
        self.reference = reference
        """Hash and size of the bytes, if they are kept apart."""
        self.codec = codec

    @staticmethod
    def from_wire(envelope: dict[str, Any]) -> Value:
        """Reads an envelope."""
        codec = envelope.get("codec")
        if "v" in envelope:
            return Value(data=envelope["v"], codec=codec)
        reference = envelope.get("ref")
        if reference is None:
            return Value(data=None, codec=codec)
        return Value(reference=(reference["hash"], reference["size"]), codec=codec)

    @property
    def text(self) -> str:
        """The JSON text."""
        if self._text is None:
            self._text = dumps(self._data)
        return self._text

    @property
    def data(self) -> Any:
        """The JSON as plain Python values."""
        if self._data is _UNSET:
            self._data = loads(self._text or "null")
        return self._data

    def fresh(self) -> Value:
        """The same value without parsed data that somebody may have changed."""
        if self.reference is not None or self._text is None:
            return self
        return Value(text=self._text, codec=self.codec)

    def wire(self) -> str:
        """The envelope as JSON text."""
        if self.reference is not None:
            return dumps({"ref": {"hash": self.reference[0], "size": self.reference[1]}})
        if self.codec is not None:
            return f'{{"v":{self.text},"codec":{dumps(self.codec)}}}'
        return f'{{"v":{self.text}}}'

    @property
    def size(self) -> int:
        """How many bytes the text or the referenced value has."""
        if self.reference is not None:
            return self.reference[1]
        return len(self.text) if self.text.isascii() else len(self.text.encode())

    @property
    def fits_inline(self) -> bool:
        """True if it may travel inside a record."""
        return self.reference is not None or self.size <= limits.VALUE_INLINE_BYTES_MAX


NULL = Value(text="null")
