"""Definition of a training format: its columns, and how rows become records."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from pairmill.errors import UsageError
from pairmill.output.rows import task_of
from pairmill.store.columns import ROW_NOTES, with_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pairmill.output.rows import Row
    from pairmill.store.columns import Feature, Schema

__all__ = [
    "Candidate",
    "Format",
    "Record",
    "TrlLines",
    "as_turns",
    "each",
    "fold_systems",
    "with_columns",
]

Record: TypeAlias = "dict[str, Any]"

_TURNS = """\
def turns(row):
    return {{
        "messages": [
            {{"role": "user", "content": {asked}}},
            {{"role": "assistant", "content": row["{replied}"]}},
        ]
    }}


rows = rows.map(turns, remove_columns=rows.column_names)
"""


class Candidate(NamedTuple):
    """A record, and the row whose score, flags and instruction decide whether it is kept.

    Attributes:
        chosen_by: What made one of two answers the chosen one; "" where there is but one.
    """

    row: Row
    record: Record
    chosen_by: str = ""


@dataclass(frozen=True, slots=True)
class TrlLines:
    """How TRL trains on a format, for the card's code.

    TRL 1.16 joins a plain ``prompt`` and what follows it without anything between, gives plain text
    no chat template, and leaves ShareGPT's role names as they are; so the lines make turns first.

    Attributes:
        trainer: Name of the class.
        more: Further arguments of its call.
        reshape: Python that gives ``rows`` the columns which it trains on; "" if they have them.
    """

    trainer: str = "SFTTrainer"
    more: str = ""
    reshape: str = ""


@dataclass(frozen=True, slots=True)
class Format:
    """A format that trainers read.

    Attributes:
        name: As on the command line.
        summary: One line for ``--help`` and the card.
        schema: The columns, in order. A record has these and no other.
        notes: Column to its description.
        write: Turns all rows of one chunk, in order, into records.
        llama_factory: The entry that ``dataset_info.json`` of LLaMA-Factory needs, but the file.
        axolotl: Entry under ``datasets:`` in Axolotl's settings, without the path.
        axolotl_top: Settings that Axolotl wants at its top level for this format.
        llama_stage: LLaMA-Factory's stage of training.
        trl: How TRL trains on it; None if neither TRL nor the trainers beside it do.
        library: In that case, a library that does, and Python for it with a ``{place}``.
        openai: OpenAI's fine-tuning takes its files.
        paired: Records need two rows each; a row without a partner makes none.
        tasks: The tasks of rows that it can hold; rows of another are dropped as ``task_NAME``.
        needs: Name of a recipe's field without which a row makes no record; dropped as
            ``no_NAME``.
        shows: Name of a row's text that only this format shows; it is chosen for rows that have it.
        made_for: The task whose rows it is chosen for.
        system: Where a row's system text is: in a place of its ``own``; nowhere, but there is a
            ``prompt`` that it can be put before; or ``none``.
        passage: Where a passage stands that a row is opened with: in the ``prompt``, ``apart`` from
            it (under the row's key ``passage``), or nowhere: ``none``.
        added: Columns of the row that were asked for beside the format's own; they may be null.
    """

    name: str
    summary: str
    schema: Schema
    notes: Mapping[str, str]
    write: Callable[[Sequence[Row]], Iterable[Candidate]]
    llama_factory: Mapping[str, Any]
    axolotl: Mapping[str, Any]
    axolotl_top: Mapping[str, Any] = field(default_factory=dict)
    llama_stage: str = "sft"
    trl: TrlLines | None = TrlLines()
    library: tuple[str, str] = ("", "")
    openai: bool = False
    paired: bool = False
    tasks: frozenset[str] = frozenset({"pair", "question"})
    needs: str | None = None
    shows: str | None = None
    made_for: str | None = None
    system: Literal["own", "prompt", "none"] = "prompt"
    passage: Literal["prompt", "apart", "none"] = "none"
    added: tuple[str, ...] = ()

    def loses_system(self, row: Row) -> bool:
        """Return whether a row has a system text that its record does not contain."""
        return bool(row.get("system")) and self.system != "own" and "system" not in self.added

    def reason_to_drop(self, row: Row) -> str | None:
        """Return why a row makes no record of this format, in a stable word; None if it does."""
        task = task_of(row)
        if task not in self.tasks:
            return f"task_{task}"
        if self.needs is not None and not (row.get("fields") or {}).get(self.needs):
            return f"no_{self.needs}"
        return None


def each(shape: Callable[[Row], Record]) -> Callable[[Sequence[Row]], Iterable[Candidate]]:
    """Make a ``write`` that turns each row by itself into one record."""

    def write(rows: Sequence[Row]) -> Iterable[Candidate]:
        return [Candidate(row, shape(row)) for row in rows]

    return write


def fold_systems(shape: Format) -> Format:
    """Return the format with each system text that it would lose put before its prompt."""

    def write(rows: Sequence[Row]) -> Iterable[Candidate]:
        own = {row["id"]: row for row in rows}
        folded = [
            row | {"instruction": f"{row['system']}\n\n{row['instruction']}"}
            if shape.loses_system(row)
            else row
            for row in rows
        ]
        for candidate in shape.write(folded):
            yield candidate._replace(row=own[candidate.row["id"]])

    return replace(shape, write=write)


def as_turns(asked: str, replied: str) -> str:
    """Return Python that makes ``messages`` of rows, from an expression and a column's name."""
    return _TURNS.format(asked=asked, replied=replied)


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
