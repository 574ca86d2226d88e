"""Calls that may never return, such as reading from a pipe that nobody writes to."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["run_aside"]

Result = TypeVar("Result")

_PATIENCE_S = 1.0


async def run_aside(call: Callable[[], Result], *, patience_s: float = _PATIENCE_S) -> Result:
    """Run a call in a thread of its own and return what it returns.

    Cancelled, it waits for the call a little longer, then leaves it behind: the thread is a daemon,
    which the end of the process does not wait for either.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def deliver(result: Result | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result, failure = None, None
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 (raised again where it is awaited)
            failure = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(deliver, result, failure)

    threading.Thread(target=work, name="pairmill-reader", daemon=True).start()
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        with anyio.move_on_after(patience_s, shield=True):
            await asyncio.wait({future})
        if not future.cancel() and not future.cancelled():
            future.exception()  # looked at, so that nobody complains that it was not
        raise
