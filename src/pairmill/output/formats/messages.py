"""Chat messages, as OpenAI's fine-tuning and TRL take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.output.formats.format import Format, Record, each

if TYPE_CHECKING:
    from pairmill.output.rows import Row

__all__ = ["MESSAGES"]


def _shape(row: Row) -> Record:
    return {
        "messages": [
            {"role": "user", "content": row["instruction"]},
            {"role": "assistant", "content": row["answer"]},
        ]
    }


MESSAGES = Format(
    name="messages",
    summary="role and content turns: OpenAI fine-tuning, TRL, Axolotl, Unsloth",
    schema={"messages": ({"role": "string", "content": "string"},)},
    notes={"messages": "A user turn and an assistant turn"},
    write=each(_shape),
    llama_factory={
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    },
    axolotl={
        "type": "chat_template",
        "field_messages": "messages",
        "message_property_mappings": {"role": "role", "content": "content"},
    },
)
