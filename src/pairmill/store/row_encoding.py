"""Encodes a unit's result as lines of JSON: rows of the dataset, and rejects.

The columns are in `pairmill.store.columns`. Missing values are null, and no key is ever left out,
so that all shards have the same schema. Text comes from crawled pages and models: characters that
JSON in UTF-8 cannot hold are replaced, never an error.

Fields that only a recipe knows are in the column ``fields``; ``.run/fields.json`` maps each name to
its `Feature`, with list types as JSON lists of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from msgspec import Struct

from pairmill.errors import ChangedError
from pairmill.store.charges import DropKey
from pairmill.store.columns import COLUMNS, REJECTED_VALUES, RejectSource, RowSource
from pairmill.store.entries import UnitOutcome
from pairmill.store.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pairmill.records import Chunk, Outcome, Pair, Rejection
    from pairmill.store.columns import Feature, RowOrigin

__all__ = [
    "UnitResult",
    "add_fields",
    "encode_rejection",
    "encode_row",
    "encode_unit",
    "read_fields",
    "share",
]

_PAIR_VALUES = tuple((column.name, column.of_pair) for column in COLUMNS if column.of_pair)


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
    rows = [
        _row(frame, RowSource(pair, origin, *cost))
        for pair, cost in zip(pairs, costs, strict=False)
    ]
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
    source = RowSource(pair, origin, prompt_tokens, completion_tokens)
    return _row(_frame(chunk, origin), source)


def _frame(chunk: Chunk, origin: RowOrigin) -> dict[str, Any]:
    """Make a row, with keys in order, and with the values that all rows of a unit share."""
    return {
        column.name: column.of_unit(chunk, origin) if column.of_unit else None for column in COLUMNS
    }


def _row(frame: dict[str, Any], source: RowSource) -> bytes:
    row = frame.copy()
    for name, value in _PAIR_VALUES:
        row[name] = value(source)
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
    source = RejectSource(rejection, chunk, origin, prompt_tokens, completion_tokens, error_class)
    return _line({name: value(source) for name, value in REJECTED_VALUES.items()})


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
