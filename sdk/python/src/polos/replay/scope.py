"""Scopes: each branch of the code counts its own names, UUIDs and random numbers."""

from __future__ import annotations

import uuid as uuids
from enum import Enum

from polos import keys
from polos.replay import derive

ROOT = 0
"""The run's own scope."""


class ScopeKind(Enum):
    """What a scope is to the code around it."""

    SEQUENCE = "code that runs in order"
    ALL = "its branches must all end"
    FIRST = "its first branch to end decides"


class Scope:
    """One scope, while it has code in it."""

    __slots__ = ("key", "kind", "open", "parent", "randoms", "shielded", "used", "uuids")

    def __init__(self, key: str, kind: ScopeKind, parent: int | None, shielded: bool) -> None:
        self.key = key
        self.kind = kind
        self.parent = parent
        self.shielded = shielded
        """Inside a cleanup: cancellation is not raised here."""
        self.used: dict[str, int] = {}
        self.open: set[str] = set()
        self.uuids = 0
        self.randoms = 0


class Scopes:
    """All scopes of a run that still have code in them."""

    def __init__(self) -> None:
        self._scopes = {ROOT: Scope(keys.RUN, ScopeKind.SEQUENCE, None, False)}
        self._next = 1

    def open(self, parent: int, name: str, kind: ScopeKind) -> int:
        """A scope under `parent`: its name is counted like a step's."""
        above = self._scopes[parent]
        key = keys.child(above.key, name, self._count(above, name))
        opened = self._next
        self._next += 1
        self._scopes[opened] = Scope(key, kind, parent, above.shielded)
        return opened

    def close(self, scope: int) -> None:
        """The code of a scope has ended."""
        if scope != ROOT:
            self._scopes.pop(scope, None)

    def get(self, scope: int) -> Scope | None:
        """A scope that still has code."""
        return self._scopes.get(scope)

    def key(self, scope: int) -> str:
        """The key of a scope."""
        found = self._scopes.get(scope)
        return found.key if found else keys.RUN

    def is_shielded(self, scope: int) -> bool:
        """True inside a cleanup."""
        found = self._scopes.get(scope)
        return found is not None and found.shielded

    @staticmethod
    def _count(scope: Scope, name: str) -> int:
        nth = scope.used[name] = scope.used.get(name, 0) + 1
        return nth

    def take(self, scope: int, name: str) -> tuple[str, bool]:
        """The next key of a name, and whether one of that name is still open."""
        found = self._scopes.get(scope)
        if found is None:
            return keys.child(keys.RUN, name, 1), False
        ambiguous = name in found.open
        found.open.add(name)
        return keys.child(found.key, name, self._count(found, name)), ambiguous

    def take_silently(self, scope: int, name: str) -> str:
        """The key that a name would have now, counting it."""
        found = self._scopes[scope]
        return keys.child(found.key, name, self._count(found, name))

    def release(self, scope: int, name: str) -> None:
        """The step of that name is not open any more."""
        found = self._scopes.get(scope)
        if found is not None:
            found.open.discard(name)

    def next_uuid(self, scope: int, seed: str) -> uuids.UUID:
        """The next derived UUID of a scope."""
        found = self._scopes[scope]
        found.uuids += 1
        return derive.uuid(derive.chance(seed, found.key, "uuid", found.uuids))

    def next_random(self, scope: int, seed: str) -> int:
        """The next derived random number of a scope."""
        found = self._scopes[scope]
        found.randoms += 1
        return derive.number(derive.chance(seed, found.key, "random", found.randoms))
