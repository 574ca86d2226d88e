from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.simulator.content import UNRELATED, draft_pairs
from pairmill.simulator.rng import Rng
from pairmill.simulator.schema import PAIRS_SCHEMA, Filling, fill, find_example, find_schema


def filled(schema: dict[str, Any], count: int = 3, seed: int = 1) -> Any:
    rng = Rng(seed)
    drafts = draft_pairs(UNRELATED, count, rng)
    return fill(orjson.dumps(schema), Filling(drafts, rng, UNRELATED))


def an_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def test_the_pairs_schema_gets_one_pair_for_each_draft() -> None:
    rng = Rng(1)
    drafts = draft_pairs(UNRELATED, 3, rng)
    value = fill(PAIRS_SCHEMA, Filling(drafts, rng))
    assert value["skip"] is None
    assert [pair["answer"] for pair in value["pairs"]] == [draft.answer for draft in drafts]
    assert value["pairs"][0].keys() == {"type", "evidence", "instruction", "answer"}


def test_without_prose_there_is_a_reason_and_no_pair() -> None:
    assert fill(PAIRS_SCHEMA, Filling([], Rng(0))) == {"skip": "no prose", "pairs": []}


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


def test_a_name_or_its_description_says_what_stands_in_a_text() -> None:
    text = {"type": "string"}
    value = filled(
        an_object(
            followUpQuestion=text,
            source_quote=text,
            where={"type": "string", "description": "A sentence copied verbatim from the passage"},
            detail={"type": "string", "description": "The answer to the question above"},
            topic=text,
            language=text,
            claims={"type": "array", "items": text},
        )
    )
    assert value["followUpQuestion"].endswith("?")
    assert value["source_quote"] in UNRELATED
    assert value["where"] in UNRELATED
    assert value["where"][-1] in ".!?"
    assert len(value["detail"]) > 60
    assert len(value["topic"].split()) <= 3
    assert value["language"] == "en"
    assert all(claim.count(". ") == 0 and claim.endswith(".") for claim in value["claims"])


def test_turns_of_a_conversation_alternate_and_the_asker_begins() -> None:
    turn = an_object(
        role={"type": "string", "enum": ["user", "assistant"]}, content={"type": "string"}
    )
    schema = an_object(turns={"type": "array", "items": turn, "minItems": 4, "maxItems": 7})
    turns = filled(schema)["turns"]
    assert [one["role"] for one in turns] == ["user", "assistant"] * 3
    assert all(one["content"].endswith("?") for one in turns[::2])
    assert len({one["content"] for one in turns}) == 6


def test_the_answer_to_a_quiz_is_one_of_its_options() -> None:
    options = {"type": "array", "items": {"type": "string"}, "minItems": 4, "maxItems": 4}
    quiz = an_object(question={"type": "string"}, options=options, answer={"type": "string"})
    for seed in range(5):
        value = filled(quiz, seed=seed)
        assert len(set(value["options"])) == 4
        assert value["answer"] in value["options"]
    letter = {"enum": ["A", "B", "C", "D"]}
    assert filled(an_object(options=options, answer=letter))["answer"] in letter["enum"]


def test_lists_inside_lists_stay_short_and_maps_get_keys() -> None:
    tags = {"type": "array", "items": {"type": "string"}}
    value = filled(an_object(items={"type": "array", "items": an_object(tags=tags)}), count=8)
    assert len(value["items"]) == 8
    assert all(len(item["tags"]) == 3 for item in value["items"])
    scores = {"type": "object", "additionalProperties": {"type": "integer"}}
    assert all(isinstance(score, int) for score in filled(an_object(by=scores))["by"].values())
    assert len(filled(an_object(by=scores))["by"]) >= 2


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"^[A-D]$", True),
        (r"^\d{4}-\d{2}$", True),
        (r"^(yes|no), [a-z]+!$", True),
        (r"^(?=x)y", False),  # beyond it: the field's usual text stands there
    ],
)
def test_a_pattern_is_matched_where_that_can_be_done(pattern: str, said: bool) -> None:
    text = filled(an_object(code={"type": "string", "pattern": pattern}))["code"]
    assert bool(re.search(pattern, text)) is said
    assert text


@pytest.mark.parametrize(
    ("shown", "keys"),
    [
        ('Answer like {"question": "...", "level": 3} and no more.', {"question", "level"}),
        ('As a list: [{"q": "the question", "answer": "..."}]', {"q", "answer"}),
    ],
)
def test_a_form_that_is_only_shown_is_taken_for_a_schema(shown: str, keys: set[str]) -> None:
    found = find_example(shown)
    assert found is not None
    rng = Rng(1)
    value = fill(found, Filling(draft_pairs(UNRELATED, 2, rng), rng))
    first = value[0] if isinstance(value, list) else value
    assert first.keys() == keys
    assert find_example("no {braces} with a form") is None


NAMES = st.sampled_from(
    ["question", "answer", "quote", "score", "topics", "x", "isLeak", "options"]
)


def bounded(low: str, high: str, kind: str, most: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(st.integers(0, most), st.integers(0, most)).map(
        lambda pair: {"type": kind, low: min(pair), high: max(pair)}
    )


LEAVES = st.one_of(
    bounded("minLength", "maxLength", "string", 300),
    bounded("minimum", "maximum", "integer", 20),
    bounded("minimum", "maximum", "number", 20),
    st.just({"type": "boolean"}),
    st.just({"type": ["string", "null"]}),
    st.just({"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    st.lists(st.text(max_size=4), min_size=1, max_size=4).map(lambda values: {"enum": values}),
)


def containers(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    lists = st.tuples(bounded("minItems", "maxItems", "array", 6), inner).map(
        lambda pair: {**pair[0], "items": pair[1]}
    )
    return lists | st.dictionaries(NAMES, inner, max_size=4).map(lambda it: an_object(**it))


def fits(value: Any, schema: dict[str, Any]) -> bool:  # noqa: PLR0911
    if "anyOf" in schema:
        return any(fits(value, choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if value is None:
        return "null" in kinds
    if "object" in kinds:
        inner = schema["properties"]
        return value.keys() == inner.keys() and all(fits(value[key], inner[key]) for key in inner)
    if "array" in kinds:
        is_right = bool(schema["minItems"] <= len(value) <= schema["maxItems"])
        return is_right and all(fits(item, schema["items"]) for item in value)
    if "string" in kinds:
        return bool(schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)))
    if "boolean" in kinds:
        return isinstance(value, bool)
    is_right = isinstance(value, int) or "number" in kinds
    return is_right and bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))


@given(st.dictionaries(NAMES, st.recursive(LEAVES, containers, max_leaves=8), min_size=1))
@settings(max_examples=60, deadline=None)
def test_what_is_made_up_always_fits_its_schema(properties: dict[str, Any]) -> None:
    schema = an_object(**properties)
    assert fits(filled(schema), schema)
