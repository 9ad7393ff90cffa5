from __future__ import annotations

from collections.abc import Iterator

import pytest

from polos import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that do not kill it."""
    with Server(tmp_path_factory.mktemp("polos") / "data") as server:
        yield server
