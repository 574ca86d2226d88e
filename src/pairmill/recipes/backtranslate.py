"""The default recipe: one call a chunk, in which the model writes up to N pairs.

Instruction backtranslation (Li et al. 2023, arXiv:2308.06259) finds the instruction whose answer is
a given text; with the answer rewritten from the text by a model that sees it (Nguyen et al. 2024,
"Better Alignment with Instruction Back-and-Forth Translation"), it beats both the raw text and an
answer from memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, get_args

from pydantic import AliasChoices, BeforeValidator, Field, StringConstraints

from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.prompts import fence, load_template
from pairmill.recipes.recipe import Ask, Recipe
from pairmill.records import Pair, Prompt, Rejection, Sampling, digest

if TYPE_CHECKING:
    from pairmill.records import Chunk

__all__ = ["Written", "WrittenPair", "backtranslate"]

VERSION = "1"
TOKENS_PER_PAIR = 420  # an answer of 250 words, its instruction, its evidence, and the JSON around
TOKENS_PER_REPLY = 120

SkipReason = Literal["boilerplate", "too_little_content", "unsafe"]


def _known_skip(value: object) -> object:
    """A reason in other words is still a wish to skip; anything but text is none."""
    if not isinstance(value, str) or not value.strip() or value.strip().lower() in {"null", "none"}:
        return None
    return value if value in get_args(SkipReason) else "too_little_content"


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]
Short = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2_000)]


class WrittenPair(AnswerModel):
    """One pair as the model writes it. What it rests on comes first, so that it looks first."""

    type: Short = ""
    evidence: Short = ""
    instruction: Text = Field(
        validation_alias=AliasChoices("instruction", "question", "prompt", "input", "request")
    )
    answer: Text = Field(
        validation_alias=AliasChoices("answer", "response", "output", "completion", "reply")
    )


class Written(AnswerModel):
    """The whole reply: pairs, or the reason why there are none."""

    items: ClassVar[str | None] = "pairs"
    skip: Annotated[SkipReason | None, BeforeValidator(_known_skip)] = None
    pairs: list[WrittenPair]


def backtranslate(*, pairs_per_chunk: int, temperature: float, seed: int) -> Recipe:
    """Make the recipe. It rejects a chunk only when no valid reply can be had."""
    form = load_template("backtranslate")

    def question(chunk: Chunk, count: int) -> Prompt:
        values = {
            "count": str(count),
            "title": _one_line(chunk.title) or "none",
            "section": " > ".join(_one_line(part) for part in chunk.section) or "none",
            "passage": fence(chunk.text),
        }
        max_tokens = TOKENS_PER_REPLY + TOKENS_PER_PAIR * count
        return form.fill(values, Sampling(temperature, max_tokens, seed))

    async def write(chunk: Chunk, ask: Ask) -> list[Pair]:
        written = await ask(
            question(chunk, pairs_per_chunk),
            Written,
            again=lambda kept: question(chunk, max(1, pairs_per_chunk - kept)),
        )
        if not written.pairs:
            ask.drop(
                Rejection(written.skip or "no_pairs", "the model found nothing to write about")
            )
        for surplus in written.pairs[pairs_per_chunk:]:
            detail = f"more than the {pairs_per_chunk} pairs asked for"
            ask.drop(Rejection("surplus", detail, surplus.answer, whole_unit=False))
        return [
            Pair(
                instruction=pair.instruction,
                answer=pair.answer,
                index=index,
                kind=pair.type,
                evidence=pair.evidence,
            )
            for index, pair in enumerate(written.pairs[:pairs_per_chunk])
        ]

    settings = (str(pairs_per_chunk), repr(temperature), str(seed))
    return Recipe(
        name="backtranslate",
        version=VERSION,
        prompt_version=form.version,
        identity=digest("backtranslate", VERSION, form.template.id, form.form, *settings),
        write=write,
    )


def _one_line(text: str | None) -> str:
    """A title or heading as one short line that cannot open or close a fence."""
    return " ".join((text or "").replace("<", "").replace(">", "").split())[:200]
