"""Shared by the generators: the answer's fields, a chunk's template values, the canary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, get_args

from msgspec.structs import replace
from pydantic import AliasChoices, BeforeValidator, Field, StringConstraints

from pairmill.errors import RejectedError
from pairmill.quality.filters import prompt_terms
from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.plan import plan_pairs
from pairmill.recipes.prompts import (
    AUTHOR,
    LATEST,
    PromptTemplate,
    as_lines,
    fence,
    load_template,
    of_settings,
    one_line,
)
from pairmill.records import Pair, Rejection, Sampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.config import Settings
    from pairmill.recipes.recipe import Ask
    from pairmill.recipes.style import Forms, StyleCards
    from pairmill.records import Chunk, Prompt

__all__ = [
    "CANARY",
    "TERMS",
    "TOKENS_PER_PAIR",
    "TOKENS_PER_REPLY",
    "Answered",
    "Answers",
    "Instructed",
    "NumberedAnswer",
    "Rewriter",
    "Short",
    "Skip",
    "Text",
    "WrittenAnswer",
    "WrittenPair",
    "by_number",
    "drop_skipped",
    "load_backtranslate",
    "passage_values",
    "question",
    "to_pair",
]

TOKENS_PER_PAIR = 420  # an answer of 250 words, its instruction, its evidence, and the JSON syntax
TOKENS_PER_REPLY = 120
_MOST_BEFORE = 300

CANARY = "PM-7F3A-91C4"
"""Occurs in every system prompt and nowhere else: a text that contains it has leaked the prompt."""

TERMS = prompt_terms(
    ("bread dough", "slows the yeast", "knight at the rim", "rim of the board", "cookie notice"),
    CANARY,
)
"""Phrases that occur only in the prompts' examples."""

SkipReason = Literal["boilerplate", "too_little_content", "unsafe"]


def _known_skip(value: object) -> object:
    """Map an unknown reason to ``too_little_content``, and anything that is not text to None."""
    if not isinstance(value, str) or not value.strip() or value.strip().lower() in {"null", "none"}:
        return None
    return value if value in get_args(SkipReason) else "too_little_content"


Skip = Annotated[SkipReason | None, BeforeValidator(_known_skip)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]
Short = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2_000)]
Instructed = Annotated[
    Text,
    Field(validation_alias=AliasChoices("instruction", "question", "prompt", "input", "request")),
]
Answered = Annotated[
    Text,
    Field(validation_alias=AliasChoices("answer", "response", "output", "completion", "reply")),
]


class WrittenPair(AnswerModel):
    """One pair as the model writes it. What it rests on comes first, so that it looks first."""

    type: Short = ""
    evidence: Short = ""
    instruction: Instructed
    answer: Answered


class WrittenAnswer(AnswerModel):
    """The whole reply: pairs, or the reason why there are none."""

    items: ClassVar[str | None] = "pairs"
    schema_name: ClassVar[str | None] = "written"  # name used when the first answers were bought
    skip: Skip = None
    pairs: list[WrittenPair]


def load_backtranslate(
    style: str, guidance: str = "", voice: str = AUTHOR, prompts: str = LATEST
) -> PromptTemplate:
    """Load the default recipe's template; with a paragraph about the author's style, or ""."""
    constants = {"style": style, "canary": CANARY}
    return load_template("backtranslate", constants, guidance, voice, prompts)


def to_pair(written: WrittenPair, index: int) -> Pair:
    """Make the pair at that position from a written pair."""
    return Pair(
        instruction=written.instruction,
        answer=written.answer,
        index=index,
        kind=written.type,
        evidence=written.evidence,
    )


def drop_skipped(reason: str | None, ask: Ask) -> None:
    """Record that the model found nothing to write about in the whole chunk."""
    ask.drop(Rejection(reason or "no_pairs", "the model found nothing to write about"))


def passage_values(chunk: Chunk) -> dict[str, str]:
    """Return the template values of a chunk: its description and its fenced text."""
    return {
        "title": one_line(chunk.title) or "none",
        "section": " > ".join(one_line(part) for part in chunk.section) or "none",
        "about": _about(chunk),
        "passage": fence(chunk.text),
    }


def _about(chunk: Chunk) -> str:
    """Return lines on author, date, position and preceding text, as far as they are known."""
    known = {
        "Author": one_line(chunk.author),
        "Date": one_line(chunk.date, 40),
        "Place": f"passage {chunk.index + 1} of the document" if chunk.index else "",
        "Before it stands": one_line(chunk.preceding, _MOST_BEFORE),
    }
    return "".join(f"\n{name}: {value}" for name, value in known.items() if value)


class NumberedAnswer(AnswerModel):
    """One answer, and the number of its request."""

    number: int
    answer: Answered


class Answers(AnswerModel):
    """The whole reply."""

    items: ClassVar[str | None] = "answers"
    items_are_pairs: ClassVar[bool] = False
    answers: list[NumberedAnswer]


def question(
    form: PromptTemplate,
    requests: Sequence[str],
    temperature: float,
    seed: int,
    chunk: Chunk | None = None,
) -> Prompt:
    """Ask for answers to the requests, numbered from 1; based on the chunk if one is given."""
    listed = [{"number": number, "request": text} for number, text in enumerate(requests, 1)]
    values = {"count": str(len(requests)), "requests": as_lines(listed)}
    if chunk is not None:
        values |= passage_values(chunk)
    max_tokens = TOKENS_PER_REPLY + TOKENS_PER_PAIR * len(requests)
    return form.fill(values, Sampling(temperature, max_tokens, seed))


def by_number(answers: Answers, count: int) -> list[str | None]:
    """Return the answer to each of the requests, in order; None if one is missing."""
    found: dict[int, str] = {}
    for item in answers.answers:
        found.setdefault(item.number, item.answer)
    return [found.get(number) for number in range(1, count + 1)]


_INSTRUCTION_CHARS = 400


class Rewriter:
    """Replaces single pairs, with the same prompt prefix as their chunks."""

    def __init__(self, settings: Settings, forms: Forms, cards: StyleCards) -> None:
        self._settings = settings
        self._forms = forms
        self._cards = cards
        self._prompts = of_settings(settings)
        self.form = load_template("replace", prompts=self._prompts).form

    async def rewrite(self, pair: Pair, reason: str, chunk: Chunk, ask: Ask) -> Pair | None:
        """Ask once for a pair to replace this one; None if there is none."""
        settings = self._settings
        prefix = self._forms.with_card(await self._cards.of(chunk, ask))
        planned = plan_pairs(
            chunk, pair.index + 1, settings.seed, settings.plan, prompts=self._prompts
        )
        plan = planned.after(pair.index)
        values = {
            "plan": plan.lines(),
            "reason": one_line(reason),
            "instruction": one_line(pair.instruction, _INSTRUCTION_CHARS),
            **passage_values(chunk),
        }
        sampling = Sampling(settings.temperature, TOKENS_PER_REPLY + TOKENS_PER_PAIR, settings.seed)
        prompt = PromptTemplate(prefix.template, self.form).fill(values, sampling)
        prompt = replace(prompt, stage="replace")
        try:
            written = await ask(prompt, WrittenAnswer)
        except RejectedError:
            return None
        return to_pair(written.pairs[0], pair.index) if written.pairs else None
