"""Chat messages, as used by OpenAI's fine-tuning and TRL."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pairmill.output.formats.format import Format, Record, each
from pairmill.output.rows import turns_of

if TYPE_CHECKING:
    from pairmill.output.rows import Row

__all__ = ["MESSAGES", "REASONING"]


def _shape(row: Row) -> Record:
    turns = [{"role": role, "content": content} for role, content in turns_of(row)]
    if system := row.get("system"):
        turns.insert(0, {"role": "system", "content": system})
    return {"messages": turns}


def _shape_reasoning(row: Row) -> Record:
    turns = _shape(row)["messages"]
    thought = row.get("reasoning")
    if thought and turns[-1]["role"] == "assistant":
        turns[-1]["content"] = f"<think>\n{thought}\n</think>\n\n{turns[-1]['content']}"
    return {"messages": turns}


MESSAGES = Format(
    name="messages",
    summary="role and content turns: OpenAI fine-tuning, TRL, Axolotl, Unsloth",
    schema={"messages": ({"role": "string", "content": "string"},)},
    notes={"messages": "A system turn where there is one, then user and assistant turns"},
    write=each(_shape),
    tasks=frozenset({"pair", "question", "conversation"}),
    system="own",
    passage="prompt",
    openai=True,
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

REASONING = replace(
    MESSAGES,
    name="reasoning",
    summary="messages whose last reply opens with its thought in <think> tags, as DeepSeek-R1 and"
    " Qwen3 templates expect; a row without a thought is as in messages",
    notes={"messages": "System, user and assistant turns; <think>...</think> opens the last reply"},
    write=each(_shape_reasoning),
    shows="reasoning",
    openai=False,
)
