"""Instruction, input and output, as Stanford Alpaca introduced them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.output.formats.format import Format, Record, TrlLines, as_turns, each

if TYPE_CHECKING:
    from pairmill.output.rows import Row

__all__ = ["ALPACA"]

_ASKED = "f\"{row['instruction']}\\n\\n{row['input']}\".strip()"


def _shape(row: Row) -> Record:
    return {
        "instruction": row["instruction"],
        "input": row.get("passage") or "",
        "output": row["answer"],
    }


ALPACA = Format(
    name="alpaca",
    summary="instruction, input (for open-book passages) and output: LLaMA-Factory, Axolotl",
    schema={"instruction": "string", "input": "string", "output": "string"},
    notes={
        "instruction": "What a person asks",
        "input": "Passages of an open-book row; else empty: an instruction makes sense alone",
        "output": "What the assistant should reply",
    },
    write=each(_shape),
    llama_factory={
        "formatting": "alpaca",
        "columns": {"prompt": "instruction", "query": "input", "response": "output"},
    },
    axolotl={"type": "alpaca"},
    trl=TrlLines(reshape=as_turns(_ASKED, "output")),
    passage="apart",
)
