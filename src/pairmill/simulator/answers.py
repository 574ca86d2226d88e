"""From a request to the text of a good answer: a pure function of seed and request."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.simulator.content import UNRELATED, draft_pairs, find_passage, wanted_pairs
from pairmill.simulator.dice import Dice
from pairmill.simulator.schema import PAIRS_SCHEMA, Filling, fill, find_schema
from pairmill.simulator.wire import Answer, ChatRequest, limit_tokens

if TYPE_CHECKING:
    from pairmill.simulator.settings import SimulatorSettings

__all__ = ["answer_request", "limit_tokens", "write_answer", "write_draft"]

_CANNED_SEED = 20
_COPIED = frozenset({"evidence", "quote", "span"})  # checked against the passage word for word


def answer_request(request: ChatRequest, settings: SimulatorSettings) -> Answer:
    """A good answer; ended with ``length`` where max_tokens cuts it."""
    return limit_tokens(write_answer(request, settings), request.max_tokens)


def write_answer(request: ChatRequest, settings: SimulatorSettings, turn: int = 0) -> str:
    """The text of a good answer; ``turn`` makes other ones to the same question."""
    passage, around = find_passage(request.user)
    schema = orjson.dumps(request.schema) if request.schema is not None else None
    if schema is None:
        schema = find_schema(request.system) or find_schema(around)
    count = wanted_pairs(around, _usual_pairs(request.system, settings.pairs_per_chunk))
    if settings.content == "canned":
        text = _canned(schema, count)
    else:
        text = _compose(
            UNRELATED if settings.ignore_chunk else passage, schema, count, request.digest + turn
        )
    if settings.response_format == "ignored":
        text = f"Here is what you asked for:\n\n```json\n{text}\n```\n"
    return text


def write_draft(request: ChatRequest, settings: SimulatorSettings) -> str:
    """A whole answer that a model throws away, recognisable by "Draft:" in its first texts."""
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
    dice = Dice(seed)
    drafts = draft_pairs(passage, count, dice)
    return orjson.dumps(fill(schema or PAIRS_SCHEMA, Filling(drafts, dice))).decode()
