"""From a request to the text of a good answer: a pure function of seed and request."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import orjson

from pairmill.simulator.content import UNRELATED, draft_pairs, find_passage, wanted_pairs
from pairmill.simulator.dice import Dice
from pairmill.simulator.schema import PAIRS_SCHEMA, Filling, fill, find_schema
from pairmill.simulator.wire import Answer, ChatRequest, count_tokens

if TYPE_CHECKING:
    from pairmill.simulator.settings import SimulatorSettings

__all__ = ["answer_request", "limit_tokens"]

_CANNED_SEED = 20


def answer_request(request: ChatRequest, settings: SimulatorSettings) -> Answer:
    """A good answer; ended with ``length`` where max_tokens cuts it."""
    passage, around = find_passage(request.user)
    schema = orjson.dumps(request.schema) if request.schema is not None else None
    if schema is None:
        schema = find_schema(request.system) or find_schema(around)
    count = wanted_pairs(around, _usual_pairs(request.system, settings.pairs_per_chunk))
    if settings.content == "canned":
        text = _canned(schema, count)
    else:
        text = _compose(
            UNRELATED if settings.ignore_chunk else passage, schema, count, request.digest
        )
    if settings.response_format == "ignored":
        text = f"Here is what you asked for:\n\n```json\n{text}\n```\n"
    return limit_tokens(text, request.max_tokens)


def limit_tokens(text: str, max_tokens: int | None, finish_reason: str = "stop") -> Answer:
    """The text, cut to ``max_tokens`` (four characters each) and then ended with ``length``."""
    tokens = count_tokens(text)
    if max_tokens is None or tokens <= max_tokens:
        return Answer(text, finish_reason, tokens)
    return Answer(text[: 4 * max_tokens], "length", max_tokens)


_usual_pairs = functools.lru_cache(maxsize=256)(wanted_pairs)  # a system message is constant


@functools.lru_cache(maxsize=256)
def _canned(schema: bytes | None, count: int) -> str:
    return _compose(UNRELATED, schema, count, _CANNED_SEED)


def _compose(passage: str, schema: bytes | None, count: int, seed: int) -> str:
    dice = Dice(seed)
    drafts = draft_pairs(passage, count, dice)
    return orjson.dumps(fill(schema or PAIRS_SCHEMA, Filling(drafts, dice))).decode()
