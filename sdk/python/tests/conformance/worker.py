"""A worker process for one scenario, of one build."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from polos import Worker, Workflow, WorkflowContext

from .program import Machine, Program, World


def definition(world: World, name: str, program: Program) -> Workflow[Any, Any]:
    async def body(ctx: WorkflowContext, input: Any) -> Any:
        return await Machine(ctx, world, input).run(program)

    return Workflow(body, id=world.prefix + name)


def log_frames(worker: Worker, directory: Path) -> None:
    """Writes down what is handed to the socket."""
    outbox = worker._shared.outbox  # pyright: ignore[reportPrivateUsage]
    take = outbox.take

    def logged() -> list[str]:
        frames = take()
        with (directory / "frames").open("a") as log:
            log.writelines(text + "\n" for text in frames)
        return frames

    outbox.take = logged


async def main(directory: Path, scenario: dict[str, Any], build: str, prefix: str) -> None:
    world = World(directory, scenario.get("faults", []), prefix)
    programs: dict[str, Program] = {
        "main": scenario["programs"][build],
        **scenario.get("children", {}),
    }
    workflows = [definition(world, name, program) for name, program in programs.items()]
    worker = world.worker = Worker(workflows, build=build)
    log_frames(worker, directory)
    await worker.run()


if __name__ == "__main__":
    _, where, file, build, prefix = sys.argv
    asyncio.run(main(Path(where), json.loads(Path(file).read_text()), build, prefix))
