"""Types of all recipe-specific fields in a run folder.

``.run/fields.json`` maps each name to a ``store.rows.Feature``, with list types as JSON lists of
one. The dataset card uses it to declare the column ``fields``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import ChangedError
from pairmill.store.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pairmill.store.rows import Feature

__all__ = ["add_fields", "read_fields"]

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
