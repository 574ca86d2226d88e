from __future__ import annotations

import asyncio

import anyio
from hypothesis import given
from hypothesis import strategies as st
from tests.support.asks import make_chunk

from pairmill.run.inbox import Inbox
from pairmill.run.reader import Work


def work(number: int) -> Work:
    return Work(f"{number:032x}", make_chunk(), {})


@given(most=st.integers(1, 9), workers=st.integers(1, 4), count=st.integers(0, 30))
def test_all_get_out_in_order_however_many_take_and_however_few_fit(
    most: int, workers: int, count: int
) -> None:
    taken: list[str] = []

    async def run() -> None:
        inbox = Inbox(most)

        async def take() -> None:
            while (found := await inbox.take()) is not None:
                taken.append(found.unit)
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            for _ in range(workers):
                group.start_soon(take)
            for number in range(count):
                await inbox.put([work(number)])
            inbox.end()

    anyio.run(run)
    assert taken == [work(number).unit for number in range(count)]


async def test_who_fills_it_sleeps_until_half_is_gone() -> None:
    inbox, put = Inbox(4), 0

    async def fill() -> None:
        nonlocal put
        for number in range(8):
            await inbox.put([work(number)])
            put += 1

    async with anyio.create_task_group() as group:
        group.start_soon(fill)
        await anyio.wait_all_tasks_blocked()
        assert put == 4
        await inbox.take()
        await anyio.wait_all_tasks_blocked()
        assert put == 4
        await inbox.take()
        await anyio.wait_all_tasks_blocked()
        assert put == 6
        group.cancel_scope.cancel()


async def test_at_first_one_begins_before_the_next_unit_is_handed_over() -> None:
    inbox, told = Inbox(8), []

    async def work_on_one(name: str) -> None:
        found = await inbox.take()
        assert found is not None
        told.append(f"{name} begins")

    async with anyio.create_task_group() as group:
        group.start_soon(work_on_one, "first")
        group.start_soon(work_on_one, "second")
        await anyio.wait_all_tasks_blocked()
        for number in range(2):
            await inbox.put([work(number)])
            told.append(f"{number} is handed over")
    assert told == ["first begins", "0 is handed over", "second begins", "1 is handed over"]


async def test_who_is_woken_and_leaves_wakes_the_next() -> None:
    inbox, told = Inbox(8), []

    async def take() -> None:
        found = await inbox.take()
        assert found is not None
        told.append(found.unit)

    first, second = (asyncio.get_running_loop().create_task(take()) for _ in range(2))
    await asyncio.sleep(0)
    inbox._singly = 0
    await inbox.put([work(0)])  # which wakes the first, and he is let go before he comes to it
    first.cancel()
    with anyio.fail_after(5):
        await second
    assert told == [work(0).unit]
    assert first.cancelled()
