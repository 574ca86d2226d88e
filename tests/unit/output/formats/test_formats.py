from __future__ import annotations

from typing import Any

import pytest

from pairmill.errors import UsageError
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
    with pytest.raises(UsageError, match="known: messages, alpaca"):
        find_format("xyz")
