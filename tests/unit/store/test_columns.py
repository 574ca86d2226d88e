from __future__ import annotations

from pairmill.records import Chunk, Pair, Rejection, Usage
from pairmill.store.columns import (
    COLUMNS,
    REJECTED_FIELDS,
    ROW_FEATURES,
    ROW_NOTES,
    RowOrigin,
    with_fields,
)
from pairmill.store.row_encoding import encode_rejection, encode_row

CHUNK = Chunk("c" * 32, "text", "doc", 0, 4, "a.json:1", title="T")
ORIGIN = RowOrigin("a" * 32, "backtranslate", "1", "m-1", 2, Usage(100, 11), 1_700_000_000.9)


def test_each_column_has_one_name_one_meaning_and_one_source_of_its_value() -> None:
    assert len({column.name for column in COLUMNS}) == len(COLUMNS) == len(ROW_FEATURES)
    for column in COLUMNS:
        assert (column.of_unit is None) != (column.of_pair is None), column.name
        assert ROW_NOTES[column.name], column.name


def test_rows_and_rejects_have_these_keys_in_this_order() -> None:
    """The order is part of the format: shards of earlier versions have it too."""
    row = encode_row(Pair("Why?", "So.", 0), CHUNK, ORIGIN, 1, 2)
    assert row == (
        b'{"id":"88b37f10e55d9623eaf8c8a32e99850a","task":"pair","instruction":"Why?","answer":"So.",'
        b'"messages":null,"system":null,"reasoning":null,"fields":null,"document_id":"doc",'
        b'"chunk_id":"cccccccccccccccccccccccccccccccc","source":"a.json:1","title":"T","url":null,'
        b'"license":null,"recipe":"backtranslate","prompt_version":"1","model":"m-1","kind":null,'
        b'"evidence":null,"flags":[],"scores":null,"grounding":null,"support":null,'
        b'"verification":null,"parent_id":null,"alternative":null,"attempts":2,"prompt_tokens":1,'
        b'"completion_tokens":2,"created":"2023-11-14T22:13:20Z"}\n'
    )
    reject = encode_rejection(Rejection("refusal", raw="No."), CHUNK, ORIGIN, 3, 4)
    assert reject == (
        b'{"id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","chunk_id":"cccccccccccccccccccccccccccccccc",'
        b'"document_id":"doc","source":"a.json:1","title":"T","url":null,"license":null,'
        b'"recipe":"backtranslate","prompt_version":"1","model":"m-1","reason":"refusal",'
        b'"class":null,"detail":null,"raw":"No.","grounding":null,"support":null,"attempts":2,'
        b'"prompt_tokens":3,"completion_tokens":4,"whole_unit":true,'
        b'"created":"2023-11-14T22:13:20Z"}\n'
    )


def test_a_rescued_pair_finds_its_document_and_its_recipe_in_the_reject() -> None:
    needed = {"chunk_id", "document_id", "source", "title", "url", "license", "recipe", "model"}
    assert needed <= set(ROW_FEATURES) & set(REJECTED_FIELDS)


def test_fields_of_a_recipe_give_the_column_its_type() -> None:
    assert with_fields({}) is ROW_FEATURES
    typed = with_fields({"level": "int64"})
    assert list(typed) == list(ROW_FEATURES)
    assert typed["fields"] == {"level": "int64"}
