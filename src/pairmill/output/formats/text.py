"""One text per record, for continued pretraining."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.output.formats.format import Format, Record, each
from pairmill.output.rows import turns_of

if TYPE_CHECKING:
    from pairmill.output.rows import Row

__all__ = ["TEXT"]


def _shape(row: Row) -> Record:
    turns = [content for _, content in turns_of(row)]
    return {"text": "\n\n".join(turns) if turns else row["answer"]}


TEXT = Format(
    name="text",
    summary="plain text for continued pretraining; of other rows request and reply, one after"
    " the other",
    schema={"text": "string"},
    notes={"text": "What the model is to read"},
    write=each(_shape),
    system="none",
    llama_factory={"columns": {"prompt": "text"}},
    llama_stage="pt",
    axolotl={"type": "completion", "field": "text"},
    tasks=frozenset({"pair", "question", "conversation", "text"}),
    made_for="text",
)
