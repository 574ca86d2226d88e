"""Completes requests: admission, sending, and retries."""

from __future__ import annotations

import math
from functools import partial
from traceback import clear_frames
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pairmill.clock import within
from pairmill.errors import Kind, ProviderError
from pairmill.events import CallAnswered, CallCharged, CallFailed, CallGivenUp
from pairmill.llm.budget import is_answer
from pairmill.llm.retry import GiveUp, History, RetryPolicy, is_of_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pairmill.clock import Clock
    from pairmill.events import Bus
    from pairmill.llm.admission import Admission, Flight, SendLog, Turn
    from pairmill.llm.answer_timeout import AnswerTimeout
    from pairmill.llm.providers.provider import ProviderReply
    from pairmill.llm.retry import Random
    from pairmill.records import Completion, Request

__all__ = ["Client"]

_NO_HISTORY = History()
_NOWHERE: frozenset[str] = frozenset()
_LEAST_LEFT_S = 0.5  # for a last try that has waited until the end
_DOUBTS = 3  # failures of one request before a probe is sent
_LOOK_AGAIN_S, _LOOK_AGAIN_LATEST_S = 20.0, 300.0


class _Look(Struct):
    """When a model was last probed, and when it may be probed again."""

    next_at: float = float("-inf")
    well_at: float = float("-inf")
    again_in_s: float = _LOOK_AGAIN_S


class _Course(Struct):
    """When and where a request was sent, first and last; how often."""

    first_at: float = 0.0
    last_at: float = 0.0
    sends: int = 0
    pool: str = ""

    def sent(self, now: float, pool: str) -> None:
        if not self.sends:
            self.first_at = now
        self.last_at, self.pool = now, pool
        self.sends += 1


class Client:
    """Asks until there is an answer, or no point in retrying.

    Each attempt is admitted separately, so that retries are metered like all calls and queue with
    new work. No attempt sleeps while admitted.

    Args:
        admission: Decides when and where a call may go.
        flight: Tracks tasks that wait for an answer; stops sending when a run ends.
        bus: Gets an event for each answer and each failure.
        clock: For times and sleeps.
        random: For the jitter.
        policy: Retry policy.
        purpose: Label of an answer's charge: ``answer``, or ``probe`` for calls before a run, whose
            answers are not stored.
        is_well: Probes a model, and returns whether it answered. Called, rarely, if requests fail
            repeatedly while no others are in flight: the last requests of a run may be the only
            ones that a server cannot answer.
        answer_timeout: Bounds how long each answer may take; None: the wire alone does.
    """

    def __init__(
        self,
        admission: Admission,
        flight: Flight,
        bus: Bus,
        clock: Clock,
        random: Random,
        *,
        policy: RetryPolicy | None = None,
        purpose: str = "answer",
        is_well: Callable[[str], Awaitable[bool]] | None = None,
        answer_timeout: AnswerTimeout | None = None,
    ) -> None:
        self._admission = admission
        self._flight = flight
        self._bus = bus
        self._clock = clock
        self._random = random
        self._policy = policy or RetryPolicy()
        self._purpose = purpose
        self._is_well = is_well
        self._answer_timeout = answer_timeout
        self._looks: dict[str, _Look] = {}

    async def complete(self, request: Request, sends: SendLog | None = None) -> Completion:
        """Return the answer to ``request``.

        Args:
            request: What to ask.
            sends: Counts earlier and new sends without an answer; None: not counted.

        Raises:
            ProviderError: The last failure, if it cannot be retried. Its kind says whose fault it
                is.
            StoppedError: No pool is left, or a cap is reached.
        """
        course = _Course()
        try:
            return await self._complete(request, sends, course)
        except ProviderError as error:
            self._tell_given_up(error, request, course)
            clear_frames(error.__traceback__)  # they hold it, and with it prompt and answer
            raise

    async def _complete(
        self, request: Request, sends: SendLog | None, course: _Course
    ) -> Completion:
        history = History(billed=sends.count) if sends else _NO_HISTORY
        tried = _NOWHERE
        wait_s = failed_at = first_failed_at = 0.0
        was_asked = False
        error: ProviderError | None = None
        while True:
            if error is None:
                turn = await self._admit(request, history, tried, sends)
            else:
                left_s = self._left_s(history, failed_at, wait_s, asked=was_asked)
                turn = await self._admit_again(error, request, history, tried, sends, left_s)
            error = None  # its traceback holds this frame, which would hold it
            started = self._clock.monotonic()
            if history.failures:
                rested_s = min(wait_s, started - failed_at)
                history = history.rested(rested_s, asked=was_asked)
            self._begin(turn)
            course.sent(started, turn.pool)
            try:
                reply = await self._send(turn)
            except ProviderError as found:
                error = found
            except BaseException:
                turn.abandoned()
                self._tell_charge(turn)
                raise
            else:
                return self._take(reply, turn, course, request.model)
            finally:
                self._flight.end()
            failed_at = self._clock.monotonic()
            first_failed_at = first_failed_at or failed_at
            history = history.spent(failed_at - first_failed_at - history.asked_s)
            error.failed_at = self._clock.time()
            alone = turn.failed(error)
            self._tell_charge(turn, error)
            self._tell_failure(error, request.model)
            if sends is not None and error.is_billed:
                sends.failed(error)
            self._flight.check()
            wait_s, tried = self._next(error, history, request, tried | {turn.pool}, alone=alone)
            history = history.after(error, alone=alone)
            was_asked = error.retry_after_s is not None
            is_doubtful = not alone and is_of_server(error) and error.status is not None
            is_doubtful = is_doubtful and history.failures >= _DOUBTS
            if is_doubtful and await self._is_answering(request.model):
                raise self._given_up(error, history, request)
            if not turn.is_held:  # then the gate makes all calls wait
                await self._clock.sleep(wait_s)

    def _send(self, turn: Turn) -> Awaitable[ProviderReply]:
        if self._answer_timeout is None:
            return turn.provider.complete(turn.request, turn.mode)
        return self._answer_timeout.bound(partial(turn.provider.complete, turn.request, turn.mode))

    def _left_s(self, history: History, failed_at: float, wait_s: float, *, asked: bool) -> float:
        """Return seconds until the next try has to begin; inf if it may wait for ever."""
        if math.isinf(self._policy.max_spent_s):
            return math.inf
        left_s = self._policy.max_spent_s - history.spent_s + wait_s * asked
        return max(_LEAST_LEFT_S, left_s - (self._clock.monotonic() - failed_at))

    async def _admit(
        self,
        request: Request,
        history: History,
        avoid: frozenset[str],
        sends: SendLog | None,
    ) -> Turn:
        """Wait for a turn, and for the moment from which on an answer can be kept.

        What was sent before is kept first, so that a kill in what follows does not forget it.
        """
        if sends is not None and history.billed:
            await sends.kept()
        is_retry = history.failures > 0
        while True:
            turn = await self._admission.admit(request, is_retry=is_retry, avoid=avoid)
            if sends is None or not sends.is_behind:
                return turn
            turn.give_back()  # as on a full disk
            await sends.wait_for_room()

    async def _admit_again(
        self,
        error: ProviderError,
        request: Request,
        history: History,
        avoid: frozenset[str],
        sends: SendLog | None,
        left_s: float,
    ) -> Turn:
        """Wait for a turn after a failure; raise that if the turn does not come in time."""
        try:
            return await within(
                left_s, self._clock, lambda: self._admit(request, history, avoid, sends)
            )
        except TimeoutError:
            raise self._given_up(error, history, request) from None

    async def _is_answering(self, model: str) -> bool:
        """Return whether a model answers a probe, sent now or recently."""
        if self._is_well is None:
            return False
        look, now = self._looks.setdefault(model, _Look()), self._clock.monotonic()
        if now < look.next_at:
            return now - look.well_at < _LOOK_AGAIN_S
        look.next_at = float("inf")  # one at a time
        try:
            if await self._is_well(model):
                look.well_at, look.again_in_s = self._clock.monotonic(), _LOOK_AGAIN_S
                return True
            look.again_in_s = min(_LOOK_AGAIN_LATEST_S, 2.0 * look.again_in_s)
        finally:
            look.next_at = self._clock.monotonic() + look.again_in_s
        return False

    def _given_up(self, error: ProviderError, history: History, request: Request) -> ProviderError:
        """Return the last failure of a request, marked if any may have been billed."""
        error.model = request.model
        error.maybe_paid = error.maybe_paid or history.billed > 0
        error.billed_sends = history.billed
        return error

    def _begin(self, turn: Turn) -> None:
        try:
            self._flight.begin()
        except BaseException:
            turn.give_back()
            raise

    def _take(self, reply: ProviderReply, turn: Turn, course: _Course, asked: str) -> Completion:
        charge, completion = turn.answered(reply), reply.completion
        prompt = turn.request.prompt
        usage = charge.usage
        if usage is not completion.usage:
            completion = replace(completion, usage=usage)
        now = self._clock.monotonic()
        self._bus.emit(
            CallAnswered(
                model=completion.model,
                outcome=self._purpose,
                usage=usage,
                picodollars=charge.picodollars,
                doubt_tokens=charge.doubt_tokens,
                doubt_picodollars=charge.doubt_picodollars,
                seconds=now - course.last_at,
                stage=prompt.stage or prompt.template.name,
                asked=asked,
                pool=course.pool,
                total_s=now - course.first_at,
                sends=course.sends,
            )
        )
        return completion

    def _tell_given_up(self, error: ProviderError, request: Request, course: _Course) -> None:
        if course.sends:
            prompt = request.prompt
            self._bus.emit(
                CallGivenUp(
                    kind=error.kind,
                    model=request.model,
                    stage=prompt.stage or prompt.template.name,
                    pool=course.pool,
                    total_s=self._clock.monotonic() - course.first_at,
                    sends=course.sends,
                    status=error.status,
                )
            )

    def _tell_charge(self, turn: Turn, error: ProviderError | None = None) -> None:
        """Emit the charge of a call without an answer: an empty reply, or an unknown end."""
        charge = turn.charge
        if charge is None:
            return
        outcome = "lost"
        if error is not None and is_answer(error):
            outcome = "empty"
            error.prompt_tokens = charge.usage.prompt_tokens
            error.completion_tokens = charge.usage.completion_tokens
        self._bus.emit(
            CallCharged(
                turn.request.model,
                outcome,
                charge.usage,
                charge.picodollars,
                charge.doubt_tokens,
                charge.doubt_picodollars,
            )
        )

    def _next(
        self,
        error: ProviderError,
        history: History,
        request: Request,
        tried: frozenset[str],
        *,
        alone: bool,
    ) -> tuple[float, frozenset[str]]:
        """Return the seconds until the next attempt, and the pools to avoid.

        A request that a pool refused goes to another one, and so does the second and last attempt
        of one that may have been billed.

        Raises:
            ProviderError: There will be no next attempt: ``error``.
            StoppedError: No pool is left to ask.
        """
        decision = self._policy.decide(error, history, self._random, alone=alone)
        others = self._admission.has_other(request, tried)
        if not isinstance(decision, GiveUp):
            if error.kind is Kind.RATE or not others:
                return decision.seconds, _NOWHERE
            return (0.0 if error.is_billed else decision.seconds), tried
        billed = history.billed + error.is_billed
        if others and billed < self._policy.max_billed:
            return 0.0, tried
        raise self._given_up(error, history.after(error), request)

    def _tell_failure(self, error: ProviderError, model: str) -> None:
        self._bus.emit(
            CallFailed(
                kind=error.kind,
                status=error.status,
                code=error.code,
                retry_after_s=error.retry_after_s,
                message=str(error),
                model=model,
            )
        )
