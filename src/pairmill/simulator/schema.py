"""A fitting value for a JSON schema, filled from what the chunk says.

A property's name decides which part of a draft goes in: ``instruction`` takes the question,
``answer`` the answer, ``evidence`` the copied span, ``number`` the place in the list. Any other
string is a short remark, any other number a seeded score. ``pattern`` and ``format`` are not
looked at.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.simulator.content import Draft

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pairmill.simulator.dice import Dice

    Filler = Callable[["Filling", Draft], Any]

__all__ = ["PAIRS_SCHEMA", "Filling", "fill", "find_schema"]

PAIRS_SCHEMA: bytes = orjson.dumps(
    {
        "type": "object",
        "properties": {
            "skip": {"type": ["string", "null"]},
            "pairs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "type": {"type": "string"},
                        "evidence": {"type": "string"},
                        "instruction": {"type": "string"},
                        "answer": {"type": "string"},
                    },
                },
            },
        },
    }
)
"""What is answered where neither the request nor its system message holds a schema."""

_INSTRUCTION = frozenset({"instruction", "question", "prompt", "query", "task", "user"})
_ANSWER = frozenset({"answer", "response", "output", "completion", "text", "assistant"})
_EVIDENCE = frozenset({"evidence", "quote", "span", "context"})
_KIND = frozenset({"type", "kind", "category"})
_POSITION = frozenset({"number", "position"})
_REASON = frozenset({"skip", "reason", "error", "refusal"})
_DEPTH = 32
_DECODER = json.JSONDecoder()
_NOTHING = Draft("fact", "", "What is this about?", "There is nothing to say about this.")


@dataclass(frozen=True, slots=True)
class Filling:
    """What a value is made of: the drafts in order, and the dice for everything else."""

    drafts: Sequence[Draft]
    dice: Dice


def fill(schema: bytes, filling: Filling) -> Any:
    """Make a value that fits the schema (given as JSON): the same for the same drafts and dice."""
    filler = _compiled(schema)
    return filler(filling, filling.drafts[0] if filling.drafts else _NOTHING)


@functools.lru_cache(maxsize=256)
def find_schema(text: str) -> bytes | None:
    """The first JSON schema of an object that stands in the text, as JSON; None where none does."""
    if '"properties"' not in text:
        return None
    start = -1
    while (start := text.find("{", start + 1)) >= 0:
        try:
            found, _end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and isinstance(found.get("properties"), dict):
            return orjson.dumps(found)
    return None


@functools.lru_cache(maxsize=256)
def _compiled(schema: bytes) -> Filler:
    root = orjson.loads(schema)
    return _compile(root, root, "", _DEPTH)


def _compile(node: Any, root: Mapping[str, Any], name: str, depth: int) -> Filler:
    node = _resolve(node, root)
    if depth == 0 or not isinstance(node, dict):
        return _always(None)
    if "const" in node:
        return _always(node["const"])
    kinds = node.get("type") or ("object" if "properties" in node else "string")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "null" in kinds and name in _REASON:
        reason = next((value for value in node.get("enum", ()) if value is not None), "no prose")
        return lambda filling, _draft: None if filling.drafts else reason
    if node.get("enum"):
        return _enum(node["enum"])
    kind = next((kind for kind in kinds if kind != "null"), "null")
    if kind == "integer" and name in _POSITION:
        return _position
    fillers: dict[Any, Callable[[], Filler]] = {
        "object": lambda: _object(node, root, depth),
        "array": lambda: _array(node, root, name, depth),
        "integer": lambda: _number(node, whole=True),
        "number": lambda: _number(node, whole=False),
        "boolean": lambda: lambda filling, _draft: filling.dice.below(2) == 0,
        "string": lambda: _string(node, name),
    }
    return fillers.get(kind, lambda: _always(None))()


def _position(filling: Filling, draft: Draft) -> int:
    """Which of the list's items this is, from 1."""
    return filling.drafts.index(draft) + 1 if draft in filling.drafts else 1


def _always(value: Any) -> Filler:
    return lambda _filling, _draft: value


def _resolve(node: Any, root: Mapping[str, Any]) -> Any:
    for _ in range(_DEPTH):
        if not isinstance(node, dict):
            break
        if isinstance(node.get("$ref"), str):
            target: Any = root
            for part in node["$ref"].removeprefix("#").strip("/").split("/"):
                target = target.get(part) if part and isinstance(target, dict) else target
            node = target
            continue
        choices = node.get("anyOf") or node.get("oneOf") or node.get("allOf")
        if not choices:
            break
        types = [choice for choice in choices if choice != {"type": "null"}]
        chosen = types[0] if types else choices[0]
        if len(types) < len(choices) and isinstance(chosen, dict) and "type" in chosen:
            chosen = {**chosen, "type": [chosen["type"], "null"]}
        node = chosen
    return node


def _enum(values: Sequence[Any]) -> Filler:
    known = frozenset(value for value in values if isinstance(value, str))

    def filler(filling: Filling, draft: Draft) -> Any:
        return draft.kind if draft.kind in known else filling.dice.pick(values)

    return filler


def _object(node: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Filler:
    fields = [
        (key, _compile(value, root, key.lower(), depth - 1))
        for key, value in (node.get("properties") or {}).items()
    ]
    return lambda filling, draft: {key: filler(filling, draft) for key, filler in fields}


def _array(node: Mapping[str, Any], root: Mapping[str, Any], name: str, depth: int) -> Filler:
    item = _compile(node.get("items", {}), root, name.removesuffix("s"), depth - 1)
    least, most = node.get("minItems", 0), node.get("maxItems", 2**31)

    def filler(filling: Filling, _draft: Draft) -> Any:
        drafts = list(filling.drafts[:most])
        while len(drafts) < least:
            drafts.append(drafts[len(drafts) % len(filling.drafts)] if drafts else _NOTHING)
        return [item(filling, draft) for draft in drafts]

    return filler


def _number(node: Mapping[str, Any], *, whole: bool) -> Filler:
    least = node.get("minimum", node.get("exclusiveMinimum", 0) + 1)
    most = node.get("maximum", node.get("exclusiveMaximum", max(5, least) + 1) - 1)
    if whole:
        least, most = int(least), max(int(most), int(least))

    def filler(filling: Filling, _draft: Draft) -> Any:
        high = max(filling.dice.share(), filling.dice.share())  # judges are kind
        value = least + high * (most - least + whole)
        return min(int(value), most) if whole else round(value, 3)

    return filler


def _string(node: Mapping[str, Any], name: str) -> Filler:
    least, most = node.get("minLength", 0), node.get("maxLength")

    def filler(_filling: Filling, draft: Draft) -> Any:
        text = _text_for(name, draft)
        while len(text) < least:
            text += f" {text or 'word'}"
        return text if most is None else text[:most]

    return filler


def _text_for(name: str, draft: Draft) -> str:
    if name in _INSTRUCTION:
        return draft.instruction
    if name in _ANSWER:
        return draft.answer
    if name in _EVIDENCE:
        return draft.evidence
    if name in _KIND:
        return draft.kind
    return f"It speaks of {draft.evidence}." if draft.evidence else "Nothing to remark."
