"""From a request to a completion: through the gate, over the wire, again if that can help."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from pairmill.errors import ProviderError
from pairmill.events import Topic
from pairmill.llm.admission import Cost
from pairmill.llm.providers.provider import Mode, Reply
from pairmill.llm.retry import GiveUp, History, RetryPolicy
from pairmill.records import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.clock import Clock
    from pairmill.errors import Kind
    from pairmill.events import Bus
    from pairmill.llm.admission import Gate
    from pairmill.llm.providers.provider import Provider
    from pairmill.llm.retry import Random
    from pairmill.records import Completion, Request

__all__ = ["Client"]

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Client:
    """Asks until there is an answer, or no point in asking.

    Each try is a new admission, so that retries are metered like all else and take their turn
    among new work. Nobody sleeps while holding a place.

    Args:
        provider: The wire.
        gate: Decides when a call may go.
        bus: Is told of each answer and each failure.
        clock: Measures and sleeps.
        random: For the jitter.
        mode: How schemas reach the server (see `pairmill.llm.modes`).
        policy: How patient each request is.
    """

    def __init__(
        self,
        provider: Provider,
        gate: Gate,
        bus: Bus,
        clock: Clock,
        random: Random,
        *,
        mode: Mode = Mode.JSON_SCHEMA,
        policy: RetryPolicy | None = None,
    ) -> None:
        self._provider = provider
        self._gate = gate
        self._bus = bus
        self._clock = clock
        self._random = random
        self.mode = mode
        self._policy = policy or RetryPolicy()

    async def complete(
        self, request: Request, mode: Mode | None = None, policy: RetryPolicy | None = None
    ) -> Completion:
        """Return the answer to ``request``.

        Args:
            request: What to ask.
            mode: Instead of the client's own.
            policy: Instead of the client's own.

        Raises:
            ProviderError: The last failure, once trying again was ruled out. Its kind says whose
                fault it was: of the kinds for which `ProviderError.is_free` holds, not this
                request's.
        """
        cost, history = Cost.of(request), History()
        while True:
            try:
                return await self._try(request, mode or self.mode, cost)
            except ProviderError as error:
                decision = (policy or self._policy).decide(error, history, self._random)
                if isinstance(decision, GiveUp):
                    raise
                seconds = decision.seconds
                history = history.after(error, seconds)
            await self._clock.sleep(seconds)

    async def _try(self, request: Request, mode: Mode, cost: Cost) -> Completion:
        lease = await self._gate.admit(cost)
        outcome: Kind | None = None
        usage: Usage | None = None
        headers = _NO_HEADERS
        started = self._clock.monotonic()
        try:
            reply = await self._provider.complete(request, mode)
            usage, headers = reply.completion.usage, reply.headers
        except ProviderError as error:
            outcome, headers = error.kind, error.headers
            if error.prompt_tokens or error.completion_tokens:
                usage = Usage(error.prompt_tokens, error.completion_tokens)
            self._tell_failure(error)
            raise
        finally:
            lease.release(outcome, usage, headers)
        self._tell_answer(reply, self._clock.monotonic() - started)
        return reply.completion

    def _tell_answer(self, reply: Reply, seconds: float) -> None:
        usage = reply.completion.usage
        self._bus.emit(
            Topic.CALL_ANSWERED,
            model=reply.completion.model,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            seconds=seconds,
        )

    def _tell_failure(self, error: ProviderError) -> None:
        self._bus.emit(
            Topic.CALL_FAILED,
            kind=error.kind,
            status=error.status,
            code=error.code,
            message=str(error),
        )
