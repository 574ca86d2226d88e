"""Columns of the canonical row beside those of a format: ``export --columns id,source``."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING

from pairmill.errors import UsageError
from pairmill.output.features import ROW_NOTES
from pairmill.store.rows import with_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pairmill.output.features import Feature
    from pairmill.output.formats.format import Candidate, Format
    from pairmill.output.rows import Row

__all__ = ["with_columns"]


def with_columns(shape: Format, names: Sequence[str], fields: Mapping[str, Feature]) -> Format:
    """Return the format with more columns after its own.

    Args:
        shape: A format.
        names: Columns of the row, or names of a recipe's fields.
        fields: A recipe's fields with their types.

    Raises:
        UsageError: There is no such column, or the format has one of that name already.
    """
    if not names:
        return shape
    row = with_fields(fields)
    known = {**fields, **row}
    added: dict[str, Feature] = {}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"--columns: no column '{name}'; {hint}")
        if name in shape.schema:
            raise UsageError(f"--columns: the format '{shape.name}' has a column '{name}' already")
        added[name] = known[name]

    def write(rows: Sequence[Row]) -> Iterable[Candidate]:
        for candidate in shape.write(rows):
            source = candidate.row
            more = {
                name: source.get(name) if name in row else (source.get("fields") or {}).get(name)
                for name in added
            }
            yield candidate._replace(record={**candidate.record, **more})

    notes = {name: ROW_NOTES.get(name, "A field of the recipe") for name in added}
    return replace(
        shape,
        schema={**shape.schema, **added},
        notes={**shape.notes, **notes},
        write=write,
        added=tuple(added),
    )
