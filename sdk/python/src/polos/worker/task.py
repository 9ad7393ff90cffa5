"""One run in the worker: inputs go into its replay, effects are run, frames go out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from polos.errors import failure_of
from polos.replay import ending
from polos.replay.request import Begin, Fault, Report, timed_out
from polos.replay.run import BeginEffect, Run
from polos.replay.wire import Frame, Records, Stop
from polos.step import StepContext

if TYPE_CHECKING:
    from polos.worker.runs import Shared

log = logging.getLogger("polos.worker")


class RunTask:
    """Drives one run on the user's event loop. Inputs are noted, and the code has its turn once for
    all that came together."""

    def __init__(
        self,
        run: Run,
        shared: Shared,
        connection: int,
        send: Callable[[str, int, str, str], None],
        ended: Callable[[], None],
    ) -> None:
        self.run = run
        self.assignment = run.machine.assignment
        self._shared = shared
        self._connection = connection
        self._standing = shared.held.hold(run.machine.run, self.assignment)
        self._appends = 0
        """How many `append` frames it has taken in."""
        self._send = send
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._effects: dict[int, asyncio.Task[None]] = {}
        self._turn_wanted = False
        self._timer: tuple[int, asyncio.TimerHandle] | None = None
        self._lease_lost = False
        self._is_over = False

    def note(self, take: Callable[[Run], None]) -> None:
        """Lets the run take an input; its code has its turn soon."""
        if self._is_over:
            return
        self._guarded(lambda: take(self.run))
        self.want_turn()

    def append(self, append: dict[str, Any]) -> None:
        """Records that the server has."""
        self._appends += 1
        self.note(lambda run: run.append(append, self._shared.clock.now()))

    def attached(self, connection: int, kept: dict[str, Any]) -> None:
        """The connection of this number stands."""
        self._connection = connection
        self._lease_lost = False
        self.note(lambda run: run.attached(kept, self._shared.clock.now()))

    def lose_lease(self) -> None:
        """Nothing was heard for the lease."""
        if not self._lease_lost:
            self._lease_lost = True
            self.note(lambda run: run.lease_lost(self._shared.clock.now()))

    def want_turn(self) -> None:
        """Has the code driven when all that came together is noted."""
        if not self._turn_wanted and not self._is_over:
            self._turn_wanted = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_wanted = False
        if self._is_over:
            return
        self._guarded(lambda: self.run.turn(self._shared.clock.now()))
        self._guarded(self._carry_out)
        self._standing.leave(self.run.machine.have, self._appends, self.run.waits_for)
        if self.run.is_gone:
            self.close()
            self._ended()
        else:
            self._set_timer()

    def _guarded(self, act: Callable[[], None]) -> None:
        """A fault of this package gives the run back, and leaves the others alone."""
        try:
            act()
        except Exception:
            log.exception("run %s met a fault of the SDK and is given back", self.run.machine.run)
            ending.give_back(self.run.machine)

    def _carry_out(self) -> None:
        while (output := self.run.next_output()) is not None:
            if isinstance(output, Records):
                self._shared.outbox.records(self._connection, output)
            elif isinstance(output, Frame):
                self._frame(output)
            elif isinstance(output, BeginEffect):
                self._begin(output)
            elif isinstance(output, Stop):
                self._stop(output.effect)

    def _frame(self, frame: Frame) -> None:
        if frame.hash is not None:
            askers = self._shared.askers
            note = askers.fetch if frame.kind == "fetch" else askers.store
            note(frame.hash, self.run.machine.run)
        self._shared.outbox.frame(self._connection, frame)

    def _begin(self, output: BeginEffect) -> None:
        if not self._shared.clock.is_leased or self._standing.is_gone:
            # The machine takes the effect back; it begins again after the re-attachment.
            self.lose_lease()
            return
        begin = output.begin
        step = StepContext(
            run_id=self.run.machine.run,
            key=begin.key,
            attempt=begin.attempt,
            key_generation=self.run.machine.generation,
            send=self._send,
        )
        work = output.effect.begin(begin.kind, step)
        context = output.context.copy()
        task = context.run(self._loop.create_task, self._carry(begin, work))
        self._effects[begin.effect] = task

    async def _carry(self, begin: Begin, work: Any) -> None:
        started_ms = self._shared.clock.now()
        try:
            report: Report = await asyncio.wait_for(work, begin.timeout_ms / 1000)
        except (asyncio.TimeoutError, TimeoutError):
            report = Report(timed_out(begin.timeout_ms))
        except asyncio.CancelledError:
            if begin.effect not in self._effects:
                raise
            # Not stopped by the run: the effect cancelled itself.
            report = Report(Fault(failure_of(RuntimeError("the step was cancelled from inside"))))
        except Exception as error:
            report = Report(Fault(failure_of(error)))
        report.started_ms, report.ended_ms = started_ms, self._shared.clock.now()
        self._effects.pop(begin.effect, None)
        self.note(lambda run: run.report(begin, report, report.ended_ms))

    def _stop(self, effect: int) -> None:
        task = self._effects.pop(effect, None)
        if task is not None:
            self._shared.stopping.add(task)
            task.add_done_callback(self._shared.stopping.discard)
            task.cancel()

    def _set_timer(self) -> None:
        wanted = self.run.machine.timer()
        if self._timer is not None:
            if self._timer[0] == wanted:
                return
            self._timer[1].cancel()
            self._timer = None
        if wanted is not None:
            # One millisecond more, so that the time has come when the timer says so.
            wait = self._shared.clock.seconds_until(wanted) + 0.001
            self._timer = wanted, self._loop.call_later(wait, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.note(lambda run: run.tick(self._shared.clock.now()))

    def close(self) -> None:
        """Stops all that runs for it."""
        self._is_over = True
        if self._timer is not None:
            self._timer[1].cancel()
        for effect in list(self._effects):
            self._stop(effect)
        self.run.close()
