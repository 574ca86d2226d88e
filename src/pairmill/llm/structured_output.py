"""Finds out which structured-output mode an endpoint really supports, and remembers it.

The probe is one of the run's questions, with its size and schema, and only an answer that the run
could use counts. The same calls find the parameters that the model accepts, and how to make it
think as little as possible: see `pairmill.llm.providers.accepted_parameters`
and `reasoning` beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec.structs import replace

from pairmill.errors import Kind, ProviderError
from pairmill.llm.providers.accepted_parameters import REFUSALS
from pairmill.llm.providers.provider import Mode
from pairmill.llm.retry import fails_at_the_format, names_the_format

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pairmill.llm.answer_timeout import AnswerTimeout
    from pairmill.llm.providers.requests import RequestEncoder
    from pairmill.records import Completion, Request

__all__ = [
    "ModeFinding",
    "ModeMemory",
    "ProbeQuestion",
    "find_mode",
]

_BAD_ANSWERS = 2  # attempts in a mode before it counts as not working
_MOST_FORMS = 5  # ways to limit thinking that are tried before a run starts
_NOT_FOUND, _SERVER_ERROR, _BAD_GATEWAY = 404, 500, 502
_WORTH_SAYING = ("system", "temperature", "top_p", "seed", "service_tier")
_UNUSABLE = frozenset({"empty", "refusal", "json_validate_failed"})
_MODES = (Mode.JSON_SCHEMA, Mode.JSON_OBJECT, Mode.PROMPT)
_LEAST_PATIENCE_S, _SLOWER = 30.0, 20.0  # times as long as the bare question


def _is_of_set_up(error: ProviderError) -> bool:
    """Return True if a failure is about configuration, though a bad replica may cause it too."""
    is_lost = error.kind is Kind.CONFIG and error.status == _NOT_FOUND
    return (is_lost and not names_the_format(error)) or error.kind in {Kind.AUTH, Kind.FOREIGN}


class ModeMemory(Protocol):
    """Storage of findings between runs."""

    def get(self, key: str) -> str | None:
        """Return the value stored under ``key``, or None."""
        ...

    def set(self, key: str, value: str) -> None:
        """Store ``value`` under ``key``."""
        ...


@dataclass(frozen=True, slots=True)
class ProbeQuestion:
    """Question of a probe.

    Attributes:
        request: One of the run's questions.
        is_usable: Returns True if the run could use a text as the answer.
    """

    request: Request
    is_usable: Callable[[str], bool]


class ModeFinding(msgspec.Struct, frozen=True):
    """Findings about an endpoint and a model.

    Attributes:
        mode: The strongest working mode.
        is_usable: True if any answer was usable.
        dialect: What `RequestEncoder.dump` gives.
        thought_tokens: Thinking tokens before the last answer.
        can_be_silent: True if the model was seen to skip thinking; None: it never thought.
        broke: How calls with a now omitted parameter broke; "" if none did.
    """

    mode: Mode
    is_usable: bool
    dialect: str = ""
    thought_tokens: int = 0
    can_be_silent: bool | None = None
    broke: str = ""


async def find_mode(
    ask: Callable[[Request, Mode], Awaitable[Completion]],
    encoder: RequestEncoder,
    question: ProbeQuestion,
    key: str,
    memory: ModeMemory,
    answer_timeout: AnswerTimeout,
) -> ModeFinding:
    """Find the strongest working mode of an endpoint and model.

    A mode is ruled out by a refusal that names it, by an internal error, or by two unusable
    answers, since one may be chance. Some servers neither refuse nor answer: they hang, or close
    the connection. If a call breaks, the same question is asked without all optional parameters; if
    that is answered, one of them is at fault, and is found with one more call each. Takes one call
    the first time, some more if the server only has weaker modes or its model thinks, and none
    later.

    Args:
        ask: Makes one call, with whatever limits and retries apply.
        encoder: Of the wire that ``ask`` uses: what it learned is kept with the finding.
        question: The probe.
        key: What the endpoint, the model and the wish about thinking are called in ``memory``.
        memory: Holds the finding between runs.
        answer_timeout: Bounds each call that ``ask`` makes.

    Raises:
        ProviderError: The endpoint cannot be asked at all: its kind and text say why.
    """
    model = question.request.model
    kept = _known(memory.get(key))
    if kept is not None and encoder.restore(model, kept.dialect):
        return kept
    probe = _Probe(ask, encoder, question, answer_timeout)
    encoder.may_weaken = False
    try:
        mode = await probe.find()
    finally:
        encoder.may_weaken = True
        answer_timeout.most_s = math.inf
    encoder.tell_left_out(model)
    search = encoder.reasoning(model)
    found = ModeFinding(
        mode,
        probe.was_usable,
        encoder.dump(model),
        probe.thought_tokens,
        None if not probe.has_thought and not search.at else not probe.thought_tokens,
        probe.broke,
    )
    if found.is_usable:
        memory.set(key, msgspec.json.encode(found).decode())
    return found


def _known(text: str | None) -> ModeFinding | None:
    try:
        return msgspec.json.decode(text, type=ModeFinding) if text else None
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


class _Probe:
    """One examination of one model."""

    def __init__(
        self,
        ask: Callable[[Request, Mode], Awaitable[Completion]],
        encoder: RequestEncoder,
        question: ProbeQuestion,
        answer_timeout: AnswerTimeout,
    ) -> None:
        self._ask = ask
        self._answer_timeout = answer_timeout
        self._encoder = encoder
        self._question = question
        self._last: ProviderError | None = None
        self._is_reached = False
        self._was_stripped = False
        self._has_asked_another = False
        self._was_bare_answered = False
        self.broke = ""
        self.was_usable = False
        self.has_thought = False
        self.thought_tokens = 0

    async def find(self) -> Mode:
        """Try each mode; if none works, again without a system message, and bare."""
        model = self._question.request.model
        steps = iter((self._encoder.fold_system, self._encoder.bare))
        wanted = self._encoder.accepted(model).without
        while True:
            for mode in _MODES:
                if await self._works(mode):
                    self.was_usable = True
                    if mode is _MODES[0] and not self._was_stripped:
                        self.broke = ""  # by chance
                    await self._say_again(mode, wanted)
                    return mode
            if self._is_reached:
                return Mode.PROMPT
            assert self._last is not None  # noqa: S101 (nothing was answered, so something failed)
            is_refused = self._last.status in {*REFUSALS, _SERVER_ERROR}
            if self._last.kind.meaning.may_be_billed:
                is_refused, steps = True, iter((self._encoder.bare,) * (not self._was_stripped))
            if not is_refused or not any(step(model) for step in steps):
                raise _as_settings(self._last)
            self._was_stripped = True

    async def _say_again(self, mode: Mode, wanted: frozenset[str]) -> None:
        """Try each omitted parameter again, to find out which one is at fault."""
        request, encoder = self._question.request, self._encoder
        model = request.model
        if not self._was_stripped:
            return
        for name in _WORTH_SAYING:
            without = encoder.accepted(model).without
            if name not in without or name in wanted:
                continue
            before = encoder.encode(request, mode)
            encoder.leave_out(model, without - {name})
            if encoder.encode(request, mode) == before:
                continue  # the run does not send it anyway
            try:
                completion = await self._ask(request, mode)
            except ProviderError:
                encoder.leave_out(model, without)
            else:
                if not self._question.is_usable(completion.text):
                    encoder.leave_out(model, without)

    async def _works(self, mode: Mode) -> bool:
        for _ in range(_BAD_ANSWERS):
            try:
                completion = await self._ask_until_settled(mode)
            except ProviderError as error:
                if await self._rules_out(mode, error):
                    return False
                continue
            self._is_reached = True
            if _is_held(completion, mode) and self._question.is_usable(completion.text):
                return True
        return False

    async def _rules_out(self, mode: Mode, error: ProviderError) -> bool:
        """Return True if a failure rules out a mode; else the mode is tried again.

        Raises:
            ProviderError: It is about something else: ``error``.
        """
        self._last = error
        if error.kind.meaning.may_be_billed:
            if self._was_bare_answered:
                return True
            await self._ask_barely(error)
            return False
        if error.kind is Kind.BADOUT and error.code in _UNUSABLE:
            self._is_reached = True
            return False
        if error.status in {_SERVER_ERROR, _BAD_GATEWAY} or fails_at_the_format(error):
            return True
        if not _may_be_the_mode(error):
            raise error
        return mode is Mode.PROMPT or names_the_format(error)

    async def _ask_barely(self, broken: ProviderError) -> None:
        """Ask without optional parameters.

        Raises:
            ProviderError: That fails as well: ``broken``, which is more informative.
        """
        request = self._question.request
        try:
            with self._encoder.barely(request.model):
                await self._ask(request, Mode.PROMPT)
        except ProviderError as error:
            if error.kind is not Kind.BADOUT:
                raise broken from None
        self._was_bare_answered = True
        self._answer_timeout.most_s = max(_LEAST_PATIENCE_S, _SLOWER * self._answer_timeout.took_s)
        self.broke = str(broken)

    async def _ask_until_settled(self, mode: Mode) -> Completion:
        """Ask until the thinking parameters no longer change, or enough were tried."""
        request, encoder = self._question.request, self._encoder
        for attempt in range(_MOST_FORMS):
            form = encoder.accepted(request.model).form
            try:
                completion = await self._ask_or_another(request, mode)
            except ProviderError as error:
                if error.code != "length":
                    raise
                self.has_thought = True
                if attempt + 1 == _MOST_FORMS:
                    raise _as_settings(error) from None
                continue  # with other parameters, or a higher token limit
            self.thought_tokens = completion.usage.reasoning_tokens
            self.has_thought = self.has_thought or self.thought_tokens > 0
            if encoder.accepted(request.model).form == form or attempt + 1 == _MOST_FORMS:
                return completion
        raise AssertionError  # the last attempt returned or raised

    async def _ask_or_another(self, request: Request, mode: Mode) -> Completion:
        """Ask; if the configuration seems wrong, ask another question once, to be sure."""
        try:
            return await self._ask(request, mode)
        except ProviderError as error:
            if self._has_asked_another or not _is_of_set_up(error):
                raise
        self._has_asked_another = True
        sampling = replace(request.prompt.sampling, seed=(request.prompt.sampling.seed or 0) + 1)
        prompt = replace(request.prompt, sampling=sampling)
        return await self._ask(replace(request, prompt=prompt), mode)


def _is_held(completion: Completion, mode: Mode) -> bool:
    """Return True if an answer shows that a mode is enforced: JSON without text around it."""
    starts = completion.text.lstrip()[:1] == "{"
    return mode is Mode.PROMPT or starts or completion.usage.reasoning_tokens > 0


def _may_be_the_mode(error: ProviderError) -> bool:
    """Return True if the endpoint says that it refuses the mode."""
    if error.status not in REFUSALS:
        return False
    if error.status in {403, 404, 405}:
        return names_the_format(error)
    return error.kind in {Kind.CHUNK, Kind.REFUSED} or names_the_format(error)


def _as_settings(error: ProviderError) -> ProviderError:
    """Turn a failure into a configuration error, since a probe's question cannot be at fault."""
    if error.kind not in {Kind.CHUNK, Kind.REFUSED, Kind.BADOUT}:
        return error
    found = ProviderError(Kind.CONFIG, str(error), status=error.status, code=error.code)
    found.refusal = error.refusal
    return found
