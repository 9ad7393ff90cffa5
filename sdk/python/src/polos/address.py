"""Where the server is: said outright, by the environment, or by a data directory."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from polos.errors import Unreachable

_DIRECTORY = ".polos"
"""The data directory's name, looked for here and in the parents."""


class NoServer(Unreachable):
    """No server is known."""

    code = "no_server"


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address, and a key to it."""

    url: str
    """`http://127.0.0.1:4300` and the like, without a slash at the end."""
    token: str = field(repr=False)

    @staticmethod
    def of(url: str, token: str) -> Address:
        """An address; a missing `http://` is added."""
        url = url.rstrip("/")
        return Address(url if "://" in url else f"http://{url}", token)

    @staticmethod
    def find(url: str | None = None, token: str | None = None) -> Address:
        """What is given, else `POLOS_URL` and `POLOS_TOKEN`, else the data directory's server."""
        url = url or os.environ.get("POLOS_URL")
        token = token or os.environ.get("POLOS_TOKEN")
        if url:
            return Address.of(url, token or "")
        directory = data_directory()
        if directory is None:
            raise NoServer(
                "no server is known: neither `POLOS_URL` is set nor is there a `.polos` directory "
                "here or above",
                hint="start one with `polos dev`, or set POLOS_URL and POLOS_TOKEN",
            )
        found = Address.of_directory(directory)
        return Address(found.url, token) if token else found

    @staticmethod
    def of_directory(directory: Path) -> Address:
        """The server that runs over a data directory."""
        try:
            server = json.loads((directory / "server.json").read_text())
            token = (directory / "token").read_text().strip()
            return Address.of(server["url"], token)
        except FileNotFoundError:
            raise NoServer(
                f"`{directory}` names no running server",
                hint="start one with `polos dev` or `polos serve`",
            ) from None
        except (OSError, ValueError, KeyError) as cause:
            raise NoServer(f"`{directory}` cannot be read: {cause}") from cause


def data_directory() -> Path | None:
    """`POLOS_DATA_DIR`, or the `.polos` here or above."""
    named = os.environ.get("POLOS_DATA_DIR")
    if named:
        return Path(named)
    here = Path.cwd()
    candidates = (parent / _DIRECTORY for parent in (here, *here.parents))
    return next((found for found in candidates if found.is_dir()), None)
