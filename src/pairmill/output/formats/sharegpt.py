"""Conversations of from and value turns, as in ShareGPT's dumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.output.formats.format import Format, Record, TrlLines, each
from pairmill.output.rows import turns_of

if TYPE_CHECKING:
    from pairmill.output.rows import Row

__all__ = ["SHAREGPT"]

_NAMES = {"user": "human", "assistant": "gpt"}
_RESHAPE = """\
def turns(row):
    roles = {"human": "user", "gpt": "assistant"}
    return {
        "messages": [
            {"role": roles.get(turn["from"], turn["from"]), "content": turn["value"]}
            for turn in row["conversations"]
        ]
    }


rows = rows.map(turns, remove_columns=rows.column_names)
"""


def _shape(row: Row) -> Record:
    turns = [{"from": _NAMES.get(role, role), "value": content} for role, content in turns_of(row)]
    if system := row.get("system"):
        turns.insert(0, {"from": "system", "value": system})
    return {"conversations": turns}


SHAREGPT = Format(
    name="sharegpt",
    summary="from and value turns: LLaMA-Factory, Unsloth, older tools",
    schema={"conversations": ({"from": "string", "value": "string"},)},
    notes={"conversations": "A system turn where there is one, then human and gpt turns"},
    write=each(_shape),
    system="own",
    passage="prompt",
    trl=TrlLines(reshape=_RESHAPE),
    tasks=frozenset({"pair", "question", "conversation"}),
    llama_factory={
        "formatting": "sharegpt",
        "columns": {"messages": "conversations"},
        "tags": {
            "role_tag": "from",
            "content_tag": "value",
            "user_tag": "human",
            "assistant_tag": "gpt",
            "system_tag": "system",
        },
    },
    axolotl={
        "type": "chat_template",
        "field_messages": "conversations",
        "message_property_mappings": {"role": "from", "content": "value"},
    },
)
