"""Question, answer and choices: for evaluation, or for training with a verifiable reward."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.output.formats.format import Format, Record, TrlLines, each

if TYPE_CHECKING:
    from pairmill.output.rows import Row

__all__ = ["QUESTION"]

_RESHAPE = """\
def turns(row):
    return {"prompt": [{"role": "user", "content": row["question"]}], "answer": row["answer"]}


def holds_answer(completions, answer, **_):
    replies = [turns[0]["content"].lower() for turns in completions]
    return [float(right.lower() in reply) for right, reply in zip(answer, replies)]


rows = rows.map(turns, remove_columns=rows.column_names)
"""


def _shape(row: Row) -> Record:
    choices = (row.get("fields") or {}).get("choices")
    listed = [str(choice) for choice in choices] if isinstance(choices, list) else []
    return {"question": row["instruction"], "answer": row["answer"], "choices": listed}


QUESTION = Format(
    name="question",
    summary="question, answer and choices: evaluation, and RL with an answer that can be checked",
    schema={"question": "string", "answer": "string", "choices": ("string",)},
    notes={
        "question": "What is asked",
        "answer": "The right answer; one of the choices where there are any",
        "choices": "The options in the order in which they are shown; empty for a free answer",
    },
    write=each(_shape),
    llama_factory={
        "formatting": "alpaca",
        "columns": {"prompt": "question", "response": "answer"},
    },
    axolotl={
        "type": {
            "field_instruction": "question",
            "field_output": "answer",
            "format": "{instruction}\n",
            "no_input_format": "{instruction}\n",
        }
    },
    trl=TrlLines("GRPOTrainer", ", reward_funcs=holds_answer", _RESHAPE),
    tasks=frozenset({"question"}),
    made_for="question",
)
