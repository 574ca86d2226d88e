"""What the generators share: the answer's fields, the place of a chunk in a prompt, the canary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, get_args

from pydantic import AliasChoices, BeforeValidator, Field, StringConstraints

from pairmill.quality.filters import prompt_terms
from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.prompt_sets import LATEST
from pairmill.recipes.prompts import PromptTemplate, fence, load_template, one_line
from pairmill.recipes.voice import AUTHOR
from pairmill.records import Pair, Rejection

if TYPE_CHECKING:
    from pairmill.recipes.recipe import Ask
    from pairmill.records import Chunk

__all__ = [
    "CANARY",
    "TERMS",
    "TOKENS_PER_PAIR",
    "TOKENS_PER_REPLY",
    "Answered",
    "Instructed",
    "Short",
    "Skip",
    "Text",
    "WrittenAnswer",
    "WrittenPair",
    "drop_skipped",
    "load_backtranslate",
    "passage_values",
    "to_pair",
]

TOKENS_PER_PAIR = 420  # an answer of 250 words, its instruction, its evidence, and the JSON around
TOKENS_PER_REPLY = 120
_MOST_BEFORE = 300

CANARY = "PM-7F3A-91C4"
"""Stands in every system prompt and nowhere else: what holds it has leaked."""

TERMS = prompt_terms(
    ("bread dough", "slows the yeast", "knight at the rim", "rim of the board", "cookie notice"),
    CANARY,
)
"""What only the prompts' examples say."""

SkipReason = Literal["boilerplate", "too_little_content", "unsafe"]


def _known_skip(value: object) -> object:
    """A reason in other words is still a wish to skip; anything but text is none."""
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
    schema_name: ClassVar[str | None] = "written"  # as it was when the first answers were bought
    skip: Skip = None
    pairs: list[WrittenPair]


def load_backtranslate(
    style: str, doors: str = "", voice: str = AUTHOR, prompts: str = LATEST
) -> PromptTemplate:
    """The default recipe's template, with a paragraph about the author's style, or with ""."""
    constants = {"style": style, "canary": CANARY}
    return load_template("backtranslate", constants, doors, voice, prompts)


def to_pair(written: WrittenPair, index: int) -> Pair:
    """A written pair as the pair of that position."""
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
    """What is told of a chunk, and its fenced text, for the places of a template."""
    return {
        "title": one_line(chunk.title) or "none",
        "section": " > ".join(one_line(part) for part in chunk.section) or "none",
        "about": _about(chunk),
        "passage": fence(chunk.text),
    }


def _about(chunk: Chunk) -> str:
    """Lines on author, date, place and what stands before, as far as they are known."""
    known = {
        "Author": one_line(chunk.author),
        "Date": one_line(chunk.date, 40),
        "Place": f"passage {chunk.index + 1} of the document" if chunk.index else "",
        "Before it stands": one_line(chunk.preceding, _MOST_BEFORE),
    }
    return "".join(f"\n{name}: {value}" for name, value in known.items() if value)
