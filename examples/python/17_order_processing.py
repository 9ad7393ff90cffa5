"""A charge that never happens twice, and a person who looks for fraud."""

import asyncio

from pydantic import BaseModel

from polos import (
    Done,
    NotDone,
    Retry,
    WorkflowContext,
    current_step,
    local,
    step,
    workflow,
)


class Order(BaseModel):
    id: str
    total: int


class Review(BaseModel):
    fraud: bool


charges: dict[str, str] = {}
"""Stands for the payment provider: it takes an idempotency key, and counts."""


async def find_charge(order: Order, idempotency_key: str) -> Done[str] | NotDone:
    found = charges.get(idempotency_key)
    return Done(found) if found else NotDone()


@step(effect="once", verify=find_charge, retry=Retry(attempts=5))
async def charge(order: Order) -> str:
    return charges.setdefault(current_step().idempotency_key, f"ch_{len(charges) + 1}")


async def ship(order: Order, payment: str) -> str:
    return f"shipped {order.id} ({payment})"


async def refund(order: Order, payment: str) -> str:
    return f"refunded {order.id} ({payment})"


@workflow
async def fulfil(ctx: WorkflowContext, order: Order) -> str:
    payment = await ctx.step("charge", charge, order)
    review = await ctx.ask("Is this fraud?", form=Review, timeout="24h")
    return await ctx.step("finish", refund if review.fraud else ship, order, payment)


async def main() -> None:
    order = Order(id="o-1", total=30)
    run = await fulfil.start(order, key=f"order-{order.id}")
    async for event in run.events():
        if event.kind == "record" and event.data["record"]["kind"] == "open":
            break
    async for question in run.client.list_approvals(run=run.run_id, state="pending"):
        await run.client.decide(question["id"], True, value=Review(fraud=False))
    print(await run.result(), f"- {len(charges)} charge")
    await local.close()


if __name__ == "__main__":
    asyncio.run(main())
