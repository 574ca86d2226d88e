"""Finds out what an endpoint can do, with a handful of short calls, made as a run makes them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pairmill.errors import EXIT_CONFIG, EXIT_DONE, EXIT_RESUMABLE, Kind, ProviderError
from pairmill.llm.limits.headers import LimitHint, dialect_of, read_hint
from pairmill.llm.modes import find_mode
from pairmill.llm.providers.provider import Mode
from pairmill.llm.retry import GiveUp, History, RetryPolicy
from pairmill.plain import plain
from pairmill.records import Message, Prompt, Request, Sampling, Template

if TYPE_CHECKING:
    from pairmill.clock import Clock
    from pairmill.config import Settings
    from pairmill.llm.endpoint import Endpoint
    from pairmill.llm.look import Look
    from pairmill.llm.providers.provider import Provider, Reply
    from pairmill.llm.retry import Random
    from pairmill.records import Completion

__all__ = ["Findings", "examine"]

_PATIENCE = RetryPolicy(max_wait_s=6.0, max_asked_s=6.0, cap_s=2.0)
_SYSTEM = Template("doctor", "1", (Message("system", "You answer in plain sentences."),))
_SHORT = Prompt(_SYSTEM, "What is the colour of grass?", Sampling(0.0, 64))
_LONG = Prompt(_SYSTEM, "Explain in about 150 words how a bicycle works.", Sampling(0.0, 256))
_CONFIG_KINDS = frozenset({Kind.AUTH, Kind.CONFIG, Kind.CHUNK, Kind.REFUSED})
_MOST_CHARS = 120
_TAKEN = frozenset({Kind.BADOUT})  # it was reached, and took the question


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found out about one endpoint and model. None: could not be found out.

    Attributes:
        place: Scheme, host and port.
        has_key: Whether a key was sent; it is never shown.
        is_private: Whether the address is of this machine or of a network of one's own.
        is_listed: Whether the endpoint lists the model.
        answers_as: The model's name in its answers.
        modes: What became of each way to hold answers to a schema that was tried.
        mode: The one that a run will use.
        has_usage: Whether replies count their tokens.
        hint: What the last reply's headers said of limits.
        has_gauge: Whether the server shows how many requests wait.
        round_trip_s: Of the shortest answer.
        tokens_per_s: Of one answer of some length, for a single call.
        calls: Calls that were made, failed ones included.
        problem: One line, where a run would not work; "" where it would.
        exit_code: As a run's would be.
    """

    place: str
    model: str
    has_key: bool
    is_private: bool
    is_listed: bool | None = None
    answers_as: str | None = None
    modes: dict[Mode, str] = field(default_factory=dict, hash=False)
    mode: Mode | None = None
    has_usage: bool | None = None
    hint: LimitHint = field(default_factory=LimitHint)
    has_gauge: bool = False
    round_trip_s: float | None = None
    tokens_per_s: float | None = None
    calls: int = 0
    problem: str = ""
    exit_code: int = EXIT_DONE


async def examine(
    settings: Settings,
    endpoint: Endpoint,
    provider: Provider,
    look: Look,
    clock: Clock,
    dice: Random,
) -> Findings:
    """Look, then ask three to six short questions; whatever goes wrong is a finding, not an error.

    Args:
        settings: Their model and their way of structured output are tried.
        endpoint: Where.
        provider: The wire to it.
        look: For what it tells unasked.
        clock: Measures and waits.
        dice: For the jitter between retries.
    """
    listed = await look.models()
    base = Findings(
        place=endpoint.place,
        model=settings.model,
        has_key=bool(endpoint.key),
        is_private=endpoint.is_private,
        is_listed=None if listed is None else settings.model in listed,
    )
    calls = _Calls(provider, settings.model, clock, dice)
    try:
        mode = await _find_mode(settings, endpoint, calls)
        await _try(calls, _SHORT)
        await _try(calls, _LONG)
    except ProviderError as error:
        found = calls.findings(base, endpoint, clock)
        told = plain(error, _MOST_CHARS)  # once is enough
        return replace(
            found,
            modes={mode: text for mode, text in found.modes.items() if text != told},
            problem=_problem(error, settings.model, listed),
            exit_code=EXIT_CONFIG if error.kind in _CONFIG_KINDS else EXIT_RESUMABLE,
        )
    has_gauge = await look.gauges() is not None
    return replace(calls.findings(base, endpoint, clock), mode=mode, has_gauge=has_gauge)


class _Calls:
    """Makes single calls, patiently, and remembers what each showed."""

    def __init__(self, provider: Provider, model: str, clock: Clock, dice: Random) -> None:
        self.model = model
        self._provider = provider
        self._clock = clock
        self._dice = dice
        self._count = 0
        self._modes: dict[Mode, str] = {}
        self._replies: list[tuple[float, Reply]] = []

    async def ask(self, request: Request, mode: Mode) -> Completion:
        """Ask, and again while that may help.

        Raises:
            ProviderError: The last failure.
        """
        history = History()
        while True:
            try:
                completion = await self._ask_once(request, mode)
            except ProviderError as error:
                if request.schema is not None:
                    self._modes[mode] = plain(error, _MOST_CHARS)
                decision = _PATIENCE.decide(error, history, self._dice)
                if isinstance(decision, GiveUp):
                    raise
                asked = error.retry_after_s is not None
                history = history.after(error).rested(decision.seconds, asked=asked)
                await self._clock.sleep(decision.seconds)
            else:
                if request.schema is not None:
                    self._modes[mode] = "accepted, but not held to"
                return completion

    def settle(self, mode: Mode) -> None:
        """The mode that a run will use was shown to work."""
        self._modes[mode] = "works"

    async def _ask_once(self, request: Request, mode: Mode) -> Completion:
        self._count += 1
        started = self._clock.monotonic()
        reply = await self._provider.complete(request, mode)
        self._replies.append((self._clock.monotonic() - started, reply))
        return reply.completion

    def findings(self, base: Findings, endpoint: Endpoint, clock: Clock) -> Findings:
        """What all calls together showed."""
        found = replace(base, calls=self._count, modes=self._modes)
        if not self._replies:
            return found
        longest_s, longest = max(self._replies, key=lambda item: len(item[1].completion.text))
        usages = [reply.completion.usage for _, reply in self._replies]
        headers = next((r.headers for _, r in reversed(self._replies) if r.headers), {})
        tokens = longest.completion.usage.completion_tokens or len(longest.completion.text) / 4
        return replace(
            found,
            answers_as=longest.completion.model or None,
            has_usage=all(use.prompt_tokens and use.completion_tokens for use in usages),
            hint=read_hint(headers, now_wall=clock.time(), dialect=dialect_of(endpoint.base_url)),
            round_trip_s=min(seconds for seconds, _ in self._replies),
            tokens_per_s=tokens / longest_s if longest_s > 0 else None,
        )


class _NoMemory:
    """Nothing that was found out before is believed."""

    def get(self, key: str) -> str | None:  # noqa: ARG002 (the protocol's)
        return None

    def set(self, key: str, value: str) -> None:
        pass


async def _find_mode(settings: Settings, endpoint: Endpoint, calls: _Calls) -> Mode:
    if settings.structured_output != "auto":
        return Mode(settings.structured_output)
    mode = await find_mode(calls.ask, endpoint.base_url, settings.model, _NoMemory())
    calls.settle(mode)
    return mode


async def _try(calls: _Calls, prompt: Prompt) -> None:
    """Ask without a schema; an odd answer is no fault of the endpoint."""
    try:
        await calls.ask(Request(prompt, calls.model), Mode.PROMPT)
    except ProviderError as error:
        if error.kind not in _TAKEN:
            raise


def _problem(error: ProviderError, model: str, listed: list[str] | None) -> str:
    text = str(error)
    if listed and model not in listed and error.kind is Kind.CONFIG:
        near = difflib.get_close_matches(model, listed, n=3) or sorted(listed)[:3]
        text += f"; it lists {', '.join(near)}"
    return text
