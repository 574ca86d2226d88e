"""Conversations of from and value turns, as ShareGPT's dumps have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.output.formats.format import Format, Record, each

if TYPE_CHECKING:
    from pairmill.output.rows import Row

__all__ = ["SHAREGPT"]


def _shape(row: Row) -> Record:
    return {
        "conversations": [
            {"from": "human", "value": row["instruction"]},
            {"from": "gpt", "value": row["answer"]},
        ]
    }


SHAREGPT = Format(
    name="sharegpt",
    summary="from and value turns: LLaMA-Factory, Unsloth, older tools",
    schema={"conversations": ({"from": "string", "value": "string"},)},
    notes={"conversations": "A human turn and a gpt turn"},
    write=each(_shape),
    llama_factory={"formatting": "sharegpt", "columns": {"messages": "conversations"}},
    axolotl={
        "type": "chat_template",
        "field_messages": "conversations",
        "message_property_mappings": {"role": "from", "content": "value"},
    },
)
