"""A run with its code: the machine, the body that asks it, and the effects of its steps. What the
worker drives; like the machine it does no I/O and keeps no clock."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from polos.errors import Cancelled, Evicted, Failure, StepError, failure_of
from polos.replay import blobs, doubt, effect, ending, hand, park, send
from polos.replay.machine import Machine, Settings
from polos.replay.request import Begin, Report
from polos.replay.scope import ROOT
from polos.replay.strand import Code, Core, Effect, Strand
from polos.replay.wire import Forget, Frame, Records, Stop
from polos.value import Value

log = logging.getLogger("polos.replay")

Body = Callable[[Core, Value], Code]
"""Makes the code of a run of its input. It ends with the output as a `Value`."""


@dataclass(frozen=True, slots=True)
class BeginEffect:
    """An effect to begin, within the time limit, and to be reported."""

    begin: Begin
    effect: Effect
    context: contextvars.Context


RunOutput = Records | Frame | BeginEffect | Stop | Forget


class Run:
    """One run in this process."""

    def __init__(self, start: dict[str, Any], body: Body, settings: Settings, now: int) -> None:
        self.machine = Machine(start, settings)
        self.core = Core(self.machine, now)
        self._body = body
        self._root: Strand | None = None
        self.raised: BaseException | None = None
        """The error with which the code has ended, if it has."""
        self._context = contextvars.Context()
        send.begin(self.machine)

    @property
    def is_gone(self) -> bool:
        """True once it can be dropped."""
        return self.machine.is_gone

    @property
    def waits_for(self) -> dict[str, Any] | None:
        """What it waits for, if nothing of it runs here."""
        return park.waits_for(self.machine)

    def unasked(self) -> list[str]:
        """Recorded requests that the code has not made, in the journal's order."""
        self.machine.journal.drop_lost_unasked()
        return list(self.machine.journal.unasked)

    def append(self, append: dict[str, Any], now: int) -> None:
        """Records that the server has."""
        send.appended(self.machine, append, now)

    def recorded(self, n: int, seq: int, at: int, now: int) -> None:
        """Records of this run are durable."""
        send.recorded(self.machine, n, seq, at, now)

    def blob(self, piece: dict[str, Any]) -> None:
        """A value that was asked for."""
        blobs.received(self.machine, piece)

    def stored(self, hash: str) -> None:
        """The value of this hash is kept."""
        blobs.stored(self.machine, hash)

    def attached(self, kept: dict[str, Any], now: int) -> None:
        """The connection stands again, and the run is still the worker's."""
        send.attached(self.machine, kept, now)

    def detached(self) -> None:
        """The connection is gone."""
        send.detached(self.machine)

    def lease_lost(self, now: int) -> None:
        """Nothing was heard for the lease."""
        doubt.lease_lost(self.machine, now)

    def done(self) -> None:
        """The run is the worker's no more."""
        send.forgotten(self.machine)

    def drain(self) -> None:
        """Runs are wanted back: what waits is parked at once, the rest after its effects."""
        self.machine.draining = True

    def report(self, begin: Begin, report: Report, now: int) -> None:
        """An effect has ended."""
        effect.report(self.machine, begin.request, begin.effect, report, now)

    def tick(self, now: int) -> None:
        """Time has passed."""
        send.tick(self.machine, now)

    def next_output(self) -> RunOutput | None:
        """The next thing to be done outside."""
        while (output := self.machine.next_output()) is not None:
            if not isinstance(output, Begin):
                return output
            begun = self.core.effects.get(output.request)
            if begun is not None:
                return BeginEffect(output, *begun)
        return None

    def turn(self, now: int) -> None:
        """Lets the code run as far as it goes: hands it what there is, one at a time, and begins
        what it asked for."""
        core, machine = self.core, self.machine
        core.now = now
        while self._can_turn():
            if core.awake:
                core.awake = False
                if self._drive():
                    break
            elif not hand.hand_next(machine, now):
                self._rest(now)
                break
        if machine.is_loaded and not machine.is_running:
            self.close()

    def _can_turn(self) -> bool:
        """True if there is a body that may be driven; makes it when the time has come."""
        if not self.machine.is_running:
            return False
        if self._root is not None:
            return True
        given = blobs.resolve(self.machine, self.machine.input)
        if given is None:
            return False
        code = self._context.run(self._body, self.core, given)
        self._root = Strand(self.core, code, ROOT, None, 0)
        self.core.awake = True
        return True

    def _drive(self) -> bool:
        root = self._root
        if root is None or not self._context.run(self.core.drive_root, root):
            return False
        if root.error is None:
            ending.complete(self.machine, root.value)
        else:
            self.raised = root.error
            ending.fail(self.machine, *_uncaught(root.error))
        return True

    def _rest(self, now: int) -> None:
        """The body is idle and nothing is there to be handed."""
        effect.settle(self.machine, now)
        if self.machine.is_running and not self.machine.is_awaited:
            self.core.block_foreign(None)

    def close(self) -> None:
        """Closes the body: nothing that it still does matters."""
        self.core.closed = True
        root, self._root = self._root, None
        if root is None:
            return
        try:
            self._context.run(root.close)
        except (Evicted, GeneratorExit):
            pass
        except RuntimeError as error:
            # The code awaited something while it was being closed.
            log.debug("run %s did not close at once: %s", self.machine.run, error)
        except Exception:
            log.exception("the code of run %s raised while it was closed", self.machine.run)


def _uncaught(error: BaseException) -> tuple[Failure, str | None]:
    """What the server is told of an error that nobody caught, and the step it came from."""
    if isinstance(error, Cancelled):
        return replace(error.failure, code="cancelled"), None
    if isinstance(error, StepError):
        return error.failure, error.step
    return failure_of(error), None
