"""The canonical row of the dataset, and the row of a reject: fixed keys, in a fixed order.

Missing values are null, and no key is ever left out, so that all shards have the same schema. Text
comes from crawled pages and models: characters that JSON in UTF-8 cannot hold are replaced, never
an error.

Fields that only a recipe knows are in the column ``fields``; ``.run/fields.json`` maps each name to
its `Feature`, with list types as JSON lists of one.
"""

from __future__ import annotations

import math
import time
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson
from msgspec import Struct
from msgspec.structs import asdict

from pairmill.errors import ChangedError
from pairmill.records import digest
from pairmill.store.charges import DropKey
from pairmill.store.entries import UnitOutcome
from pairmill.store.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pairmill.records import Alternative, Chunk, Outcome, Pair, Rejection, Usage

__all__ = [
    "REJECTED_FIELDS",
    "ROW_FEATURES",
    "SCORE_ASPECTS",
    "Feature",
    "RowOrigin",
    "UnitResult",
    "add_fields",
    "encode_rejection",
    "encode_row",
    "encode_unit",
    "pair_id",
    "read_fields",
    "share",
    "with_fields",
]

_MOST = 2**53  # the largest count that every JSON reader keeps exact; a server may claim more

SCORE_ASPECTS = ("instruction_following", "truthfulness", "honesty", "helpfulness")

Feature: TypeAlias = "str | tuple[Feature] | Mapping[str, Feature]"
"""A Hugging Face dtype; a one-tuple: a list of it; a mapping: a struct of named fields."""

ROW_FEATURES: Mapping[str, Feature] = MappingProxyType(
    {
        "id": "string",
        "task": "string",
        "instruction": "string",
        "answer": "string",
        "messages": ({"role": "string", "content": "string"},),
        "system": "string",
        "reasoning": "string",
        # recipe-specific; `with_fields` puts a struct here
        "fields": "null",
        "document_id": "string",
        "chunk_id": "string",
        "source": "string",
        "title": "string",
        "url": "string",
        "license": "string",
        "recipe": "string",
        "prompt_version": "string",
        "model": "string",
        "kind": "string",
        "evidence": "string",
        "flags": ("string",),
        "scores": dict.fromkeys(SCORE_ASPECTS, "float64"),
        "grounding": "float64",
        "support": "float64",
        "verification": {
            **dict.fromkeys(
                ("supported", "contradicted", "not_in_text", "unproven", "cut"), "int64"
            ),
            "quotes": ("string",),
        },
        "parent_id": "string",
        "alternative": {"answer": "string", "route": "string", "score": "float64"},
        "attempts": "int64",
        "prompt_tokens": "int64",
        "completion_tokens": "int64",
        # Arrow's JSON reader parses ISO strings as time stamps whatever the card says, and casts
        # them back to a different string. Declared as time stamps, they load as written.
        "created": "timestamp[s, tz=UTC]",
    }
)
"""The row's fields in their order, each with its type in the Hugging Face ``datasets`` library."""

REJECTED_FIELDS = (
    "id",
    "chunk_id",
    "document_id",
    "source",
    "title",
    "url",
    "license",
    "recipe",
    "prompt_version",
    "model",
    "reason",
    "class",
    "detail",
    "raw",
    "grounding",
    "support",
    "attempts",
    "prompt_tokens",
    "completion_tokens",
    "whole_unit",
    "created",
)
"""The fields of a line in ``rejected/``, in their order."""


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


class UnitResult(Struct, frozen=True):
    """Result of a unit, before encoding.

    Attributes:
        rejections: What was dropped; if the unit was rejected, the last one says why.
        reason: Why the unit as a whole was rejected; None if it was not.
    """

    chunk: Chunk
    origin: RowOrigin
    outcome: Outcome
    pairs: Sequence[Pair] = ()
    rejections: Sequence[Rejection] = ()
    reason: str | None = None


def with_fields(fields: Mapping[str, Feature]) -> Mapping[str, Feature]:
    """``ROW_FEATURES`` with a recipe's own fields as the type of the column ``fields``."""
    return {**ROW_FEATURES, "fields": dict(fields)} if fields else ROW_FEATURES


def pair_id(unit_id: str, index: int) -> str:
    """Return the pair's id: 32 hex digits, a hash of its unit's id and its position there."""
    return digest(unit_id, str(index))


def share(total: int, parts: int) -> list[int]:
    """Split an integer into ``parts`` equal ones; the first gets the remainder."""
    if parts < 1:
        return []
    each, rest = divmod(total, parts)
    return [each + rest, *[each] * (parts - 1)]


def encode_unit(result: UnitResult) -> UnitOutcome:
    """Encode a unit's result as lines for ``data/`` and ``rejected/``.

    The unit's tokens are distributed over its pairs or, without pairs, over its rejections, so that
    the token columns of both folders add up to the bill.
    """
    chunk, origin = result.chunk, result.origin
    pairs, rejections = result.pairs, result.rejections
    spent = (origin.usage.prompt_tokens, origin.usage.completion_tokens)
    paying = len(pairs) or len(rejections)
    costs = list(zip(share(spent[0], paying), share(spent[1], paying), strict=True))
    frame = _frame(chunk, origin)
    rows = [_row(frame, pair, origin, *cost) for pair, cost in zip(pairs, costs, strict=False)]
    dues = [(0, 0)] * len(rejections) if pairs else costs
    rejected = [
        encode_rejection(rejection, chunk, origin, *due, error_class=result.reason)
        for rejection, due in zip(rejections, dues, strict=True)
    ]
    return UnitOutcome(
        unit_id=origin.unit_id,
        outcome=result.outcome,
        rows=rows,
        rejected=rejected,
        reason=result.reason,
        attempts=origin.attempts,
        usage=origin.usage,
        drops=[_drop(rejection, result.reason) for rejection in rejections],
    )


def _drop(rejection: Rejection, error_class: str | None) -> DropKey:
    """Return why a line is in ``rejected/``; ``counts.drop_key`` reads the same from the line."""
    if not rejection.whole_unit:
        return DropKey("pair", rejection.reason)
    return DropKey("empty" if error_class is None else "chunk", rejection.reason)


def encode_row(
    pair: Pair, chunk: Chunk, origin: RowOrigin, prompt_tokens: int, completion_tokens: int
) -> bytes:
    """Return one pair as one line of JSON, newline included. Never raises for any text."""
    return _row(_frame(chunk, origin), pair, origin, prompt_tokens, completion_tokens)


def _frame(chunk: Chunk, origin: RowOrigin) -> dict[str, Any]:
    """Make a row, with keys in order, and with the values that all rows of a unit share."""
    return {
        "id": "",
        "task": "pair",
        "instruction": "",
        "answer": "",
        "messages": None,
        "system": None,
        "reasoning": None,
        "fields": None,
        "document_id": chunk.document_id,
        "chunk_id": chunk.id,
        "source": chunk.source,
        "title": chunk.title,
        "url": chunk.url,
        "license": chunk.license,
        "recipe": origin.recipe,
        "prompt_version": origin.prompt_version,
        "model": origin.model,
        "kind": None,
        "evidence": None,
        "flags": (),
        "scores": None,
        "grounding": None,
        "support": None,
        "verification": None,
        "parent_id": None,
        "alternative": None,
        "attempts": origin.attempts,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "created": _moment(origin.created),
    }


def _row(
    frame: dict[str, Any], pair: Pair, origin: RowOrigin, prompt_tokens: int, completion_tokens: int
) -> bytes:
    row = frame.copy()
    row["id"] = pair_id(origin.unit_id, pair.index)
    row["instruction"] = pair.instruction
    row["answer"] = pair.answer
    if pair.task != "pair":
        row["task"] = pair.task
        row["instruction"] = pair.instruction or None
        if pair.messages:
            row["messages"] = [
                {"role": turn.role, "content": turn.content} for turn in pair.messages
            ]
    row["system"] = pair.system or None
    row["reasoning"] = pair.reasoning or None
    if pair.fields:
        row["fields"] = pair.fields
    row["kind"] = pair.kind or None
    row["evidence"] = pair.evidence or None
    row["flags"] = pair.flags
    if pair.scores is not None:
        row["scores"] = _scores(pair.scores)
    row["grounding"] = _number(pair.grounding)
    row["support"] = _number(pair.support)
    if pair.verification is not None:
        row["verification"] = asdict(pair.verification)
    if pair.parent is not None:
        row["parent_id"] = pair_id(origin.unit_id, pair.parent)
    if pair.alternative is not None:
        row["alternative"] = _alternative(pair.alternative)
    row["prompt_tokens"] = min(prompt_tokens, _MOST)
    row["completion_tokens"] = min(completion_tokens, _MOST)
    return _line(row)


def encode_rejection(
    rejection: Rejection,
    chunk: Chunk,
    origin: RowOrigin,
    prompt_tokens: int = 0,
    completion_tokens: int = 0,
    *,
    error_class: str | None = None,
) -> bytes:
    """Return one reject as one line of JSON, newline included; its ``id`` is the unit's.

    ``error_class`` is the reason why the unit as a whole was rejected, if it was; it distinguishes
    a tombstone from a chunk with nothing to write about.
    """
    return _line(
        {
            "id": origin.unit_id,
            "chunk_id": chunk.id,
            "document_id": chunk.document_id,
            "source": chunk.source,
            "title": chunk.title,
            "url": chunk.url,
            "license": chunk.license,
            "recipe": origin.recipe,
            "prompt_version": origin.prompt_version,
            "model": origin.model or None,
            "reason": rejection.reason,
            "class": error_class,
            "detail": rejection.detail or None,
            "raw": rejection.raw,
            "grounding": _number(rejection.grounding),
            "support": _number(rejection.support),
            "attempts": origin.attempts,
            "prompt_tokens": min(prompt_tokens, _MOST),
            "completion_tokens": min(completion_tokens, _MOST),
            "whole_unit": rejection.whole_unit,
            "created": _moment(origin.created),
        }
    )


def _line(row: dict[str, Any]) -> bytes:
    try:
        line = orjson.dumps(row)
    except TypeError:  # how orjson refuses a lone surrogate
        line = orjson.dumps(_clean(row))
    if b"\\" in line and b"\\u0000" in line:  # one character is found faster than six
        line = orjson.dumps(_clean(row))
    # A copy, since orjson's result keeps its whole buffer, 8 KB for a row of 800 bytes, and a
    # thousand rows wait for each commit.
    return line + b"\n"


def _clean(value: Any) -> Any:
    """Remove NUL, and replace each lone surrogate by U+FFFD."""
    if isinstance(value, str):
        whole = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return whole.replace("\x00", "")
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {name: _clean(item) for name, item in value.items()}
    return value


def _scores(scores: Mapping[str, float | None]) -> dict[str, float | None]:
    return {aspect: _number(scores.get(aspect)) for aspect in SCORE_ASPECTS}


def _alternative(given: Alternative) -> dict[str, str | float | None]:
    return {"answer": given.answer, "route": given.route, "score": _number(given.score)}


def _number(value: float | None) -> float | None:
    """Return a float that JSON can hold, never an int; None for NaN and the infinities."""
    return float(value) if value is not None and math.isfinite(value) else None


def _moment(created: float) -> str:
    return _second(math.floor(created))


@lru_cache(maxsize=64)  # units of the same second are written together
def _second(created: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(created))


_NAME = "fields.json"


def read_fields(state: Path) -> dict[str, Feature]:
    """Return the fields of all recipes used in a folder; {} if there are none.

    Args:
        state: The folder's ``.run``.
    """
    try:
        found = orjson.loads((state / _NAME).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return {str(name): _decoded(kind) for name, kind in found.items()} if found else {}


def add_fields(state: Path, fields: Mapping[str, Feature]) -> dict[str, Feature]:
    """Add a recipe's fields to those of earlier ones; return all.

    Raises:
        ChangedError: One of them has another type in this folder; a column has one type.
        StorageError: The disk refused.
    """
    known = read_fields(state)
    for name, kind in fields.items():
        if name in known and known[name] != kind:
            raise ChangedError(
                f"{state.parent}: the field '{name}' was {_words(known[name])} in this folder and"
                f" is {_words(kind)} now; rename it, or give another folder with -o"
            )
    both = {**known, **fields}
    if both != known:
        atomic_write(state / _NAME, orjson.dumps(both, option=orjson.OPT_INDENT_2))
    return both


def _decoded(value: Any) -> Feature:
    if isinstance(value, list):
        return (_decoded(value[0]),)
    if isinstance(value, dict):
        return {str(name): _decoded(kind) for name, kind in value.items()}
    return str(value)


def _words(kind: Feature) -> str:
    if isinstance(kind, tuple):
        return f"a list of {_words(kind[0])}"
    return kind if isinstance(kind, str) else "an object"
