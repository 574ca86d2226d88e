"""When to ask again, and how: from one question to a valid answer, or to a rejection.

``next_step`` is the policy, a plain function over what has been answered so far. ``Asker`` carries
it out for one unit, and counts what the unit cost.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import orjson
from msgspec import Struct
from msgspec.structs import replace

from pairmill.errors import Blame, Kind, ProviderError, RejectedError
from pairmill.events import AnswerRead, RepairAsked, RepairEnded
from pairmill.recipes.answers import AnswerModel, Fault, ParsedAnswer, ParseStep, json_schema, read
from pairmill.recipes.prompts import PromptTemplate, fence, load_template
from pairmill.recipes.recipe import NullContext
from pairmill.records import AnswerSchema, Prompt, Rejection, Request, Sampling, Usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pairmill.events import Bus, Event
    from pairmill.recipes.recipe import RecipeContext
    from pairmill.records import Completion

__all__ = ["Asker", "Attempt", "Questions", "RepairStep", "next_step"]

MAX_REPAIR_CHARS = 4000  # characters of the faulty text that a repair prompt shows
MAX_FAULTS = 5

_ROOM_AFTER_CUT = 2.5  # factor for max_tokens after an answer that was cut off
_NO_TEXT = {"empty": "empty", "refusal": "refusal", "length": "cut_off"}

Answer = TypeVar("Answer", bound=AnswerModel)


class Attempt(Struct, frozen=True):
    """A bought answer: its text, how it ended, and what could be parsed."""

    text: str
    reading: ParsedAnswer[Any]
    was_repair: bool = False

    @property
    def reasons(self) -> tuple[str, ...]:
        """Short names of the faults."""
        return tuple(fault.reason for fault in self.reading.faults)


class RepairStep(Struct, frozen=True):
    """Next action: ``accept``, ``repair``, ``again`` (ask the question again), or ``reject``."""

    action: str
    reason: str = ""


_ACCEPT = RepairStep("accept")


def next_step(attempts: list[Attempt], max_attempts: int) -> RepairStep:
    """Decide what follows the last attempt.

    A repair prompt can fix form, not content: an answer that was cut off, refused, empty, or has
    nothing to fix is asked for again. Prose instead of JSON is asked for again once: a model that
    writes it twice does not know the form. A repair that returns its input unchanged will not do
    better the next time.
    """
    last = attempts[-1]
    if not last.reading.faults:
        return _ACCEPT
    reason = last.reasons[0]
    kept = any(attempt.reading.value is not None for attempt in attempts)
    give_up = RepairStep("accept" if kept else "reject", reason)
    if len(attempts) >= max_attempts:
        return give_up
    if last.was_repair and any(attempt.text == last.text for attempt in attempts[:-1]):
        return give_up
    if reason == "no_json" and any("no_json" in attempt.reasons for attempt in attempts[:-1]):
        return give_up
    if reason in _ASKED_AFRESH or not _has_something_to_mend(last):
        return RepairStep("again", reason)
    return RepairStep("repair", reason)


_ASKED_AFRESH = frozenset({"empty", "refusal", "cut_off", "too_long", "no_answer", "no_json"})
# Two words in a row, or letters of a script without spaces; an echo of the schema has neither.
_SENTENCE = re.compile(r"[^\W\d]{2,}[ ,.;:'\u2019()-]{1,3}\w|[^\x00-\x7f]{4}")
_MOST_TEXTS = 4096


def _has_something_to_mend(attempt: Attempt) -> bool:
    if attempt.reading.value is not None:
        return True
    return _SENTENCE.search(attempt.text[:MAX_REPAIR_CHARS]) is not None


class Questions:
    """Shared by all units of a run: the model, the limits, and prepared schemas."""

    def __init__(
        self, bus: Bus, *, model: str, max_attempts: int, around: RecipeContext | None = None
    ) -> None:
        self.bus = bus
        self.model = model
        self.max_attempts = max_attempts
        self.around: RecipeContext = around or NullContext()
        self._schemas: dict[type[AnswerModel], tuple[AnswerSchema, PromptTemplate]] = {}
        self._mended: dict[int, None] = {}

    def may_mend(self, text: str) -> bool:
        """Return whether to repair a text; never one copied word for word from another chunk.

        It says nothing about this one, and its repair prompt would repeat an earlier one.
        """
        name = hash(text)
        if name in self._mended:
            return False
        self._mended[name] = None
        if len(self._mended) > _MOST_TEXTS:
            del self._mended[next(iter(self._mended))]
        return True

    def schema(self, answer: type[AnswerModel]) -> AnswerSchema:
        """Return the JSON schema of an answer; built once."""
        prepared = self._schemas.get(answer)
        return prepared[0] if prepared else self._prepared(answer)[0]

    def repair_prompt(self, attempt: Attempt, answer: type[AnswerModel], like: Sampling) -> Prompt:
        """Make the prompt that asks to fix an answer's form: schema, faults, text; no chunk."""
        faults = "\n".join(
            f"- {fault.reason}: {fault.detail}" for fault in attempt.reading.faults[:MAX_FAULTS]
        )
        broken = "\n".join(fault.raw for fault in attempt.reading.faults if fault.raw)
        keeps_some = attempt.reading.value is not None
        shown = (broken if keeps_some and broken else attempt.text)[:MAX_REPAIR_CHARS]
        sampling = replace(like, temperature=0.0)
        values = {"faults": faults, "passage": fence(shown)}
        return self._prepared(answer)[1].fill(values, sampling)

    def _prepared(self, answer: type[AnswerModel]) -> tuple[AnswerSchema, PromptTemplate]:
        if answer not in self._schemas:
            schema = json_schema(answer)
            text = orjson.dumps(schema.schema).decode()
            self._schemas[answer] = (schema, load_template("repair", {"schema": text}))
        return self._schemas[answer]


class UnitClaims(Protocol):
    """A unit's place among those of a run; see ``pairmill.run.claims``."""

    async def claim(self, names: Sequence[str]) -> list[bool]:
        """Return for each name whether this unit is the first of the corpus to have it."""
        ...


class Asker:
    """Asks on behalf of one unit; see ``Ask``.

    Attributes:
        usage: Tokens of every answer so far, replayed ones included.
        answers: Number of these answers.
        model: Model name returned with the last one of the run's own model.
        created: Time of the last answer or failure, in seconds since the epoch.
        dropped: Pairs dropped so far.
        reasoning: Thoughts of the run's own model before its last answer, if they are kept.
    """

    __slots__ = (
        "_complete",
        "_holds",
        "_questions",
        "_turn",
        "answers",
        "created",
        "dropped",
        "model",
        "reasoning",
        "usage",
    )

    def __init__(
        self,
        questions: Questions,
        complete: Callable[[Request], Awaitable[Completion]],
        turn: UnitClaims | None = None,
        holds: Callable[[Request], bool] | None = None,
    ) -> None:
        """Take ``complete``, which answers a request from the ledger or from the model.

        ``turn`` knows which unit had a name first; without it every name is new. ``holds`` tells
        whether the ledger has an answer to a request; without it, it has none.
        """
        self._questions = questions
        self._complete = complete
        self._holds = holds
        self._turn = turn
        self.usage = Usage()
        self.answers = 0
        self.model = questions.model
        self.created = 0.0
        self.dropped: list[Rejection] = []
        self.reasoning = ""

    @property
    def around(self) -> RecipeContext:
        """Context of the run that this unit belongs to."""
        return self._questions.around

    def ask_instead(self, questions: Questions) -> None:
        """Ask another model from now on; counts are kept."""
        self._questions = questions

    def is_answered(
        self, prompt: Prompt, answer: type[AnswerModel], *, model: str | None = None
    ) -> bool:
        """Return whether the ledger has an answer to this question; see ``Ask``."""
        questions = self._questions
        return self._holds is not None and self._holds(
            Request(prompt, model or questions.model, questions.schema(answer))
        )

    def drop(self, rejection: Rejection) -> None:
        """Record that one pair of this unit was dropped, and why."""
        self.dropped.append(rejection)

    async def claim(self, names: Sequence[str]) -> list[bool]:
        """Return for each name whether this unit is the first to have it; see ``Ask``."""
        return await self._turn.claim(names) if self._turn is not None else [True] * len(names)

    def tell(self, event: Event, /) -> None:
        """Emit an event to the run's subscribers."""
        self._questions.bus.emit(event)

    async def __call__(
        self,
        prompt: Prompt,
        answer: type[Answer],
        again: Callable[[int], Prompt] | None = None,
        *,
        model: str | None = None,
        mend: bool = True,
    ) -> Answer:
        """Ask until the answer is valid, or as good as the attempts allow; see ``Ask``."""
        questions = self._questions
        attempts: list[Attempt] = []
        question, was_repair = prompt, False
        while True:
            request = Request(question, model or questions.model, questions.schema(answer))
            try:
                try:
                    completion = await self._complete(request)
                except ProviderError as error:
                    attempt = self._failed(error, was_repair=was_repair, rates=not mend)
                else:
                    attempt = self._read(
                        completion, answer, model, was_repair=was_repair, rates=not mend
                    )
            except RejectedError:
                if attempts:
                    questions.bus.emit(RepairEnded("failed"))
                raise
            value = attempt.reading.value
            if value is not None and not attempt.reading.faults and not attempts:
                return value  # type: ignore[no-any-return]
            attempts.append(attempt)
            if len(attempts) > 1:
                questions.bus.emit(RepairEnded("failed" if attempt.reading.faults else "mended"))
            step = next_step(attempts, questions.max_attempts)
            if step.action in {"accept", "reject"}:
                return self._conclude(attempts, answer, step)
            questions.bus.emit(RepairAsked(reason=step.reason))
            was_repair = step.action == "repair" and mend and questions.may_mend(attempt.text)
            if was_repair:
                question = questions.repair_prompt(attempt, answer, prompt.sampling)
            else:
                question = _afresh(prompt, again, attempts)

    def _failed(self, error: ProviderError, *, was_repair: bool, rates: bool) -> Attempt:
        """Record a paid reply that held no answer.

        Raises:
            RejectedError: The question itself may be at fault.
            ProviderError: The server, the account or the settings are at fault.
        """
        self.created = error.failed_at or self.created
        if error.kind is not Kind.BADOUT:
            if error.kind.meaning.blame not in {Blame.CHUNK, Blame.UNKNOWN}:
                raise error
            raise RejectedError(
                error.reason,
                str(error),
                kind=None if error.was_known else error.kind,
                billed_sends=error.billed_sends,
                model=error.model,
            ) from None
        self.answers += 1
        self.usage += Usage(error.prompt_tokens, error.completion_tokens)
        if not error.was_known:  # otherwise counted by the start that received it
            self._questions.bus.emit(AnswerRead(how=ParseStep.FAILED.value, rates=rates))
        fault = Fault(_NO_TEXT.get(error.code or "", "no_answer"), str(error))
        return Attempt("", ParsedAnswer(None, ParseStep.FAILED, (fault,)), was_repair)

    def _read(
        self,
        completion: Completion,
        answer: type[Answer],
        model: str | None,
        *,
        was_repair: bool,
        rates: bool,
    ) -> Attempt:
        # Nearly every unit has just one answer, whose usage is the sum.
        self.usage = self.usage + completion.usage if self.answers else completion.usage
        self.answers += 1
        if model is None:
            self.model = completion.model or self.model
            self.reasoning = completion.reasoning
        self.created = completion.created
        if completion.finish_reason == "content_filter":
            raise RejectedError("content_filter", "the provider withheld it", completion.text)
        reading = read(completion.text, answer, cut=completion.finish_reason == "length")
        self._questions.bus.emit(AnswerRead(how=reading.how.value, rates=rates))
        return Attempt(completion.text, reading, was_repair)

    def _conclude(self, attempts: list[Attempt], answer: type[Answer], step: RepairStep) -> Answer:
        last = attempts[-1]
        value = _gather(attempts, answer)
        if value is None:
            details = "; ".join(fault.detail for fault in last.reading.faults[:MAX_FAULTS])
            raise RejectedError(step.reason, details, last.text or attempts[0].text)
        if _is_mended_away(attempts, value, answer):
            told = "the mended reply holds nothing of what was broken"
            raise RejectedError(attempts[0].reasons[0], told, attempts[0].text)
        if last.reading.faults and answer.items_are_pairs:
            for fault in _unmended(attempts):
                self.drop(Rejection(fault.reason, fault.detail, fault.raw, whole_unit=False))
        return value


def _gather(attempts: list[Attempt], answer: type[Answer]) -> Answer | None:
    """Join the valid items of all attempts, in order of arrival, without repeats."""
    values = [attempt.reading.value for attempt in attempts if attempt.reading.value is not None]
    if not values:
        return None
    if not answer.items or len(values) == 1:
        return values[-1]  # type: ignore[no-any-return]
    joined: list[Any] = []
    for value in values:
        joined.extend(item for item in getattr(value, answer.items) if item not in joined)
    return values[0].model_copy(update={answer.items: joined})  # type: ignore[no-any-return]


def _is_mended_away(attempts: list[Attempt], value: AnswerModel, answer: type[Answer]) -> bool:
    """Return whether a repair emptied a broken reply that itself did not say "nothing here".

    An empty list is an answer if the model gives it; if a repair does, what the model wrote was
    lost.
    """
    if not answer.items or not attempts[-1].was_repair or getattr(value, answer.items):
        return False
    skip = getattr(value, "skip", None)
    return skip is None or str(skip) not in attempts[0].text


def _unmended(attempts: list[Attempt]) -> list[Fault]:
    """Return the invalid items of the last answer that had any and were never replaced."""
    for attempt in reversed(attempts):
        found = [fault for fault in attempt.reading.faults if fault.raw]
        if found:
            return found
    return []


def _afresh(
    prompt: Prompt, again: Callable[[int], Prompt] | None, attempts: list[Attempt]
) -> Prompt:
    """Make the prompt that asks for the missing part: another seed, and room to finish."""
    kept = 0
    for attempt in attempts:
        value = attempt.reading.value
        if value is not None and value.items:
            kept += len(getattr(value, value.items))
    fresh = again(kept) if again and kept else prompt
    seed = (prompt.sampling.seed or 0) + len(attempts)
    was_cut = attempts[-1].reasons[:1] == ("cut_off",)
    max_tokens = int(fresh.sampling.max_tokens * (_ROOM_AFTER_CUT if was_cut else 1))
    sampling = replace(fresh.sampling, seed=seed, max_tokens=max_tokens)
    return replace(fresh, sampling=sampling)
