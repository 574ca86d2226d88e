"""From a request to its completion: the ledger's answer where there is one, else the model's.

Also where the end of a run meets a call: nothing is sent once a stop was asked for, and who has
sent something is known, so that it alone gets the grace period.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pairmill.errors import ProviderError
from pairmill.events import Topic
from pairmill.run.stop import StoppingError
from pairmill.store.entries import PaidAnswer

if TYPE_CHECKING:
    from pairmill.events import Bus
    from pairmill.llm.client import Client
    from pairmill.llm.providers.provider import Mode, Provider, Reply
    from pairmill.records import Completion, Request
    from pairmill.run.reader import Work
    from pairmill.run.stop import Stop
    from pairmill.run.writer import Writer

__all__ = ["InFlight", "UnitCalls"]


class InFlight:
    """A provider that knows which tasks wait for an answer, and sends nothing during a stop."""

    def __init__(self, provider: Provider, stop: Stop) -> None:
        self._provider = provider
        self._stop = stop
        self.tasks: set[asyncio.Task[object] | None] = set()

    async def complete(self, request: Request, mode: Mode) -> Reply:
        """Ask once; see ``Provider``.

        Raises:
            StoppingError: The run is ending; nothing was sent.
        """
        if self._stop.is_requested:
            raise StoppingError
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            return await self._provider.complete(request, mode)
        except ProviderError:
            if self._stop.is_requested:
                raise StoppingError from None  # it would only be tried again
            raise
        finally:
            self.tasks.discard(task)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._provider.aclose()


class UnitCalls:
    """Answers one unit's requests, and hands each answer that was bought to the writer."""

    __slots__ = ("_bus", "_client", "_stop", "_work", "_writer")

    def __init__(self, work: Work, client: Client, writer: Writer, bus: Bus, stop: Stop) -> None:
        self._work = work
        self._client = client
        self._writer = writer
        self._bus = bus
        self._stop = stop

    async def __call__(self, request: Request) -> Completion:
        """Return the answer to the very same question if it was bought before; else buy it."""
        work = self._work
        known = work.answers.get(request.id)
        if known is not None:
            self._bus.emit(Topic.CALL_REPLAYED)
            return known
        if self._stop.is_requested:
            raise StoppingError
        completion = await self._client.complete(request)
        self._writer.put_answer(PaidAnswer(request.id, work.unit, work.chunk.id, completion))
        return completion
