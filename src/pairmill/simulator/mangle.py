"""Turns good answers into the broken JSON that models write.

Each entry takes the text of a good answer and returns the text of a bad one. Those that need the
pairs leave a text without pairs unchanged, except for changes that fit any JSON.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TEXT_FAULTS", "mangle_text"]

_REFUSAL = "I'm sorry, but I can't help with that request."
_THOUGHT = (
    '<think>\nThe passage has {some} facts. I should write pairs. {"pairs": []}\n</think>\n\n'
)
_RENAMED = {"instruction": "Question", "answer": "Response", "evidence": "source", "type": "label"}
_STRING_END = re.compile(r"\"(?=[,}\]])")
_DEPTH = 2000
_DIGITS = 10_000


def mangle_text(name: str, text: str, huge_chars: int) -> str:
    """Apply a fault of ``TEXT_FAULTS`` to the text of a good answer."""
    if name == "huge":
        return _huge(text, huge_chars)
    if name == "endless_whitespace":
        return text[:-1] + " \n" * (huge_chars // 2)
    return TEXT_FAULTS[name](text)


def _huge(text: str, chars: int) -> str:
    value = _load(text)
    filler = "and so on " * (chars // 10)
    for pair in _pairs(value):
        pair["answer"] = filler
    return _dump(value) if _pairs(value) else f'{text[:-1]},"more":"{filler}"}}'


def _load(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # already cut by max_tokens
        return None


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()


def _pairs(value: Any) -> list[dict[str, Any]]:
    pairs = value.get("pairs") if isinstance(value, dict) else None
    if not isinstance(pairs, list):
        return []
    return [pair for pair in pairs if isinstance(pair, dict)]


def _on_pairs(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[str], str]:
    """Make a fault from a function that alters the pairs, or returns a new answer."""

    def apply(text: str) -> str:
        value = _load(text)
        replaced = change(_pairs(value))
        return text if value is None else _dump(value if replaced is None else replaced)

    return apply


def _two_of_three(pairs: list[dict[str, Any]]) -> None:
    if pairs:
        pairs[-1]["answer"] = ""


def _one_broken(text: str) -> str:
    """Cut the last pair in the middle; the others before it stay whole."""
    last = text.rfind('"answer"')
    return text[: last + 24] if last > 0 else text[: len(text) // 2]


def _extra_pair(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"skip": None, "pairs": [*pairs, *pairs[:1], {}]}


def _wrong_keys(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    renamed = [{_RENAMED.get(key, key): value for key, value in pair.items()} for pair in pairs]
    return {"qa_pairs": renamed}


def _wrong_types(pairs: list[dict[str, Any]]) -> None:
    for pair in pairs:
        pair["answer"] = [pair.get("answer")]
        pair["instruction"] = {"text": pair.get("instruction")}


def _numbers(pairs: list[dict[str, Any]]) -> None:
    for index, pair in enumerate(pairs):
        pair["answer"] = index


def _empty_strings(pairs: list[dict[str, Any]]) -> None:
    for pair in pairs:
        pair["instruction"] = pair["answer"] = " "


def _same_pair(pairs: list[dict[str, Any]]) -> None:
    for pair in pairs[1:]:
        pair.update(pairs[0])


def _echo(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    del pairs
    return {"type": "object", "properties": {"pairs": {"type": "array"}}, "required": ["pairs"]}


def _single_quotes(text: str) -> str:
    return repr(_load(text)) if _load(text) is not None else text.replace('"', "'")


def _in_last_string(text: str, inserted: str) -> str:
    """Insert raw characters into the last string of the JSON text, a typical slip of models."""
    places = [found.start() for found in _STRING_END.finditer(text)]
    at = places[-1] if places else len(text)
    return text[:at] + inserted + text[at:]


TEXT_FAULTS: dict[str, Callable[[str], str]] = {
    "bare_list": _on_pairs(list),
    "bom": lambda text: "\ufeff" + text,
    "comments": lambda text: text.replace("{", "{ // as asked\n", 1) + " /* done */",
    "cut_off": lambda text: text[: len(text) * 2 // 3],
    "deep_nesting": lambda _text: '{"pairs":' + "[" * _DEPTH + "]" * _DEPTH + "}",
    "double_encoded": _dump,
    "duplicate_keys": lambda text: text[:-1] + ',"pairs":[]}',
    "echoed_schema": _on_pairs(_echo),
    "empty_content": lambda _text: "",
    "empty_pairs": _on_pairs(lambda _pairs: {"skip": None, "pairs": []}),
    "empty_strings": _on_pairs(_empty_strings),
    "endless_whitespace": lambda text: text,
    "extra_pair": _on_pairs(_extra_pair),
    "fences": lambda text: f"```json\n{text}\n```",
    "fences_unclosed": lambda text: f"```json\n{text}\n",
    "html_escaped": lambda text: text.replace('"', "&quot;"),
    "huge": lambda text: text,
    "long_digits": lambda text: text[:-1] + ',"score":' + "9" * _DIGITS + "}",
    "lone_surrogate": lambda text: _in_last_string(text, "\\ud83d"),
    "nan": lambda text: text[:-1] + ',"score":NaN,"limit":-Infinity}',
    "nul": lambda text: _in_last_string(text, "\\u0000"),
    "numbers": _on_pairs(_numbers),
    "one_broken": _one_broken,
    "plain_prose": lambda _text: "The passage is about several things, which I found interesting.",
    "prose_around": lambda text: (
        f"Sure! Here are the pairs:\n\n{text}\n\nLet me know if I can help."
    ),
    "python_literals": lambda text: text.replace("null", "None").replace("true", "True"),
    "raw_newlines": lambda text: _in_last_string(text, "\n\nAnd so on."),
    "raw_surrogate": lambda text: _in_last_string(text, "\ud83d"),
    "refusal": lambda _text: _REFUSAL,
    "repeated_pairs": _on_pairs(_same_pair),
    "single_quotes": _single_quotes,
    "smart_quotes": lambda text: text.replace('":"', "”:“").replace('","', "”,“"),
    "thinking": lambda text: _THOUGHT + text,
    "trailing_comma": lambda text: re.sub(r"([}\]])(?=[}\]]*$)", r",\1", text),
    "two_of_three": _on_pairs(_two_of_three),
    "unescaped_quotes": lambda text: _in_last_string(text, ' "so to say" indeed'),
    "whole_twice": lambda text: f"{text}\n{text}",
    "wrong_keys": _on_pairs(_wrong_keys),
    "wrong_types": _on_pairs(_wrong_types),
}
"""Map of fault name to a function that alters the text."""
