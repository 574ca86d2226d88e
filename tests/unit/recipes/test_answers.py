from __future__ import annotations

import json
from typing import Any

import pytest

from pairmill.recipes.answers import ParseStep, json_schema, read
from pairmill.recipes.backtranslate import WrittenAnswer


def _pair(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "type": "why",
        "evidence": f"evidence {number}",
        "instruction": f"Why does number {number} matter?",
        "answer": f"Because of number {number}.",
        **changes,
    }


def _reply(*pairs: dict[str, Any], skip: str | None = None) -> str:
    return json.dumps({"skip": skip, "pairs": list(pairs)})


GOOD = _reply(_pair(1), _pair(2), _pair(3))


def test_what_fits_the_schema_is_read_strictly() -> None:
    reading = read(GOOD, WrittenAnswer)
    assert reading.how is ParseStep.STRICT
    assert reading.faults == ()
    assert reading.value is not None
    assert [pair.answer for pair in reading.value.pairs] == [
        "Because of number 1.",
        "Because of number 2.",
        "Because of number 3.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{GOOD}\n```",
        f"Sure! Here are the pairs:\n{GOOD}\nI hope this helps [1].",
        f"As asked in [2], here they are: {GOOD}",
        GOOD.replace("]}", ",]}"),
        GOOD.replace('"', "'"),
        "\ufeff" + GOOD,
        json.dumps([_pair(1), _pair(2), _pair(3)]),
        GOOD.replace("instruction", "question").replace("answer", "response"),
        GOOD + GOOD,
        f'<think>\nA pair like {{"pairs": []}} would do.\n</think>\n{GOOD}',
        json.dumps(GOOD),
        GOOD.removesuffix("}"),
        GOOD.removesuffix("]}") + "\n```",
        f"{GOOD}\n<think>Is that well done? {_reply(_pair(9))}</think>\n",
        f'[TOOL_CALLS][{{"name": "answer", "arguments": {GOOD}}}]',
    ],
    ids=[
        "fences",
        "prose around",
        "brackets in the prose",
        "trailing comma",
        "single quotes",
        "byte order mark",
        "bare list",
        "other names",
        "said twice",
        "thought aloud",
        "encoded twice",
        "last brace missing",
        "last brackets missing",
        "thought behind it",
        "a list of one call",
    ],
)
def test_what_is_nearly_json_is_healed_without_a_call(text: str) -> None:
    reading = read(text, WrittenAnswer)
    assert reading.how in {ParseStep.HEALED, ParseStep.STRICT}
    assert reading.faults == ()
    assert reading.value is not None
    assert len(reading.value.pairs) == 3


def test_the_item_that_a_cut_tore_is_left_out() -> None:
    text = GOOD[: GOOD.index("Because of number 3") + 9]
    reading = read(text, WrittenAnswer)
    assert reading.how is ParseStep.SALVAGED
    assert reading.value is not None
    assert [pair.answer[-2] for pair in reading.value.pairs] == ["1", "2"]
    assert [fault.reason for fault in reading.faults] == ["cut_off"]
    assert reading.faults[0].raw.endswith("Because o")


def test_a_cut_that_the_server_reports_is_believed() -> None:
    text = f"```json\n{GOOD}"
    assert [f.reason for f in read(text, WrittenAnswer, cut=True).faults] == ["cut_off"]


def test_good_pairs_survive_a_bad_neighbour() -> None:
    text = _reply(_pair(1), _pair(2, answer=7), _pair(3))
    reading = read(text, WrittenAnswer)
    assert reading.how is ParseStep.SALVAGED
    assert reading.value is not None
    assert [pair.instruction[-9] for pair in reading.value.pairs] == ["1", "3"]
    (fault,) = reading.faults
    assert fault.detail.startswith("pairs[1]: pairs.0.answer: ")
    assert json.loads(fault.raw)["answer"] == 7


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ("<html><body>502 Bad Gateway</body></html>", "no_json"),
        ("I\u2019m sorry, but I can't help with that.", "refusal"),
        ("As an AI language model I may not.", "refusal"),
        ('{"pairs": "none"}', "invalid"),
        ('{"question": 1}', "invalid"),
        ("[1, 2, 3]", "invalid"),
        ('{"pairs":' * 3000, "cut_off"),
        ("[" * 100_000, "cut_off"),
        ("{" + "x" * 300_000, "too_long"),
        ('{"pairs": [{"instruction": "", "answer": "x"}]}', "invalid"),
    ],
)
def test_what_is_no_answer_has_a_reason(text: str, reason: str) -> None:
    reading = read(text, WrittenAnswer)
    assert reading.value is None
    assert reading.how is ParseStep.FAILED
    assert reading.faults[0].reason == reason


def test_a_number_of_ten_thousand_digits_is_a_fault_and_no_crash() -> None:
    reading = read('{"pairs": [], "more": ' + "9" * 10_000 + "}", WrittenAnswer)
    assert [fault.reason for fault in reading.faults] == ["no_json"]


@pytest.mark.parametrize("number", ["NaN", "1e999", "-Infinity"])
def test_numbers_that_json_does_not_have_break_nothing(number: str) -> None:
    reading = read('{"skip": null, "pairs": [], "more": ' + number + "}", WrittenAnswer)
    assert reading.value is not None


def test_a_wish_to_skip_is_read_in_other_words_too() -> None:
    for skip, expected in [
        ("boilerplate", "boilerplate"),
        ("nothing here", "too_little_content"),
        ("null", None),
    ]:
        value = read(_reply(skip=skip), WrittenAnswer).value
        assert value is not None
        assert value.skip == expected


def test_the_schema_is_of_the_strict_kind() -> None:
    schema = json_schema(WrittenAnswer)
    assert schema.schema["additionalProperties"] is False
    assert schema.schema["required"] == ["skip", "pairs"]
    item = schema.schema["properties"]["pairs"]["items"]
    assert list(item["properties"]) == ["type", "evidence", "instruction", "answer"]
    text = json.dumps(schema.schema)
    assert not any(word in text for word in ("$ref", "$defs", "maxLength", "title"))
    assert schema.id == json_schema(WrittenAnswer).id
