from __future__ import annotations

from typing import Any

import pytest

from pairmill.errors import UsageError
from pairmill.output.formats.format import with_columns
from pairmill.output.formats.registry import FORMATS, find_format

ROW: dict[str, Any] = {"id": "1", "instruction": "Why?", "answer": "Because.", "scores": None}

EXPECTED: dict[str, dict[str, Any]] = {
    "messages": {
        "messages": [
            {"role": "user", "content": "Why?"},
            {"role": "assistant", "content": "Because."},
        ]
    },
    "alpaca": {"instruction": "Why?", "input": "", "output": "Because."},
    "sharegpt": {
        "conversations": [
            {"from": "human", "value": "Why?"},
            {"from": "gpt", "value": "Because."},
        ]
    },
    "prompt_completion": {"prompt": "Why?", "completion": "Because."},
    "text": {"text": "Why?\n\nBecause."},
    "question": {"question": "Why?", "answer": "Because.", "choices": []},
}

TALK: dict[str, Any] = {
    "task": "conversation",
    "instruction": "Why?",
    "answer": "Because.",
    "system": "Be brief.",
    "reasoning": "It rains.",
    "messages": [
        {"role": role, "content": content}
        for role, content in (
            ("user", "Why?"),
            ("assistant", "Because."),
            ("user", "And then?"),
            ("assistant", "Nothing."),
        )
    ],
}


def judged(score: float | None, answer: str, instruction: str = "Why?") -> dict[str, Any]:
    scores = {"truthfulness": score, "honesty": None} if score is not None else None
    return {"id": answer, "instruction": instruction, "answer": answer, "scores": scores}


def preferred(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return [item.record for item in FORMATS["preference"].write(rows)]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_row_becomes_a_record_with_the_formats_own_columns(name: str) -> None:
    shape = find_format(name)
    [found] = shape.write([ROW])
    assert found.row is ROW
    assert found.record == EXPECTED[name]


def test_a_conversation_is_exported_with_its_system_message_and_every_turn() -> None:
    [found] = find_format("messages").write([TALK])
    system = {"role": "system", "content": "Be brief."}
    assert found.record["messages"] == [system, *TALK["messages"]]
    [found] = find_format("sharegpt").write([TALK])
    names = [turn["from"] for turn in found.record["conversations"]]
    assert names == ["system", "human", "gpt", "human", "gpt"]
    [found] = find_format("text").write([TALK])
    assert found.record["text"] == "Why?\n\nBecause.\n\nAnd then?\n\nNothing."


def test_a_thought_opens_the_last_reply_of_the_reasoning_format_alone() -> None:
    [found] = find_format("reasoning").write([TALK])
    replies = [turn["content"] for turn in found.record["messages"][2::2]]
    assert replies == ["Because.", "<think>\nIt rains.\n</think>\n\nNothing."]
    [found] = find_format("messages").write([TALK])
    assert "think" not in str(found.record)


def test_plain_text_a_question_and_a_triplet_have_formats_of_their_own() -> None:
    text = {"task": "text", "instruction": None, "answer": "Rain falls."}
    [found] = find_format("text").write([text])
    assert found.record == {"text": "Rain falls."}
    asked = {**ROW, "task": "question", "fields": {"choices": ["Because.", "Never."]}}
    [found] = find_format("question").write([asked])
    assert found.record["choices"] == ["Because.", "Never."]
    searched = {**ROW, "fields": {"negatives": ["Snow lies."]}}
    [found] = find_format("triplets").write([searched])
    assert found.record == {"query": "Why?", "positive": "Because.", "negatives": ["Snow lies."]}


def test_a_row_that_a_format_cannot_hold_is_dropped_by_name() -> None:
    assert find_format("alpaca").reason_to_drop(TALK) == "task_conversation"
    assert find_format("messages").reason_to_drop({"task": "text"}) == "task_text"
    assert find_format("question").reason_to_drop(ROW) == "task_pair"
    assert find_format("triplets").reason_to_drop(ROW) == "no_negatives"
    assert find_format("messages").reason_to_drop(ROW) is None


def test_columns_of_the_row_and_fields_of_the_recipe_stand_behind_the_formats_own() -> None:
    shape = with_columns(FORMATS["alpaca"], ("id", "difficulty"), {"difficulty": "string"})
    [found] = shape.write([{**ROW, "fields": {"difficulty": "hard"}}])
    assert list(found.record.items())[3:] == [("id", "1"), ("difficulty", "hard")]
    assert list(shape.notes) == list(shape.schema)
    with pytest.raises(UsageError, match="did you mean 'difficulty'"):
        with_columns(FORMATS["alpaca"], ("dificulty",), {"difficulty": "string"})
    with pytest.raises(UsageError, match="has a column 'instruction' already"):
        with_columns(FORMATS["alpaca"], ("instruction",), {})


def test_every_format_explains_each_of_its_columns() -> None:
    for shape in FORMATS.values():
        assert list(shape.notes) == list(shape.schema)


def test_preference_takes_the_best_and_the_worst_of_one_instruction() -> None:
    rows = [
        judged(3, "middling"),
        judged(5, "good one"),
        judged(1, "bad one"),
        judged(5, "x", "Other?"),
    ]
    assert preferred(*rows) == [{"prompt": "Why?", "chosen": "good one", "rejected": "bad one"}]


@pytest.mark.parametrize(
    "rows",
    [
        [judged(5, "alone")],
        [judged(5, "good"), judged(None, "nobody judged this")],
        [judged(5, "good"), judged(3.6, "nearly")],
        [judged(5, "a very much longer answer"), judged(1, "short")],
        [judged(5, "good"), judged(1, "bad", "Another question?")],
    ],
    ids=["one answer", "unscored", "too close", "unlike length", "other instruction"],
)
def test_preference_makes_nothing_of(rows: list[dict[str, Any]]) -> None:
    assert preferred(*rows) == []


def test_a_slip_of_the_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'alpaca'"):
        find_format("alpacca")
    with pytest.raises(UsageError, match="known: messages, reasoning, alpaca"):
        find_format("xyz")
