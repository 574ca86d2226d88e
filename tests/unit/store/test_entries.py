from __future__ import annotations

import pytest

from pairmill.records import Completion, Usage
from pairmill.store.entries import ShardRecord, decode_completion, encode_completion


@pytest.mark.parametrize("text", ["", "plain", "a\ud800b", "\x00\u2028\n", "\U0001f600"])
def test_a_completion_comes_back_exactly(text: str) -> None:
    completion = Completion(text, "stop", "m\udfff", Usage(1, 2, 3), 1_700_000_000.123456)
    assert decode_completion(encode_completion(completion)) == completion


def test_what_is_no_completion_is_refused() -> None:
    for body in (b"", b"[1]", b"nonsense"):
        with pytest.raises(ValueError):
            decode_completion(body)


def test_a_shard_is_named_by_kind_and_number() -> None:
    assert (
        ShardRecord("train", 7, closed=True, bytes=0, rows=0, sha256="").name == "train-00007.jsonl"
    )
