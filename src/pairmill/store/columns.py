"""The columns of the dataset's rows: name, type, meaning and value, one entry each.

To add a column, add an entry to `COLUMNS`; its value comes from the unit or from the pair. Readers
of older folders find no such key in their rows. `REJECTED_VALUES` lists the fields of the lines in
``rejected/`` in the same way.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from msgspec import Struct
from msgspec.structs import asdict

from pairmill.records import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pairmill.records import Alternative, Chunk, Pair, Rejection, Usage

__all__ = [
    "COLUMNS",
    "REJECTED_FIELDS",
    "REJECTED_VALUES",
    "ROW_FEATURES",
    "ROW_NOTES",
    "SCORE_ASPECTS",
    "Column",
    "Feature",
    "RejectSource",
    "RowOrigin",
    "RowSource",
    "Schema",
    "pair_id",
    "with_fields",
]

_MOST = 2**53  # the largest count that every JSON reader keeps exact; a server may claim more

SCORE_ASPECTS = ("instruction_following", "truthfulness", "honesty", "helpfulness")
_SENTENCES = ("supported", "contradicted", "not_in_text", "unproven", "cut")

Feature: TypeAlias = "str | tuple[Feature] | Mapping[str, Feature]"
"""A Hugging Face dtype; a one-tuple: a list of it; a mapping: a struct of named fields."""

Schema: TypeAlias = "Mapping[str, Feature]"
"""Columns in their order, each with its type."""


class RowOrigin(Struct, frozen=True):
    """Shared by all rows of one unit.

    Attributes:
        model: The model's name as the server returned it.
        attempts: Answers paid for.
        usage: Tokens of all of them, distributed over the unit's rows.
        created: Seconds since the epoch, from the ledger, so that a replay writes the same bytes.
    """

    unit_id: str
    recipe: str
    prompt_version: str
    model: str
    attempts: int
    usage: Usage
    created: float


class RowSource(NamedTuple):
    """Source of the values of one row: a pair, its unit's origin, and its share of the tokens."""

    pair: Pair
    origin: RowOrigin
    prompt_tokens: int
    completion_tokens: int


class RejectSource(NamedTuple):
    """Source of the values of one line in ``rejected/``; the tokens are this line's share.

    Attributes:
        error_class: Why the unit as a whole was rejected; None if it was not.
    """

    rejection: Rejection
    chunk: Chunk
    origin: RowOrigin
    prompt_tokens: int
    completion_tokens: int
    error_class: str | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a row.

    Attributes:
        name: Key in the row.
        type: Its type in the Hugging Face ``datasets`` library.
        meaning: One line for the dataset card.
        of_unit: Returns the value, if all rows of a unit share it.
        of_pair: Returns the value, if it differs by pair.
    """

    name: str
    type: Feature
    meaning: str
    of_unit: Callable[[Chunk, RowOrigin], Any] | None = None
    of_pair: Callable[[RowSource], Any] | None = None


def pair_id(unit_id: str, index: int) -> str:
    """Return the pair's id: 32 hex digits, a hash of its unit's id and its position there."""
    return digest(unit_id, str(index))


def _messages(row: RowSource) -> list[dict[str, str]] | None:
    turns = row.pair.messages
    if row.pair.task == "pair" or not turns:
        return None
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _instruction(row: RowSource) -> str | None:
    pair = row.pair
    return pair.instruction if pair.task == "pair" else pair.instruction or None


def _scores(row: RowSource) -> dict[str, float | None] | None:
    scores = row.pair.scores
    if scores is None:
        return None
    return {aspect: _number(scores.get(aspect)) for aspect in SCORE_ASPECTS}


def _verification(row: RowSource) -> dict[str, Any] | None:
    found = row.pair.verification
    return None if found is None else asdict(found)


def _parent_id(row: RowSource) -> str | None:
    parent = row.pair.parent
    return None if parent is None else pair_id(row.origin.unit_id, parent)


def _alternative(row: RowSource) -> dict[str, str | float | None] | None:
    given: Alternative | None = row.pair.alternative
    if given is None:
        return None
    return {"answer": given.answer, "route": given.route, "score": _number(given.score)}


def _number(value: float | None) -> float | None:
    """Return a float that JSON can hold, never an int; None for NaN and the infinities."""
    return float(value) if value is not None and math.isfinite(value) else None


def _moment(created: float) -> str:
    return _second(math.floor(created))


@lru_cache(maxsize=64)  # units of the same second are written together
def _second(created: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(created))


COLUMNS = (
    Column(
        "id",
        "string",
        "Digest of unit and position; the same pair has the same id in every run",
        of_pair=lambda row: pair_id(row.origin.unit_id, row.pair.index),
    ),
    Column(
        "task",
        "string",
        "pair, conversation, text (for continued pretraining) or question (a short answer)",
        of_pair=lambda row: row.pair.task,
    ),
    Column(
        "instruction",
        "string",
        "What a person asks; of a conversation, first; null for plain text",
        of_pair=_instruction,
    ),
    Column(
        "answer",
        "string",
        "What the assistant should reply; of a conversation, first; or the plain text",
        of_pair=lambda row: row.pair.answer,
    ),
    Column(
        "messages",
        ({"role": "string", "content": "string"},),
        "All turns of a conversation without its system message, else null",
        of_pair=_messages,
    ),
    Column(
        "system",
        "string",
        "The system message to train with, or null",
        of_pair=lambda row: row.pair.system or None,
    ),
    Column(
        "reasoning",
        "string",
        "The thought that leads to the answer, or null",
        of_pair=lambda row: row.pair.reasoning or None,
    ),
    Column(
        "fields",
        "null",  # `with_fields` puts a struct here
        "Fields specific to the recipe, or null",
        of_pair=lambda row: row.pair.fields or None,
    ),
    Column(
        "document_id",
        "string",
        "The document that the pair was written from",
        of_unit=lambda chunk, _: chunk.document_id,
    ),
    Column("chunk_id", "string", "Digest of the chunk's text", of_unit=lambda chunk, _: chunk.id),
    Column(
        "source",
        "string",
        "Where the document was read from",
        of_unit=lambda chunk, _: chunk.source,
    ),
    Column(
        "title", "string", "The document's title, or null", of_unit=lambda chunk, _: chunk.title
    ),
    Column("url", "string", "The document's address, or null", of_unit=lambda chunk, _: chunk.url),
    Column(
        "license",
        "string",
        "The document's licence as given by its source, or null",
        of_unit=lambda chunk, _: chunk.license,
    ),
    Column("recipe", "string", "How the pair was made", of_unit=lambda _, origin: origin.recipe),
    Column(
        "prompt_version",
        "string",
        "Version of the recipe's prompt",
        of_unit=lambda _, origin: origin.prompt_version,
    ),
    Column(
        "model",
        "string",
        "The model's name as the server returned it",
        of_unit=lambda _, origin: origin.model,
    ),
    Column(
        "kind",
        "string",
        "Sort of instruction (how_to, why ...), or null",
        of_pair=lambda row: row.pair.kind or None,
    ),
    Column(
        "evidence",
        "string",
        "Words that the model quoted from the chunk as evidence, or null",
        of_pair=lambda row: row.pair.evidence or None,
    ),
    Column(
        "flags",
        ("string",),
        "Quality findings that did not drop the pair",
        of_pair=lambda row: row.pair.flags,
    ),
    Column(
        "scores",
        dict.fromkeys(SCORE_ASPECTS, "float64"),
        "A judge's ratings from 1 to 5 for each aspect, or null",
        of_pair=_scores,
    ),
    Column(
        "grounding",
        "float64",
        "Share of the answer's content words that occur in the chunk, 0 to 1: a guard against"
        " foreign text",
        of_pair=lambda row: _number(row.pair.grounding),
    ),
    Column(
        "support",
        "float64",
        "How well the chunk supports the answer, by words that occur together, 0 to 1",
        of_pair=lambda row: _number(row.pair.support),
    ),
    Column(
        "verification",
        {**dict.fromkeys(_SENTENCES, "int64"), "quotes": ("string",)},
        "What a verifier found, in sentences of the answer: supported, contradicted, not in the"
        " chunk, unproven, cut out, and the quotations from the chunk; or null",
        of_pair=_verification,
    ),
    Column(
        "parent_id",
        "string",
        "Id of the row that this one was evolved from, or null",
        of_pair=_parent_id,
    ),
    Column(
        "alternative",
        {"answer": "string", "route": "string", "score": "float64"},
        "A second answer to the same instruction, its origin and mean rating, or null",
        of_pair=_alternative,
    ),
    Column(
        "attempts",
        "int64",
        "Answers paid for, for this pair's unit",
        of_unit=lambda _, origin: origin.attempts,
    ),
    Column(
        "prompt_tokens",
        "int64",
        "The pair's share of its unit's prompt tokens, as the server counted them",
        of_pair=lambda row: min(row.prompt_tokens, _MOST),
    ),
    Column(
        "completion_tokens",
        "int64",
        "The pair's share of its unit's completion tokens",
        of_pair=lambda row: min(row.completion_tokens, _MOST),
    ),
    Column(
        "created",
        # Arrow's JSON reader parses ISO strings as time stamps whatever the card says, and casts
        # them back to a different string. Declared as time stamps, they load as written.
        "timestamp[s, tz=UTC]",
        "Time of the answer, ISO 8601 in UTC",
        of_unit=lambda _, origin: _moment(origin.created),
    ),
)
"""All columns in their order."""

ROW_FEATURES: Schema = MappingProxyType({column.name: column.type for column in COLUMNS})
"""The row's columns in their order, each with its type in the Hugging Face ``datasets`` library."""

ROW_NOTES: Mapping[str, str] = MappingProxyType({column.name: column.meaning for column in COLUMNS})
"""What each column means, for dataset cards."""

REJECTED_VALUES: Mapping[str, Callable[[RejectSource], Any]] = MappingProxyType(
    {
        "id": lambda line: line.origin.unit_id,
        "chunk_id": lambda line: line.chunk.id,
        "document_id": lambda line: line.chunk.document_id,
        "source": lambda line: line.chunk.source,
        "title": lambda line: line.chunk.title,
        "url": lambda line: line.chunk.url,
        "license": lambda line: line.chunk.license,
        "recipe": lambda line: line.origin.recipe,
        "prompt_version": lambda line: line.origin.prompt_version,
        "model": lambda line: line.origin.model or None,
        "reason": lambda line: line.rejection.reason,
        "class": lambda line: line.error_class,
        "detail": lambda line: line.rejection.detail or None,
        "raw": lambda line: line.rejection.raw,
        "grounding": lambda line: _number(line.rejection.grounding),
        "support": lambda line: _number(line.rejection.support),
        "attempts": lambda line: line.origin.attempts,
        "prompt_tokens": lambda line: min(line.prompt_tokens, _MOST),
        "completion_tokens": lambda line: min(line.completion_tokens, _MOST),
        "whole_unit": lambda line: line.rejection.whole_unit,
        "created": lambda line: _moment(line.origin.created),
    }
)
"""The fields of a line in ``rejected/`` in their order, each with its value. A pair that a person
rescues from there gets the fields that are also columns of rows."""

REJECTED_FIELDS = tuple(REJECTED_VALUES)


def with_fields(fields: Schema) -> Schema:
    """``ROW_FEATURES`` with a recipe's own fields as the type of the column ``fields``."""
    return {**ROW_FEATURES, "fields": dict(fields)} if fields else ROW_FEATURES
