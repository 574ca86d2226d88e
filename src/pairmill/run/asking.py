"""From a request to its completion: the ledger's answer where there is one, else the model's.

Also where the end of a run meets a call: nothing is sent once a stop was asked for, and who has
sent something is known, so that it alone gets the grace period.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from pairmill.events import CallReplayed
from pairmill.run.stop import StoppingError
from pairmill.store.entries import PaidAnswer

if TYPE_CHECKING:
    from pairmill.events import Bus
    from pairmill.llm.answer_tokens import AnswerTokens
    from pairmill.llm.client import Client
    from pairmill.records import Completion, Request
    from pairmill.run.reader import Work
    from pairmill.run.stop import Stop
    from pairmill.run.writer import Writer

__all__ = ["InFlight", "UnitCalls"]


class InFlight:
    """Knows which tasks wait for an answer, and lets nothing be sent during a stop."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self.tasks: set[asyncio.Task[object] | None] = set()

    def check(self) -> None:
        """Raise ``StoppingError`` if the run is ending."""
        if self._stop.is_requested:
            raise StoppingError

    def begin(self) -> None:
        """The calling task sends a question now; raises as ``check`` does."""
        self.check()
        self.tasks.add(asyncio.current_task())

    def end(self) -> None:
        """The calling task waits for nothing any more."""
        self.tasks.discard(asyncio.current_task())


class UnitCalls(Struct, eq=False):
    """Answers one unit's requests, and hands each answer that was bought to the writer."""

    _work: Work
    _client: Client
    _writer: Writer
    _bus: Bus
    _flight: InFlight
    _room: AnswerTokens

    async def __call__(self, request: Request) -> Completion:
        """Return the answer to the very same question if it was bought before; else buy it."""
        work = self._work
        known = work.answers.get(request.id)
        if known is not None:
            self._bus.emit(CallReplayed())
            await asyncio.sleep(0)  # hundreds in a row would hold up all others
            return known
        self._flight.check()
        completion = await self._room.ask(request, self._client.complete)
        self._writer.put_answer(PaidAnswer(request.id, work.unit, work.chunk.id, completion))
        return completion
