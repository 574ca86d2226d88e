from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from pairmill.run.threads import hold_in_thread, run_in_daemon_thread

if TYPE_CHECKING:
    from collections.abc import Iterator


async def test_it_returns_and_raises_what_the_call_does() -> None:
    assert await run_in_daemon_thread(lambda: 7) == 7

    def fail() -> None:
        raise LookupError("so")

    with pytest.raises(LookupError, match="so"):
        await run_in_daemon_thread(fail)


async def test_a_call_that_never_returns_is_left_behind() -> None:
    never = threading.Event()
    try:
        with anyio.fail_after(5), anyio.move_on_after(0.01) as scope:
            await run_in_daemon_thread(never.wait, patience_s=0.01)
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
        tasks.start_soon(run_in_daemon_thread, work)
        while not started.is_set():
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert done.is_set()


async def test_what_takes_long_to_begin_is_held_beside_the_loop() -> None:
    may_begin, events = threading.Event(), []

    @contextmanager
    def slow(over: threading.Event) -> Iterator[int]:
        may_begin.wait()
        events.append("begun")
        try:
            yield 7
        finally:
            events.append(f"ended {over.is_set()}")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, may_begin.set)  # the loop goes on
        async with hold_in_thread(slow) as value:
            assert (value, events) == (7, ["begun"])
    assert events == ["begun", "ended True"]


async def test_what_cannot_begin_says_so() -> None:
    @contextmanager
    def broken(over: threading.Event) -> Iterator[int]:
        if not over.is_set():
            raise LookupError("so")
        yield 7

    with pytest.raises(LookupError, match="so"):
        async with hold_in_thread(broken):
            pytest.fail("it has not begun")


async def test_cancelled_while_it_begins_it_gives_up_and_is_ended() -> None:
    begun, events = threading.Event(), []

    @contextmanager
    def slow(over: threading.Event) -> Iterator[int]:
        begun.set()
        over.wait(10)
        try:
            yield 7  # it came about all the same
        finally:
            events.append("ended")

    async def use() -> None:
        async with hold_in_thread(slow):
            pytest.fail("it was cancelled before")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use)
        await anyio.to_thread.run_sync(begun.wait)
        tasks.cancel_scope.cancel()
    assert events == ["ended"]
