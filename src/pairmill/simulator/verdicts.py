"""Verdicts of a simulated model on numbered sentences: a simple but real verifier.

It compares words: a sentence is supported if one or two sentences of the passage contain nearly all
of its words, its numbers and names, and as many negations. So it detects foreign text, changed
numbers and names and most negations, and quotes the passage verbatim.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import orjson

from pairmill.simulator.content import split_sentences

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["asks_for_verdicts", "write_verdicts"]

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
