"""Writes the text of a good answer: a pure function of seed and request.

Verdicts compare words: a sentence is supported if one or two sentences of the passage contain
nearly all of its words, its numbers and names, and as many negations. So they detect foreign text,
changed numbers and names and most negations, and quote the passage verbatim.
"""

from __future__ import annotations

import functools
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.simulator.content import (
    UNRELATED,
    draft_pairs,
    find_passage,
    split_sentences,
    wanted_pairs,
    write_prose,
)
from pairmill.simulator.rng import Rng
from pairmill.simulator.schema import PAIRS_SCHEMA, Filling, fill, find_example, find_schema
from pairmill.simulator.wire import Answer, ChatRequest, limit_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.simulator.settings import SimulatorSettings

__all__ = [
    "answer_request",
    "asks_for_verdicts",
    "limit_tokens",
    "write_answer",
    "write_draft",
    "write_verdicts",
]

_WORD = re.compile(r"\w+")
_NOT = frozenset({"not", "no", "never", "without", "cannot", "nor"})
_ENOUGH = 0.8  # of a sentence's words
_SMALL = 3  # letters; shorter words are everywhere
_QUOTED = 12  # words
_LONG = 30  # words; a longer sentence may well combine several of the passage's


def asks_for_verdicts(schema: bytes) -> bool:
    """Return whether a schema, as JSON, is one of verdicts on numbered sentences."""
    return b'"verdicts"' in schema and [*orjson.loads(schema).get("properties", ())] == ["verdicts"]


def write_verdicts(passage: str, around: str) -> str:
    """Return verdicts, as JSON, on the numbered sentences in the words around a passage."""
    told = split_sentences(passage) or [passage]
    near = [_words(span) for span in (*told, *(" ".join(both) for both in pairwise(told)))]
    whole = [*near, _words(passage)]
    verdicts = []
    for number, sentence in _sentences(around):
        said = _words(sentence)
        known = whole if len(said) > _LONG else near
        shares = [len(said & words) / len(said) if said else 0.0 for words in known]
        at = max(range(len(known)), key=shares.__getitem__)
        missing = said - known[at]
        is_same = not any(word[0].isdigit() for word in missing) and len(said & _NOT) == len(
            known[at] & _NOT & (said | _NOT)
        )
        is_named = all(
            word.lower() in known[at] for word in re.findall(r"(?<=[a-z,] )[A-Z]\w{3,}", sentence)
        )
        supported = shares[at] >= _ENOUGH and is_same and is_named
        quote = " ".join(told[at % len(told)].split()[:_QUOTED]) if supported else ""
        verdict = "supported" if supported else "not_in_text"
        verdicts.append({"number": number, "quote": quote, "verdict": verdict})
    return orjson.dumps({"verdicts": verdicts}).decode()


def _sentences(around: str) -> Iterator[tuple[int, str]]:
    for line in around.splitlines():
        if not line.startswith("{"):
            continue
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        for item in found.get("sentences", ()) if isinstance(found, dict) else ():
            if isinstance(item, dict) and isinstance(item.get("number"), int):
                yield item["number"], str(item.get("sentence"))


def _words(text: str) -> frozenset[str]:
    found = (word.lower() for word in _WORD.findall(text))
    return frozenset(
        word for word in found if len(word) > _SMALL or word[0].isdigit() or word in _NOT
    )


_CANNED_SEED = 20
_COUNTED = re.compile(r"\bN\s*=\s*\d")
_COPIED = frozenset({"evidence", "quote", "span"})  # checked against the passage word for word


def answer_request(request: ChatRequest, settings: SimulatorSettings) -> Answer:
    """Return a good answer; with finish reason ``length`` if max_tokens cuts it."""
    return limit_tokens(write_answer(request, settings), request.max_tokens)


def write_answer(request: ChatRequest, settings: SimulatorSettings, turn: int = 0) -> str:
    """Write the text of a good answer; ``turn`` varies answers to the same question."""
    passage, around = find_passage(request.user)
    schema = _form_of(request, around)
    count = wanted_pairs(around, _usual_pairs(request.system, settings.pairs_per_chunk))
    if schema is None and not _wants_json(request, around, has_block=passage != request.user):
        text = write_prose(UNRELATED if settings.ignore_chunk else passage, Rng(request.digest))
    elif schema is not None and asks_for_verdicts(schema):
        text = write_verdicts(passage, around)
    elif settings.content == "canned":
        text = _canned(schema, count)
    else:
        text = _compose(
            UNRELATED if settings.ignore_chunk else passage, schema, count, request.digest + turn
        )
    if settings.response_format == "ignored":
        text = f"Here is what you asked for:\n\n```json\n{text}\n```\n"
    return text


def _form_of(request: ChatRequest, around: str) -> bytes | None:
    """Return the schema for the answer: the request's own, or one stated or shown in its text."""
    if request.schema is not None:
        return orjson.dumps(request.schema)
    told = find_schema(request.system) or find_schema(around)
    if told is not None or _COUNTED.search(around):
        return told
    return find_example(around) or find_example(request.system)


def _wants_json(request: ChatRequest, around: str, *, has_block: bool) -> bool:
    if request.mode != "text" or not has_block:
        return True
    words = f"{request.system}\n{around}"
    return _COUNTED.search(words) is not None or "json" in words.lower()


def write_draft(request: ChatRequest, settings: SimulatorSettings) -> str:
    """Write a complete answer that a model discards, marked by "Draft:" in its first texts."""
    text = write_answer(request, settings, turn=1)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return f"Draft: {text}"
    return orjson.dumps(_mark(value)).decode()


def _mark(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _mark(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_mark(item, name) for item in value]
    is_long = isinstance(value, str) and " " in value
    return f"Draft: {value}" if is_long and name not in _COPIED else value


_usual_pairs = functools.lru_cache(maxsize=256)(wanted_pairs)  # a system message is constant


@functools.lru_cache(maxsize=256)
def _canned(schema: bytes | None, count: int) -> str:
    return _compose(UNRELATED, schema, count, _CANNED_SEED)


def _compose(passage: str, schema: bytes | None, count: int, seed: int) -> str:
    rng = Rng(seed)
    drafts = draft_pairs(passage, count, rng)
    return orjson.dumps(fill(schema or PAIRS_SCHEMA, Filling(drafts, rng, passage))).decode()
