"""User values to JSON and back, by their annotations: plain JSON, Pydantic models, dataclasses,
enums, datetimes, bytes, UUIDs, decimals. What would not come back as it was is refused, naming the
place inside the value. Pydantic is loaded when the first value needs it."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from polos.errors import ValueRefused
from polos.value import Value, dumps, loads

if TYPE_CHECKING:
    from pydantic import TypeAdapter

ANY: Any = object
"""The annotation of values that are plain JSON."""
_PLAIN: dict[Any, type] = {
    None: type(None),
    type(None): type(None),
    bool: bool,
    int: int,
    str: str,
}


class Codec:
    """Writes and reads the values of one annotation."""

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self._plain = _PLAIN.get(annotation) if _is_hashable(annotation) else None
        self._is_any = annotation in (ANY, Any) if _is_hashable(annotation) else False
        self._is_wrapped = False
        self._made: TypeAdapter[Any] | None = None

    @property
    def _adapter(self) -> TypeAdapter[Any]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def _make(self) -> TypeAdapter[Any]:
        from pydantic import BaseModel, ConfigDict, TypeAdapter

        if inspect.isclass(self.annotation) and issubclass(self.annotation, BaseModel):
            return TypeAdapter(self.annotation)
        # In a tuple, a dataclass too is written and read by this configuration.
        config = ConfigDict(
            ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants"
        )
        self._is_wrapped = True
        wrapped: Any = tuple.__class_getitem__((self.annotation,))
        return TypeAdapter(wrapped, config=config)

    def encode(self, value: Any, what: str) -> Value:
        """The value for the journal; `what` names it if it is refused."""
        if self._is_any:
            check_plain(value, what, "annotate it with its type, so that it can be read back")
            return _written(value, what)
        if self._plain is not None and type(value) is self._plain:
            return _written(value, what)
        try:
            adapter = self._adapter
            wrapped = (value,) if self._is_wrapped else value
            data = adapter.dump_python(wrapped, mode="json", warnings="error", by_alias=True)
        except Exception as cause:
            raise self._refusal(value, what, cause) from cause
        data = data[0] if self._is_wrapped else data
        check_plain(data, what, "")
        return _written(data, what)

    def decode(self, value: Value, what: str) -> Any:
        """The value as the code wants it. It is the code's own: nobody else holds it."""
        if value.codec is not None:
            raise ValueRefused(
                what, f"it is written with the codec `{value.codec}`, not known here"
            )
        if self._is_any:
            return loads(value.text)
        if self._plain is not None and type(value.data) is self._plain:
            return value.data
        try:
            adapter = self._adapter
            if self._is_wrapped:
                return adapter.validate_json(f"[{value.text}]")[0]
            return adapter.validate_json(value.text)
        except ValueError as cause:
            shown = getattr(self.annotation, "__name__", str(self.annotation))
            raise ValueRefused(what, f"it does not fit `{shown}`: {_first_line(cause)}") from cause

    def schema(self) -> dict[str, Any] | None:
        """The JSON Schema of its values, if there is one to tell."""
        if self._is_any:
            return None
        from pydantic import TypeAdapter

        try:
            return TypeAdapter(self.annotation).json_schema()
        except Exception:
            return None

    def _refusal(self, value: Any, what: str, cause: Exception) -> ValueRefused:
        for path, why in _unrecordable(value, what):
            return ValueRefused(path, why)
        return ValueRefused(what, _first_line(cause))


def _first_line(cause: Exception) -> str:
    errors = getattr(cause, "errors", None)
    if callable(errors):
        found: Any = errors()
        place = ".".join(str(part) for part in found[0]["loc"][1:])
        return f"{found[0]['msg']}{f' (at `{place}`)' if place else ''}"
    return " ".join(line.strip() for line in str(cause).splitlines()[:3])


def _is_hashable(annotation: Any) -> bool:
    try:
        hash(annotation)
    except TypeError:
        return False
    return True


def _written(data: Any, what: str) -> Value:
    try:
        return Value(text=dumps(data))
    except (ValueError, TypeError, RecursionError) as cause:
        raise ValueRefused(what, str(cause)) from cause


_codecs: dict[Any, Codec] = {}


def codec_of(annotation: Any) -> Codec:
    """The codec of an annotation."""
    if not _is_hashable(annotation):
        return Codec(annotation)
    codec = _codecs.get(annotation)
    if codec is None:
        codec = _codecs[annotation] = Codec(annotation)
    return codec


_MISSING = object()


def annotation_of(function: Callable[..., Any], name: str, names: Mapping[str, Any] | None) -> Any:
    """One annotation of a function (`return` for its result), resolved; `ANY` if it has none.
    `names` are the local names where the function was decorated."""
    bare: Any = inspect.unwrap(function)
    bare = getattr(bare, "__func__", bare)
    if not hasattr(bare, "__annotations__"):
        bare = type(bare).__call__
    found = getattr(bare, "__annotations__", {}).get(name, _MISSING)
    if found is _MISSING or found is inspect.Parameter.empty:
        return ANY
    if isinstance(found, str):
        found = _resolved(bare, found, names)
    if found is None:
        return None
    return _awaited(found)


def _resolved(function: Any, text: str, names: Mapping[str, Any] | None) -> Any:
    scope: dict[str, Any] = dict(names or {})
    with contextlib.suppress(TypeError, ValueError):
        scope |= inspect.getclosurevars(function).nonlocals
    try:
        return eval(text, getattr(function, "__globals__", {}), scope)
    except Exception as cause:
        name = getattr(function, "__qualname__", repr(function))
        raise ValueRefused(
            name,
            f"its annotation `{text}` cannot be resolved here ({cause})",
            "define the type at the top level of a module that is imported outside TYPE_CHECKING",
        ) from cause


def _awaited(annotation: Any) -> Any:
    """The type inside `Awaitable[T]` and `Coroutine[Any, Any, T]`."""
    origin = typing.get_origin(annotation)
    if inspect.isclass(origin) and origin.__name__ in ("Awaitable", "Coroutine"):
        return typing.get_args(annotation)[-1]
    return annotation


def check_plain(value: Any, path: str, hint: str) -> None:
    """Refuses what JSON does not hold as it is, naming the place."""
    kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind is str:
        if not value.isascii():
            _check_text(value, path)
    elif kind is float:
        if not math.isfinite(value):
            raise ValueRefused(path, f"the number `{value}` is not JSON")
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise ValueRefused(f"{path}[{key!r}]", "its key is not a text", hint)
            if not key.isascii():
                _check_text(key, f"{path}[{key!r}]")
            check_plain(item, f"{path}.{key}", hint)
    elif kind is list or kind is tuple:
        for index, item in enumerate(value):
            check_plain(item, f"{path}[{index}]", hint)
    elif not (value is None or kind is bool or kind is int):
        raise ValueRefused(path, f"a `{kind.__qualname__}` is not plain JSON", hint)


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueRefused(path, "the text holds half of a surrogate pair") from None


def to_jsonable(value: Any, what: str) -> Any:
    """Plain JSON made of a value by what it is, not by an annotation: for fingerprints."""
    try:
        check_plain(value, what, "")
        return value
    except ValueRefused:
        pass
    from pydantic_core import to_jsonable_python

    try:
        data = to_jsonable_python(value, bytes_mode="base64", inf_nan_mode="constants")
    except Exception as cause:
        for path, why in _unrecordable(value, what):
            raise ValueRefused(path, why) from cause
        raise ValueRefused(what, _first_line(cause)) from cause
    check_plain(data, what, "")
    return data


def _unrecordable(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """The places inside a value that cannot be written, and why."""
    if isinstance(value, float) and not math.isfinite(value):
        yield path, f"the number `{value}` is not JSON"
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            yield path, "the text holds half of a surrogate pair"
    else:
        parts = list(_parts(value, path))
        for inner_path, inner in parts:
            yield from _unrecordable(inner, inner_path)
        if not parts and not _is_written(value):
            yield path, f"a `{type(value).__qualname__}` has no form in JSON"


def _parts(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
    if issubclass(kind, Mapping):
        yield from ((f"{path}.{key}", item) for key, item in value.items())
    elif issubclass(kind, list | tuple | set | frozenset):
        yield from ((f"{path}[{index}]", item) for index, item in enumerate(value))
    elif dataclasses.is_dataclass(kind):
        for one in dataclasses.fields(kind):
            yield f"{path}.{one.name}", getattr(value, one.name)
    else:
        for name in getattr(kind, "model_fields", ()):
            yield f"{path}.{name}", getattr(value, name)


def _is_written(value: Any) -> bool:
    from pydantic_core import to_jsonable_python

    try:
        to_jsonable_python(value, bytes_mode="base64")
    except Exception:
        return False
    return True
