"""What stands before each call: a gate that grants a lease, and the lease that is given back."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.errors import Kind
    from pairmill.records import Request, Usage

__all__ = ["ConcurrencyGate", "Cost", "Gate", "Lease"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What is known of a call before it is made, for a gate to estimate from.

    Attributes:
        prompt_chars: Characters of all messages.
        max_tokens: The most that the answer may have.
        template: Name of the prompt's template: answers to one template are alike in length.
        model: Which model is asked.
    """

    prompt_chars: int
    max_tokens: int
    template: str
    model: str

    @classmethod
    def of(cls, request: Request) -> Cost:
        """The cost of a request."""
        prompt = request.prompt
        constant = sum(len(turn.content) for turn in prompt.template.messages)
        chars = constant + len(prompt.text)
        return cls(chars, prompt.sampling.max_tokens, prompt.template.name, request.model)


class Lease(Protocol):
    """The right to make one call."""

    def release(
        self, outcome: Kind | None, usage: Usage | None, headers: Mapping[str, str]
    ) -> None:
        """Give it back, exactly once, when the call has ended in whichever way.

        Args:
            outcome: How it failed; None where it did not, or was cancelled.
            usage: The tokens that it cost; None where nobody knows.
            headers: The rate-limit headers of the reply, names in lower case.
        """
        ...


class Gate(Protocol):
    """Decides when a call may go."""

    async def admit(self, cost: Cost) -> Lease:
        """Wait for a place. Cancelling the wait gives the place to the next."""
        ...


class ConcurrencyGate:
    """At most ``limit`` calls at a time, first come, first served; nothing else is counted.

    A lease that comes back is handed to the one who waits longest, so nobody can slip in between.
    On asyncio's own futures: a semaphore of anyio costs ten times as much.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"a gate needs room for one call, not {limit}")
        self._free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def admit(self, cost: Cost) -> Lease:  # noqa: ARG002 (the protocol's)
        """See `Gate`."""
        if self._free and not self._waiting:
            self._free -= 1
            return _Place(self)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._next()  # it was our turn already: pass it on
            raise
        return _Place(self)

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class _Place:
    __slots__ = ("_gate",)

    def __init__(self, gate: ConcurrencyGate) -> None:
        self._gate: ConcurrencyGate | None = gate

    def release(
        self,
        outcome: Kind | None,  # noqa: ARG002 (the protocol's)
        usage: Usage | None,  # noqa: ARG002
        headers: Mapping[str, str],  # noqa: ARG002
    ) -> None:
        gate, self._gate = self._gate, None
        if gate:
            gate._next()  # noqa: SLF001 (two halves of one thing)
