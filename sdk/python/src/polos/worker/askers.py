"""Which runs wait for which value: the connection's frames name values by hash only."""

from __future__ import annotations


class Askers:
    """The runs that have asked for values, and those that have sent values to be kept."""

    def __init__(self) -> None:
        self._fetching: dict[str, dict[str, bool]] = {}
        """True once the first piece came after the run had asked: what comes now is the whole."""
        self._storing: dict[str, dict[str, None]] = {}

    def fetch(self, hash: str, run: str) -> None:
        """A run asks for a value."""
        self._fetching.setdefault(hash, {})[run] = False

    def store(self, hash: str, run: str) -> None:
        """A run sends a value, or a piece of one."""
        self._storing.setdefault(hash, {})[run] = None

    def piece(self, hash: str, *, is_first: bool, is_last: bool) -> list[str]:
        """Who is to have a piece. Who asked while a value was under way waits for its own answer."""
        askers = self._fetching.get(hash)
        if askers is None:
            return []
        if is_first:
            askers.update(dict.fromkeys(askers, True))
        runs = [run for run, begun in askers.items() if begun]
        if is_last:
            for run in runs:
                del askers[run]
        if not askers:
            del self._fetching[hash]
        return runs

    def kept(self, hash: str) -> list[str]:
        """Who waits to hear that a value is kept."""
        return list(self._storing.pop(hash, {}))
