"""Answering existing requests: all of a chunk's in one call, matched by number."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.prompts import as_lines
from pairmill.recipes.writing import TOKENS_PER_PAIR, TOKENS_PER_REPLY, Answered, passage_values
from pairmill.records import Sampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.recipes.prompts import PromptTemplate
    from pairmill.records import Chunk, Prompt

__all__ = ["Answers", "NumberedAnswer", "by_number", "question"]


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
