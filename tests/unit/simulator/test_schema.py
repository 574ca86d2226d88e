from __future__ import annotations

from typing import Any

import orjson
import pytest

from pairmill.simulator.content import UNRELATED, draft_pairs
from pairmill.simulator.dice import Dice
from pairmill.simulator.schema import PAIRS_SCHEMA, Filling, fill, find_schema


def filled(schema: dict[str, Any], count: int = 3, seed: int = 1) -> Any:
    dice = Dice(seed)
    return fill(orjson.dumps(schema), Filling(draft_pairs(UNRELATED, count, dice), dice))


def an_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def test_the_pairs_schema_gets_one_pair_for_each_draft() -> None:
    dice = Dice(1)
    drafts = draft_pairs(UNRELATED, 3, dice)
    value = fill(PAIRS_SCHEMA, Filling(drafts, dice))
    assert value["skip"] is None
    assert [pair["answer"] for pair in value["pairs"]] == [draft.answer for draft in drafts]
    assert value["pairs"][0].keys() == {"type", "evidence", "instruction", "answer"}


def test_without_prose_there_is_a_reason_and_no_pair() -> None:
    assert fill(PAIRS_SCHEMA, Filling([], Dice(0))) == {"skip": "no prose", "pairs": []}


def test_a_single_string_gets_a_question() -> None:
    value = filled(an_object(instruction={"type": "string"}))
    assert value["instruction"][-1] in "?."


def test_a_judge_gets_whole_scores_within_bounds() -> None:
    score = {"type": "integer", "minimum": 1, "maximum": 5}
    schema = an_object(critique={"type": "string"}, clarity=score, correctness=score)
    values = [filled(schema, seed=seed) for seed in range(40)]
    assert {value["clarity"] for value in values} <= {1, 2, 3, 4, 5}
    assert len({value["clarity"] for value in values}) > 2
    assert all(value["critique"] for value in values)


@pytest.mark.parametrize(
    ("schema", "good"),
    [
        ({"enum": ["yes", "no"]}, lambda value: value in {"yes", "no"}),
        ({"const": 7}, lambda value: value == 7),
        ({"type": "boolean"}, lambda value: value in {True, False}),
        ({"type": "null"}, lambda value: value is None),
        ({"type": ["integer", "null"]}, lambda value: isinstance(value, int)),
        ({"type": "number", "minimum": 0, "maximum": 1}, lambda value: 0 <= value <= 1),
        ({"type": "integer", "exclusiveMinimum": 8}, lambda value: value >= 9),
        ({"type": "string", "maxLength": 5}, lambda value: len(value) == 5),
        ({"type": "string", "minLength": 900}, lambda value: len(value) >= 900),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, lambda value: isinstance(value, str)),
    ],
)
def test_each_kind_of_value_fits(schema: dict[str, Any], good: Any) -> None:
    assert good(filled(an_object(field=schema))["field"])


def test_references_and_array_bounds_are_followed() -> None:
    schema = {
        "$defs": {"Pair": an_object(answer={"type": "string"})},
        **an_object(
            items={"type": "array", "minItems": 5, "maxItems": 5, "items": {"$ref": "#/$defs/Pair"}}
        ),
    }
    value = filled(schema, count=2)
    assert len(value["items"]) == 5
    assert all(item["answer"] for item in value["items"])
    assert len(filled(an_object(tags={"type": "array", "maxItems": 1, "items": {}}))["tags"]) == 1


def test_a_schema_that_holds_itself_ends() -> None:
    schema = {
        "$defs": {"Node": an_object(child={"$ref": "#/$defs/Node"})},
        "$ref": "#/$defs/Node",
    }
    assert "child" in filled(schema)


def test_a_schema_is_found_in_the_words_of_a_prompt() -> None:
    schema = an_object(score={"type": "integer"})
    text = "Use {braces} freely. Answer with JSON that fits " + orjson.dumps(schema).decode() + "."
    found = find_schema(text)
    assert found is not None
    assert orjson.loads(found) == schema
    assert find_schema('a word about "properties" { and no schema') is None
