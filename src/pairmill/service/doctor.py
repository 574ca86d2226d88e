"""Finds out what an endpoint can do, with a handful of calls like those of a run.

The calls ask the recipe's own question about a fixed passage, with the run's schema, sampling and
size, over the same wire as a run: if they get no usable answer, a run would get none.
"""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pairmill.display import sanitize, wrap_line
from pairmill.errors import EXIT_CONFIG, EXIT_DONE, EXIT_RESUMABLE, Kind, ProviderError
from pairmill.llm.answer_timeout import AnswerTimeout
from pairmill.llm.limits.headers import LimitHint, Unit, read_hint
from pairmill.llm.providers.endpoint import address_hint, refusal_hint
from pairmill.llm.providers.provider import Mode
from pairmill.llm.retry import GiveUp, History, ProbePolicy
from pairmill.llm.structured_output import ModeFinding, ProbeQuestion, find_mode
from pairmill.llm.token_estimate import AnswerTokens
from pairmill.recipes.answer_fields import make_model
from pairmill.recipes.answers import json_schema, read
from pairmill.recipes.engine import step_template
from pairmill.recipes.prompts import fence
from pairmill.records import Message, Prompt, Request, Sampling, Template

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from pairmill.clock import Clock
    from pairmill.config import Settings
    from pairmill.llm.endpoint_info import EndpointInfo
    from pairmill.llm.limits.headers import HeaderDialect
    from pairmill.llm.providers.endpoint import Endpoint
    from pairmill.llm.providers.provider import Provider, ProviderReply
    from pairmill.llm.providers.requests import RequestEncoder
    from pairmill.llm.retry import Random
    from pairmill.recipes.recipe_file import RecipeFile, RecipeStep
    from pairmill.records import Completion

__all__ = ["Findings", "Subject", "examine", "print_findings", "schema_lines", "to_json"]

_PATIENCE = ProbePolicy(max_wait_s=6.0, cap_s=2.0, max_asked_s=6.0)
_SYSTEM = Template("doctor", "1", (Message("system", "You answer in plain sentences."),))
_SHORT = Prompt(_SYSTEM, "What is the colour of grass?", Sampling(0.0, 64))
_NO_THOUGHT = 48  # tokens; fewer are not worth mentioning
_MOST_CHARS = 120
_TAKEN = frozenset({Kind.BADOUT})  # the endpoint was reached, and accepted the question


@dataclass(frozen=True, slots=True)
class Subject:
    """The endpoint to examine.

    Attributes:
        endpoint: Its address and key.
        provider: The wire that a run would use.
        encoder: Encodes its requests.
        question: A question of the run's recipe; None if it asks none.
        dialect: Dialect of its rate-limit headers.
    """

    endpoint: Endpoint
    provider: Provider
    encoder: RequestEncoder
    question: ProbeQuestion | None
    dialect: HeaderDialect


@dataclass(frozen=True, slots=True)
class Findings:
    """Findings about one endpoint and model. None: could not be determined.

    Attributes:
        place: Scheme, host and port.
        has_key: True if a key was sent; it is never shown.
        is_private: True if the address is of this machine or a private network.
        is_listed: True if the endpoint lists the model.
        answers_as: Model name in its answers.
        modes: Result of each structured-output mode that was tried.
        mode: Mode that a run will use.
        profile: Provider profile that requests follow.
        thought_tokens: Reasoning tokens before an answer, with the parameters that a run will use.
        thinks: True if any reply contained reasoning.
        reasoning: Reasoning parameters that a run will send; {} if none are needed.
        left_out: Settings that the server does not accept.
        has_usage: True if replies report token counts.
        hint: Limits stated in the last reply's headers.
        has_gauge: True if the server shows how many requests wait.
        round_trip_s: Duration of the shortest call.
        tokens_per_s: Rate of a single call with a longer answer.
        calls: Number of calls, failed ones included.
        problem: One line on why a run would not work; "" if it would.
        exit_code: Exit code that a run would end with.
    """

    place: str
    model: str
    has_key: bool
    is_private: bool
    is_listed: bool | None = None
    answers_as: str | None = None
    modes: dict[Mode, str] = field(default_factory=dict, hash=False)
    mode: Mode | None = None
    profile: str = ""
    thought_tokens: int | None = None
    thinks: bool = False
    reasoning: dict[str, Any] = field(default_factory=dict, hash=False)
    left_out: tuple[str, ...] = ()
    has_usage: bool | None = None
    hint: LimitHint = field(default_factory=LimitHint)
    has_gauge: bool = False
    round_trip_s: float | None = None
    tokens_per_s: float | None = None
    calls: int = 0
    problem: str = ""
    exit_code: int = EXIT_DONE


async def examine(
    settings: Settings, subject: Subject, look: EndpointInfo, clock: Clock, rng: Random
) -> Findings:
    """Examine the endpoint, then ask a few questions; failures are findings, not errors.

    Args:
        settings: Model and structured-output mode to try.
        subject: The endpoint.
        look: Reads the model list and gauges.
        clock: Clock to measure and wait with.
        rng: Random numbers for the jitter between retries.
    """
    endpoint = subject.endpoint
    listed = await look.models()
    base = Findings(
        place=endpoint.place,
        model=settings.model,
        has_key=bool(endpoint.key) or endpoint.profile.key is not None,
        is_private=endpoint.is_private,
        is_listed=None if listed is None else settings.model in listed,
        profile=endpoint.profile.name,
    )
    calls = _Calls(subject, settings, clock, rng)
    left_out: dict[str, None] = {}
    subject.encoder.on_left_out = lambda name: left_out.update({name: None})
    found: ModeFinding | None = None
    try:
        found = await _find_mode(settings, subject, calls)
        await _try(calls, _SHORT, is_enough=found is not None)
    except ProviderError as error:
        told = sanitize(error, _MOST_CHARS)  # once is enough
        seen = calls.findings(base, clock)
        return replace(
            seen,
            modes={mode: text for mode, text in seen.modes.items() if text != told},
            problem=_problem(error, settings.model, listed, endpoint),
            exit_code=(
                EXIT_CONFIG
                if error.kind.meaning.ends_start or address_hint(endpoint, error)
                else EXIT_RESUMABLE
            ),
        )
    seen = calls.findings(base, clock)
    if found is not None:
        seen = replace(
            seen,
            mode=found.mode,
            thought_tokens=found.thought_tokens,
            thinks=calls.has_thought,
            left_out=tuple(left_out),
            reasoning=dict(subject.encoder.reasoning(settings.model).fields),
        )
        if not found.is_usable:
            return replace(seen, problem=_unusable(settings, calls), exit_code=EXIT_CONFIG)
    return replace(seen, has_gauge=await look.gauges() is not None)


class _Calls:
    """Makes single calls, with retries, and records what each showed."""

    def __init__(self, subject: Subject, settings: Settings, clock: Clock, rng: Random) -> None:
        self.model = settings.model
        self.has_thought = False
        self.last_text = ""
        self._subject = subject
        self._room = AnswerTokens(settings.answer_tokens)
        self._clock = clock
        self.answer_timeout = AnswerTimeout(clock)
        self._rng = rng
        self._count = 0
        self._modes: dict[Mode, str] = {}
        self._replies: list[tuple[float, ProviderReply]] = []

    async def ask(self, request: Request, mode: Mode) -> Completion:
        """Ask, and retry while that may help.

        Raises:
            ProviderError: The last failure.
        """
        history = History()
        while True:
            try:
                completion = await self._room.ask(request, partial(self._ask_once, mode))
            except ProviderError as error:
                if request.schema is not None:
                    self._modes[mode] = sanitize(error, _MOST_CHARS)
                decision = _PATIENCE.decide(error, history, self._rng)
                if isinstance(decision, GiveUp):
                    raise
                asked = error.retry_after_s is not None
                history = history.after(error).rested(decision.seconds, asked=asked)
                await self._clock.sleep(decision.seconds)
            else:
                if request.schema is not None:
                    self._modes[mode] = "accepted, but not enforced"
                return completion

    def settle(self, mode: Mode) -> None:
        """Record that the mode a run will use was shown to work."""
        self._modes[mode] = "works"

    async def _ask_once(self, mode: Mode, request: Request) -> Completion:
        self._count += 1
        started = self._clock.monotonic()
        try:
            send = partial(self._subject.provider.complete, request, mode)
            reply = await self.answer_timeout.bound(send)
        except ProviderError as error:
            self.has_thought = self.has_thought or error.code == "length"
            raise
        self._replies.append((self._clock.monotonic() - started, reply))
        usage = reply.completion.usage
        self.has_thought = self.has_thought or usage.reasoning_tokens > _NO_THOUGHT
        self.last_text = reply.completion.text
        return reply.completion

    def findings(self, base: Findings, clock: Clock) -> Findings:
        """Return what all calls together showed."""
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
            hint=read_hint(headers, now_wall=clock.time(), dialect=self._subject.dialect),
            round_trip_s=min(seconds for seconds, _ in self._replies),
            tokens_per_s=tokens / longest_s if longest_s > 0 else None,
        )


class _NoMemory:
    """Cache that holds nothing: earlier findings are ignored."""

    def get(self, key: str) -> str | None:  # noqa: ARG002 (the protocol's)
        return None

    def set(self, key: str, value: str) -> None:
        pass


async def _find_mode(settings: Settings, subject: Subject, calls: _Calls) -> ModeFinding | None:
    question = subject.question
    if question is None:
        return None
    if settings.structured_output != "auto":
        mode = Mode(settings.structured_output)
        completion = await calls.ask(question.request, mode)
        is_usable = question.is_usable(completion.text)
        thought = completion.usage.reasoning_tokens
        found = ModeFinding(mode, is_usable, thought_tokens=thought)
    else:
        found = await find_mode(
            calls.ask, subject.encoder, question, "", _NoMemory(), calls.answer_timeout
        )
    if found.is_usable:
        calls.settle(found.mode)
    return found


def _unusable(settings: Settings, calls: _Calls) -> str:
    said = sanitize(calls.last_text, _SHOWN_CHARS) or "nothing"
    way = "" if settings.structured_output == "auto" else ", or structured_output: auto"
    return (
        f"the recipe {settings.recipe_name} could not use any answer: the last one began"
        f" '{said}'; try another model{way}"
    )


_SHOWN_CHARS = 80


async def _try(calls: _Calls, prompt: Prompt, *, is_enough: bool) -> None:
    """Ask without a schema; an odd answer is not a problem of the endpoint.

    Neither is a failure, if the run's own question was answered before (``is_enough``).
    """
    try:
        await calls.ask(Request(prompt, calls.model), Mode.PROMPT)
    except ProviderError as error:
        if not is_enough and error.kind not in _TAKEN:
            raise


def _problem(error: ProviderError, model: str, listed: list[str] | None, endpoint: Endpoint) -> str:
    text = f"{error}{address_hint(endpoint, error) or refusal_hint(endpoint, error)}"
    if listed and model not in listed and error.kind is Kind.CONFIG:
        near = difflib.get_close_matches(model, listed, n=3) or sorted(listed)[:3]
        text += f"; it lists {', '.join(near)}"
    return text


_MAX_TOKENS = 400
_MOST_LINE_CHARS = 200
_TEXT = (
    "The lighthouse at the end of the harbour wall was built in 1874. Its lamp burned oil for"
    " thirty years before paraffin took its place, and a keeper climbed 112 steps each evening."
)


async def schema_lines(
    recipe: RecipeFile,
    complete: Callable[[Request, Mode], Awaitable[ProviderReply]],
    model: str,
    mode: Mode,
) -> list[str]:
    """Report for each step in a line whether the endpoint accepts its schema and enforces it.

    Args:
        recipe: Recipe with the steps.
        complete: Makes one call.
        model: Model to ask; roles of steps are ignored.
        mode: Structured-output mode.
    """
    return [await _line(step, complete, model, mode) for step in recipe.steps]


async def _line(
    step: RecipeStep,
    complete: Callable[[Request, Mode], Awaitable[ProviderReply]],
    model: str,
    mode: Mode,
) -> str:
    answer = make_model(step.name, step.answer)
    prompt = Prompt(step_template(step), fence(_TEXT), Sampling(0.0, _MAX_TOKENS))
    label = f"recipe step {step.name}"
    try:
        reply = await complete(Request(prompt, model, json_schema(answer)), mode)
    except ProviderError as error:
        if error.kind is Kind.BADOUT:
            return f"{label}: schema accepted ({mode}); the trial answer was empty or cut off"
        return f"{label}: schema refused ({mode}): {sanitize(error, _MOST_LINE_CHARS)}"
    completion = reply.completion
    if completion.finish_reason == "length":
        return f"{label}: schema accepted ({mode}); the trial answer was cut off"
    reading = read(completion.text, answer)
    if reading.value is None:
        told = (
            sanitize(reading.faults[0].detail, _MOST_LINE_CHARS) if reading.faults else "no answer"
        )
        return f"{label}: schema accepted ({mode}), but not enforced: {told}"
    return f"{label}: schema accepted and enforced ({mode})"


_LITTLE_THOUGHT = 48  # tokens; fewer are not worth mentioning
WIDTH = 120  # width without a terminal
_NAMES = {
    Unit.REQUESTS: "requests",
    Unit.INPUT: "input_tokens",
    Unit.OUTPUT: "output_tokens",
    Unit.TOKENS: "tokens",
}


def to_json(found: Findings, plan: Sequence[str]) -> dict[str, Any]:
    """Return the findings as plain values under stable names."""
    return {
        "schema": 1,
        "ok": not found.problem,
        "problem": found.problem,
        "exit_code": found.exit_code,
        "endpoint": found.place,
        "key": found.has_key,
        "model": found.model,
        "listed": found.is_listed,
        "answers_as": found.answers_as,
        "structured_output": {str(mode): told for mode, told in found.modes.items()},
        "mode": str(found.mode) if found.mode else None,
        "provider": found.profile,
        "reasoning": {
            "thinks": found.thinks,
            "tokens": found.thought_tokens,
            "words": found.reasoning,
        },
        "left_out": list(found.left_out),
        "usage": found.has_usage,
        "limits": _limits(found),
        "gauge": found.has_gauge,
        "round_trip_s": found.round_trip_s,
        "tokens_per_s": found.tokens_per_s,
        "calls": found.calls,
        "plan": list(plan),
    }


def print_findings(
    results: Sequence[tuple[Findings, Sequence[str]]],
    *,
    as_json: bool,
    console: Console | None = None,
) -> None:
    """Print what was found at each endpoint: one JSON object, or a list of several."""
    if as_json:
        values = [to_json(found, plan) for found, plan in results]
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        data = orjson.dumps(values if len(values) > 1 else values[0], option=options)
        sys.stdout.write(data.decode())
        return
    out = console or Console(highlight=False)
    out = out if out.is_terminal else Console(highlight=False, width=WIDTH, file=out.file)
    for found, plan in results:
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for name, value in _rows(found):
            table.add_row(Text(name, style="dim"), Text(value))
        out.print(table)
        for line in plan:
            told = f"  {line}"
            width = out.width if out.is_terminal else len(told)
            out.print(Text(wrap_line(told, width)), soft_wrap=True)


def thinking_line(found: Findings) -> str:
    """Describe what was found out about a model's thoughts, and what to set."""
    words = orjson.dumps(found.reasoning).decode()
    said = f" with {sanitize(words)}" if found.reasoning else ""
    tokens = found.thought_tokens or 0
    if tokens <= _LITTLE_THOUGHT:
        return f"off{said}" if found.reasoning or found.thinks else "none seen"
    return (
        f"about {tokens:,} tokens before an answer{said}, billed as part of it; no parameter"
        " that was tried stops it: use another model, or make room for it (answer_tokens)"
    )


def _limits(found: Findings) -> dict[str, float]:
    spans = (("min", found.hint.minute), ("day", found.hint.day))
    return {
        f"{_NAMES[unit]}_per_{span}": reading.limit
        for span, readings in spans
        for unit, reading in readings.items()
        if reading.limit is not None
    }


def _rows(found: Findings) -> Iterator[tuple[str, str]]:
    yield "endpoint", f"{sanitize(found.place)} (provider profile: {sanitize(found.profile)})"
    yield "key", "sent" if found.has_key else "none"
    listed = {True: "listed", False: "not listed", None: "the endpoint has no model list"}
    yield "model", f"{sanitize(found.model)} ({listed[found.is_listed]})"
    if found.answers_as and found.answers_as != found.model:
        yield "answers as", sanitize(found.answers_as)
    for mode, told in found.modes.items():
        yield str(mode), sanitize(told)
    if found.thought_tokens is not None:
        yield "thinking", thinking_line(found)
    if found.left_out:
        yield "left out", f"{', '.join(found.left_out)}: not accepted as set"
    if found.has_usage is not None:
        yield "usage", "counted in every reply" if found.has_usage else "missing"
    limits = _limits(found)
    if found.calls and found.has_usage is not None:
        told = ", ".join(f"{limit:,.0f} {name.replace('_', ' ')}" for name, limit in limits.items())
        yield "limit headers", told or "none"
    if found.round_trip_s is not None:
        yield "round trip", f"{found.round_trip_s:.2f} s"
    if found.tokens_per_s is not None:
        yield "speed", f"{found.tokens_per_s:,.0f} tokens/s in one call"
    yield "calls made", str(found.calls)
    if found.problem:
        yield "problem", sanitize(found.problem)
