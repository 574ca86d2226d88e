"""Prompt and completion; TRL computes the loss only on the completion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.output.formats.format import Format, Record, TrlLines, as_turns, each

if TYPE_CHECKING:
    from pairmill.output.rows import Row

__all__ = ["PROMPT_COMPLETION"]


def _shape(row: Row) -> Record:
    return {"prompt": row["instruction"], "completion": row["answer"]}


PROMPT_COMPLETION = Format(
    name="prompt_completion",
    summary="prompt and completion: TRL with the loss on the completion alone",
    schema={"prompt": "string", "completion": "string"},
    notes={
        "prompt": "What a person asks",
        "completion": "What the assistant should reply",
    },
    write=each(_shape),
    llama_factory={
        "formatting": "alpaca",
        "columns": {"prompt": "prompt", "response": "completion"},
    },
    axolotl={
        "type": {
            "field_instruction": "prompt",
            "field_output": "completion",
            "format": "{instruction}\n",
            "no_input_format": "{instruction}\n",
        }
    },
    trl=TrlLines(reshape=as_turns('row["prompt"]', "completion")),
    passage="prompt",
)
