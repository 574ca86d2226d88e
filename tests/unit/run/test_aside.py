from __future__ import annotations

import threading

import anyio
import anyio.lowlevel
import pytest

from pairmill.run.aside import run_aside


async def test_it_returns_and_raises_what_the_call_does() -> None:
    assert await run_aside(lambda: 7) == 7

    def fail() -> None:
        raise LookupError("so")

    with pytest.raises(LookupError, match="so"):
        await run_aside(fail)


async def test_a_call_that_never_returns_is_left_behind() -> None:
    never = threading.Event()
    try:
        with anyio.fail_after(5), anyio.move_on_after(0.01) as scope:
            await run_aside(never.wait, patience_s=0.01)
        assert scope.cancelled_caught
    finally:
        never.set()


async def test_a_call_that_is_nearly_done_is_waited_for() -> None:
    started, done = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        done.wait(0.05)
        done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_aside, work)
        while not started.is_set():
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert done.is_set()
