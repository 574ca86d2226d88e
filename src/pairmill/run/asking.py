"""Completes a request: with the ledger's answer if there is one, else the model's.

Nothing is sent once a stop was requested. Tasks with a call in flight are tracked, since only they
get the grace period.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pairmill.events import CallReplayed
from pairmill.llm.retry import MOST_BILLED
from pairmill.records import Chunk, digest
from pairmill.run.reader import Work
from pairmill.run.stop import StoppingError
from pairmill.store.entries import BilledSend, PaidAnswer, UnitKey

if TYPE_CHECKING:
    from pairmill.errors import ProviderError
    from pairmill.events import Bus
    from pairmill.llm.admission import SendLog
    from pairmill.llm.client import Client
    from pairmill.llm.token_estimate import AnswerTokens
    from pairmill.records import Completion, Request
    from pairmill.run.stop import Stop
    from pairmill.run.work_rounds import WorkRounds
    from pairmill.run.writer import Writer
    from pairmill.store.folder import RunFolder

__all__ = ["InFlight", "ProbeSends", "UnitCalls"]

_PROBE = UnitKey(digest("a question of the run's own"), digest("a made-up passage"))
_FRESH = 10**9  # no start asks this many questions


class InFlight:
    """Tracks which tasks wait for an answer, and stops sending during a stop."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self.tasks: set[asyncio.Task[object] | None] = set()

    def check(self) -> None:
        """Raise ``StoppingError`` if the run is ending."""
        if self._stop.is_requested:
            raise StoppingError

    def begin(self) -> None:
        """Record that the calling task sends a question now; raises like ``check``."""
        self.check()
        self.tasks.add(asyncio.current_task())

    def end(self) -> None:
        """Record that the calling task no longer waits."""
        self.tasks.discard(asyncio.current_task())


class UnitCalls(Struct, eq=False):
    """Answers one unit's requests, and passes each bought answer to the writer.

    Answers and fruitless sends are also recorded in the unit's work, so that a unit that is put
    back and retried asks nothing twice.
    """

    _work: Work
    _client: Client
    _writer: Writer
    _bus: Bus
    _flight: InFlight
    _room: AnswerTokens
    _turns: WorkRounds

    async def __call__(self, request: Request) -> Completion:
        """Return the stored answer to exactly this request; without one, ask the model."""
        work = self._work
        known = work.answers.get(request.id)
        before = work.sends.get(request.id)
        if known is not None or (before is not None and _is_final(before)):
            self._bus.emit(CallReplayed())
            await asyncio.sleep(0)  # hundreds in a row would delay all others
            if known is not None:
                return known
            assert before is not None  # noqa: S101 (see above)
            raise before.error()
        self._flight.check()
        sends = _UnitSends(work, request.id, self._writer)
        completion = await self._room.ask(
            request, lambda granted: self._client.complete(granted, sends)
        )
        work.answers[request.id] = completion
        self._writer.put_answer(PaidAnswer(request.id, work.unit, work.chunk.id, completion))
        await self._turns.take()  # those that arrive now come before what follows from this one
        return completion

    def holds(self, request: Request) -> bool:
        """Return whether there is an answer to exactly this request."""
        return request.id in self._work.answers


def _is_final(before: BilledSend) -> bool:
    """Return True if a request must not be sent again: empty but paid, or sends used up.

    An empty reply that was paid for is an answer too.
    """
    return before.is_answer or before.sends >= MOST_BILLED


class _UnitSends(Struct, eq=False):
    """A ``SendLog`` for one request of a unit: counted in its work and in the ledger."""

    _work: Work
    _call: str
    _writer: Writer

    @property
    def count(self) -> int:
        before = self._work.sends.get(self._call)
        return before.sends if before else 0

    def failed(self, error: ProviderError) -> None:
        send = BilledSend(
            self._call,
            self._work.unit,
            self._work.chunk.id,
            error.kind,
            error.reason,
            error.code or "",
            str(error),
            error.prompt_tokens,
            error.completion_tokens,
            error.failed_at,
        )
        self._writer.put_send(send)
        self._work.sends[self._call] = replace(send, sends=self.count + 1)

    async def kept(self) -> None:
        await self._writer.kept()

    @property
    def is_behind(self) -> bool:
        return self._writer.is_behind

    async def wait_for_room(self) -> None:
        await self._writer.wait_for_room()


class ProbeSends:
    """Counts sends of a run's probes that may have been billed without an answer, in the ledger.

    After a start whose probes failed, the next one uses different probes, so that none is sent more
    often than a chunk's question, and every start can ask.

    Args:
        folder: Its ledger holds the sends of earlier starts.
        writer: Stores those of this start.
    """

    def __init__(self, folder: RunFolder, writer: Writer) -> None:
        with folder.read_ledger() as lookup:
            before = lookup.known([_PROBE]).sends.get(_PROBE.chunk_id, {})
        chunk = Chunk(_PROBE.chunk_id, "", "", 0, 0, "")
        self._work = Work(_PROBE.unit_id, chunk, {}, dict(before))
        self._writer = writer
        self._variant = sum(send.sends for send in before.values())

    def variant(self) -> int:
        """Return the number of this start's probe; a new one if those of earlier starts failed."""
        return self._variant

    @staticmethod
    def fresh_variant() -> int:
        """Return the number of a probe that was never sent."""
        return _FRESH + secrets.randbelow(_FRESH)

    def log(self, body: bytes) -> SendLog:
        """Return the counter for the sends of one request, keyed by its content."""
        return _UnitSends(self._work, digest(body.decode("utf-8", "replace")), self._writer)
