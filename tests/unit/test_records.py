from __future__ import annotations

import hashlib

import pytest
from msgspec.structs import replace

from pairmill.records import Message, Prompt, Request, Sampling, Template, digest


def test_digest_separates_parts_that_join_to_the_same_text() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert len(digest("x")) == 32


def test_digest_takes_lone_surrogates() -> None:
    assert digest("\ud800") != digest("\ud801")


def _request(text: str = "chunk", **sampling: float) -> Request:
    template = Template("t", "1", (Message("system", "rules"),))
    settings = {"temperature": 0.5, "max_tokens": 10, "seed": 1, **sampling}
    prompt = Prompt(template, text, Sampling(**settings))  # type: ignore[arg-type]
    return Request(prompt, "model")


def test_a_request_is_named_by_all_that_it_asks() -> None:
    assert _request().id == _request().id
    assert len({_request().id, _request("other").id, _request(seed=2).id}) == 3


@pytest.mark.parametrize("length", [0, 2000, 2040, 2047, 2048, 4100, 65_500, 65_600, 200_000])
def test_a_digest_does_not_depend_on_how_it_is_computed(length: int) -> None:
    parts = ("x" * length, "é", "\ud800")
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "backslashreplace")
        state.update(b"%d:" % len(data) + data)
    assert digest(*parts) == state.hexdigest()


def test_a_request_that_is_changed_has_another_name() -> None:
    asked = _request()
    assert replace(asked, model="other").id == Request(asked.prompt, "other").id
    assert replace(asked, model="other").id != asked.id
