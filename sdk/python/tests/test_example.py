"""The example of the README, whole: an order with a fraud review."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from pydantic import BaseModel

from polos import (
    Client,
    Done,
    NotDone,
    Retry,
    Server,
    TimedOut,
    Worker,
    WorkflowContext,
    current_step,
    step,
    workflow,
)


class Order(BaseModel):
    id: str
    total: int


class Charge(BaseModel):
    id: str
    total: int


class Review(BaseModel):
    fraud: bool


class Receipt(BaseModel):
    order: str
    shipped: bool


class Stripe:
    """A counting fake."""

    def __init__(self) -> None:
        self.charges: dict[str, Charge] = {}

    async def charge(self, total: int, key: str) -> Charge:
        await asyncio.sleep(0)
        return self.charges.setdefault(key, Charge(id=f"ch_{len(self.charges)}", total=total))


stripe = Stripe()


async def find_charge(order: Order, idempotency_key: str) -> Done[Charge] | NotDone:
    found = stripe.charges.get(idempotency_key)
    return Done(found) if found else NotDone()


@step(effect="once", verify=find_charge, retry=Retry(attempts=5))
async def charge(order: Order) -> Charge:
    return await stripe.charge(order.total, key=current_step().idempotency_key)


async def refund(order: Order, payment: Charge) -> Receipt:
    return Receipt(order=order.id, shipped=False)


async def ship(order: Order, payment: Charge) -> Receipt:
    return Receipt(order=order.id, shipped=True)


@workflow
async def fulfil(ctx: WorkflowContext, order: Order) -> Receipt:
    payment = await ctx.step("charge", charge, order)
    review = await ctx.ask("Is this fraud?", form=Review, timeout="24h")
    return await ctx.step("finish", refund if review.fraud else ship, order, payment)


async def answer(client: Client, run_id: str, fraud: bool) -> None:
    while True:
        async for approval in client.list_approvals(run=run_id, state="pending"):
            assert approval["title"] == "Is this fraud?"
            form: dict[str, object] = approval.get("form") or {}
            assert form["title"] == "Review"
            await client.decide(approval["id"], True, value=Review(fraud=fraud))
            return
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("fraud", [True, False])
async def test_an_order_is_charged_once_and_reviewed(server: Server, fraud: bool) -> None:
    address = server.address
    order = Order(id=uuid.uuid4().hex, total=12)
    before = len(stripe.charges)
    async with Client(address.url, address.token) as client:
        worker = Worker([fulfil], url=address.url, token=address.token)
        serving = asyncio.create_task(worker.run())
        running = asyncio.create_task(fulfil.run(order, key=f"order-{order.id}", client=client))
        run = await client.start(fulfil, order, key=f"order-{order.id}")
        await answer(client, run.run_id, fraud)
        receipt = await running
        assert receipt == Receipt(order=order.id, shipped=not fraud)
        assert (await run.result()) == receipt
        assert len(stripe.charges) == before + 1
        worker.drain()
        await serving


async def test_a_question_gives_up(server: Server) -> None:
    @workflow(id="gives-up")
    async def gives_up(ctx: WorkflowContext) -> str:
        try:
            await ctx.ask("Anybody?", timeout="200ms")
        except TimedOut as late:
            return late.code
        return "answered"

    address = server.address
    async with Client(address.url, address.token) as client:
        worker = Worker([gives_up], url=address.url, token=address.token)
        serving = asyncio.create_task(worker.run())
        assert await gives_up.run(client=client) == "timeout"
        worker.drain()
        await serving
