"""Instruction, input and output, as Stanford Alpaca introduced them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.output.formats.format import Format, Record, each

if TYPE_CHECKING:
    from pairmill.output.rows import Row

__all__ = ["ALPACA"]


def _shape(row: Row) -> Record:
    return {
        "instruction": row["instruction"],
        "input": row.get("passage") or "",
        "output": row["answer"],
    }


ALPACA = Format(
    name="alpaca",
    summary="instruction, input (always empty) and output: LLaMA-Factory, Axolotl",
    schema={"instruction": "string", "input": "string", "output": "string"},
    notes={
        "instruction": "What a person asks",
        "input": "Always empty: an instruction makes sense alone",
        "output": "What the assistant should reply",
    },
    write=each(_shape),
    llama_factory={
        "formatting": "alpaca",
        "columns": {"prompt": "instruction", "query": "input", "response": "output"},
    },
    axolotl={"type": "alpaca"},
)
