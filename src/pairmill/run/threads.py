"""Threads for calls that take long or never return, such as reading from an idle pipe."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractContextManager

__all__ = ["hold_in_thread", "run_in_daemon_thread"]

Result = TypeVar("Result")

_PATIENCE_S = 1.0
_END_PATIENCE_S = 10.0


async def run_in_daemon_thread(
    call: Callable[[], Result], *, patience_s: float = _PATIENCE_S
) -> Result:
    """Run a call in a daemon thread and return its result.

    When cancelled, it waits for the call a little longer, then abandons it: the end of the process
    does not wait for a daemon thread.
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
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(deliver, result, failure)

    threading.Thread(target=work, name="pairmill-reader", daemon=True).start()
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        with anyio.move_on_after(patience_s, shield=True):
            await asyncio.wait({future})
        if not future.cancel() and not future.cancelled():
            future.exception()  # mark the exception as retrieved
        raise


@asynccontextmanager
async def hold_in_thread(
    make: Callable[[threading.Event], AbstractContextManager[Result]],
    *,
    patience_s: float = _END_PATIENCE_S,
) -> AsyncIterator[Result]:
    """Enter and exit a slow context manager in a thread of its own.

    ``make`` gets an event that is set once the block is over, or was cancelled before it began: a
    context manager that is still being entered should then give up. Its exit is awaited for at most
    ``patience_s``.
    """
    loop = asyncio.get_running_loop()
    begun: asyncio.Future[Result] = loop.create_future()
    ended: asyncio.Future[None] = loop.create_future()
    over = threading.Event()

    def tell(step: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(step)

    def hold() -> None:
        try:
            with make(over) as value:
                tell(lambda: None if begun.done() else begun.set_result(value))
                over.wait()
        except BaseException as error:  # noqa: BLE001 (raised again where it is awaited)
            failure = error
            tell(lambda: None if begun.done() else begun.set_exception(failure))
        finally:
            tell(lambda: None if ended.done() else ended.set_result(None))

    threading.Thread(target=hold, name="pairmill-holder", daemon=True).start()
    try:
        yield await asyncio.shield(begun)
    finally:
        over.set()
        with anyio.move_on_after(patience_s, shield=True):
            await asyncio.wait({ended})
        if not begun.cancel() and not begun.cancelled():
            begun.exception()  # mark the exception as retrieved
