"""Values to JSON and back, and what is refused."""

from __future__ import annotations

import dataclasses
import enum
import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from polos import ValueRefused
from polos.codec import ANY, annotation_of, codec_of, to_jsonable
from polos.replay.derive import fingerprint
from polos.value import Value


class Color(enum.Enum):
    RED = "red"


class Item(BaseModel):
    name: str
    price: Decimal


@dataclasses.dataclass
class Order:
    id: uuid.UUID
    items: list[Item]
    at: datetime
    raw: bytes = b"\xff\x00"
    color: Color = Color.RED


ORDER = Order(
    id=uuid.UUID(int=7),
    items=[Item(name="Zürich 🚆", price=Decimal("1.10"))],
    at=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=timezone.utc),
)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (None, None),
        (bool, False),
        (int, 2**80),
        (int, -(2**63)),
        (float, 0.1),
        (float, 3),
        (str, ""),
        (str, "\u2028 \x00 é 🚆"),
        (list[int], []),
        (dict[str, int], {"": 0, "a b": 1}),
        (dict[int, str], {1: "a"}),
        (tuple[int, str], (1, "a")),
        (set[int], {1, 2}),
        (bytes, b"\xff\x00\xfe"),
        (list[bytes], [b"", b"\x80"]),
        (Color, Color.RED),
        (uuid.UUID, uuid.UUID(int=1)),
        (Decimal, Decimal("0.10")),
        (date, date(2026, 2, 3)),
        (timedelta, timedelta(seconds=1.5)),
        (datetime, datetime(2026, 1, 2, tzinfo=timezone.utc)),
        (Item, Item(name="a", price=Decimal("2"))),
        (Order, ORDER),
        (list[Order], [ORDER]),
        (Order | None, None),
        (dict[str, Any], {"a": [1, {"b": None}]}),
        (ANY, {"a": [1, 2.5, None, True, "x"]}),
    ],
)
def test_values_come_back_as_they_were(annotation: Any, value: Any) -> None:
    codec = codec_of(annotation)
    written = codec.encode(value, "it")
    read = codec.decode(Value(text=written.text), "it")
    assert read == value
    assert type(read) is type(value) or annotation is float


@pytest.mark.parametrize(
    ("annotation", "value", "path"),
    [
        (ANY, float("nan"), "it"),
        (ANY, {"a": [1, float("inf")]}, "it.a[1]"),
        (ANY, {"a": {1: 2}}, "it.a[1]"),
        (ANY, {"a": object()}, "it.a"),
        (ANY, "half \ud800", "it"),
        (ANY, ORDER, "it"),
        (ANY, {"at": ORDER.at}, "it.at"),
        (list[float], [1.0, float("nan")], "it[1]"),
        (dict[str, Any], {"x": [object()]}, "it.x[0]"),
        (list[str], ["ok", "\udfff"], "it[1]"),
    ],
)
def test_what_cannot_be_recorded_is_named(annotation: Any, value: Any, path: str) -> None:
    with pytest.raises(ValueRefused) as refused:
        codec_of(annotation).encode(value, "it")
    assert refused.value.path == path


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(ValueRefused):
        codec_of(int).encode("1", "it")
    with pytest.raises(ValueRefused):
        codec_of(Item).encode({"name": 1}, "it")
    with pytest.raises(ValueRefused, match="does not fit `Item`"):
        codec_of(Item).decode(Value(text='{"name": 1}'), "it")


def test_the_code_owns_what_it_is_handed() -> None:
    written = codec_of(ANY).encode({"a": [1]}, "it")
    first = codec_of(ANY).decode(written, "it")
    first["a"].append(2)
    assert codec_of(ANY).decode(written, "it") == {"a": [1]}


def test_fingerprints_ignore_the_order_of_keys_and_nothing_else() -> None:
    assert fingerprint({"b": 1, "a": [1, {"y": "", "x": None}]}) == fingerprint(
        {"a": [1, {"x": None, "y": ""}], "b": 1}
    )
    assert fingerprint([1]) != fingerprint([2**53 + 1])
    assert to_jsonable(ORDER, "it")["items"][0]["price"] == "1.10"


def test_annotations_are_resolved_where_they_stand() -> None:
    class Local(BaseModel):
        n: int

    async def made() -> Local: ...

    assert annotation_of(made, "return", {"Local": Local}) is Local
    with pytest.raises(ValueRefused, match="cannot be resolved"):
        annotation_of(made, "return", None)
    assert annotation_of(lambda: 1, "return", None) is ANY
