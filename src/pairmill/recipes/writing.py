"""Shared by the generators: the answer's fields, a chunk's template values, the canary."""

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
