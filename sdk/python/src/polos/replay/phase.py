"""Where a run stands in this process, and what its server has been told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from polos.errors import Failure


class Phase(Enum):
    """Where the run stands in this process."""

    LOADING = "pages of the journal are still to come"
    RUNNING = "the code runs or waits"
    STORING = "the output is being stored"
    ENDING = "the server has been told, and has not answered"
    GONE = "nothing is left to do"


@dataclass(frozen=True, slots=True)
class Cancel:
    """The run is being cancelled."""

    failure: Failure
    deadline_ms: int
    """When cleanup must have ended."""


class Said(Enum):
    """How much of what a run waits for was said on the present connection."""

    NOTHING = "it is to be said"
    WAIT = "the server knows what it waits for"
    PARK = "the server was asked to park it"


@dataclass(slots=True)
class Waiting:
    """What the run waits for, and what the server has been told of it."""

    wait: dict[str, Any]
    park_ms: int
    said: Said = Said.WAIT


@dataclass(frozen=True, slots=True)
class Ending:
    """How the run leaves this process: the frame's type, and its body without the run."""

    kind: str
    body: str
