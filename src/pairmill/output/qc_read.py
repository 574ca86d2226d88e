"""Reads the pairs of a dataset that any tool made, whatever it calls its fields.

Known shapes: instruction/answer under their usual names, alpaca (instruction, input, output),
``messages`` (role, content), ShareGPT ``conversations`` (from, value), prompt/completion, and
prompt/chosen. Containers: JSONL (also gzipped), JSON (a list, or lists anywhere in an object),
Parquet, and folders of them.
"""

from __future__ import annotations

import gzip
import importlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Fields", "PairRow", "Pairs", "read_pairs", "to_pair"]

_ASKED = ("instruction", "question", "prompt", "query", "user", "input")
_SAID = ("answer", "output", "response", "completion", "chosen", "assistant", "reply")
_TURNS = ("messages", "conversations", "conversation", "dialog")
_USERS = frozenset({"user", "human", "prompter"})
_MODELS = frozenset({"assistant", "gpt", "model", "bot", "chatgpt"})
_SPLITS = {
    "train": "train", "training": "train", "test": "test", "eval": "test", "validation":
    "validation", "valid": "validation", "val": "validation", "dev": "validation",
}  # fmt: skip
_SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".json", ".parquet")
_NOT_DATA = frozenset(
    {"manifest.json", "dataset_info.json", "state.json", "report.json", "export.json"}
)
_NESTING = 8


@dataclass(frozen=True, slots=True)
class Fields:
    """Names of the fields to read; None: found by their usual names."""

    instruction: str | None = None
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class PairRow:
    """One record of a dataset.

    Attributes:
        instruction: The first request; "" for plain text.
        answer: The first reply, or the plain text.
        split: ``train``, ``validation``, ``test``, or None where none is told.
        task: ``pair``, ``conversation``, ``text`` or ``question``.
        further: The later requests of a conversation, each with its reply.
    """

    instruction: str
    answer: str
    split: str | None = None
    task: str = "pair"
    further: tuple[tuple[str, str], ...] = ()

    @property
    def exchanges(self) -> tuple[tuple[str, str], ...]:
        """Every request with its reply."""
        return ((self.instruction, self.answer), *self.further)

    @property
    def key_text(self) -> str:
        """What tells the record from others: its requests, or the text where there is none."""
        return "\n".join(asked for asked, _ in self.exchanges) if self.instruction else self.answer


@dataclass(frozen=True, slots=True)
class Pairs:
    """What was read: the pairs in their order, and how many records held none."""

    rows: list[PairRow]
    unreadable: int


def read_pairs(path: Path, fields: Fields = Fields()) -> Pairs:
    """Read a dataset, whole, into memory.

    Raises:
        InputError: Nothing is there, it cannot be read, or no record holds a pair.
        ConfigError: It is Parquet, and pyarrow is not installed.
    """
    rows: list[PairRow] = []
    unreadable = 0
    seen: dict[str, None] = {}
    for file in _files(path):
        for record, split in _records(file):
            pair = to_pair(record, fields, split) if isinstance(record, dict) else None
            if pair:
                rows.append(pair)
                continue
            unreadable += 1
            if isinstance(record, dict):
                seen.update(dict.fromkeys(str(name) for name in record))
    if not rows:
        listed = ", ".join(list(seen)[:12])
        hint = f" (fields: {listed}); name the fields that hold them" if listed else ""
        raise InputError(f"{path}: no pairs found{hint}")
    return Pairs(rows, unreadable)


def to_pair(record: Mapping[str, Any], fields: Fields, split: str | None) -> PairRow | None:
    """What a record holds, or None where that is no request with a reply and no plain text."""
    split = _SPLITS.get(str(record.get("split", "")).lower(), split)
    turns = next((record[name] for name in _TURNS if isinstance(record.get(name), list)), None)
    task = str(record.get("task") or "pair")
    if not (fields.instruction or fields.answer):
        if turns:
            found = _exchanges(turns)
            task = "conversation" if len(found) > 1 else task
            return PairRow(*found[0], split, task, tuple(found[1:])) if found else None
        text = record.get("answer") if task == "text" else record.get("text")
        if isinstance(text, str) and not any(isinstance(record.get(n), str) for n in _ASKED):
            return PairRow("", text, split, "text")
    asked = _first(record, (fields.instruction,) if fields.instruction else _ASKED, _USERS)
    said = _first(record, (fields.answer,) if fields.answer else _SAID, _MODELS)
    more = record.get("input")
    if "instruction" in record and "output" in record and isinstance(more, str) and more:
        asked = f"{asked}\n\n{more}"
    return PairRow(asked, said, split, task) if asked and said is not None else None


def _first(record: Mapping[str, Any], names: tuple[str, ...], roles: frozenset[str]) -> str | None:
    for name in names:
        value = record.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            return _of(value, roles)
    return None


def _of(turns: list[Any], roles: frozenset[str]) -> str | None:
    """What the first turn of one side says."""
    for turn in turns:
        if not isinstance(turn, dict):
            continue
        role = turn.get("role", turn.get("from"))
        said = turn.get("content", turn.get("value"))
        if role in roles and isinstance(said, str):
            return said
    return None


def _exchanges(turns: list[Any]) -> list[tuple[str, str]]:
    """Each request with its reply, in order; a reply without a request counts for none."""
    found: list[tuple[str, str]] = []
    asked = None
    for turn in turns:
        if not isinstance(turn, dict):
            continue
        role = turn.get("role", turn.get("from"))
        said = turn.get("content", turn.get("value"))
        if not isinstance(said, str):
            continue
        if role in _USERS:
            asked = said
        elif role in _MODELS and asked:
            found.append((asked, said))
            asked = None
    return found


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder")
    found = sorted(
        file
        for file in path.rglob("*")
        if file.name.endswith(_SUFFIXES)
        and file.name not in _NOT_DATA
        and "rejected" not in file.relative_to(path).parts
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not found:
        raise InputError(f"{path}: holds no {', '.join(_SUFFIXES)} file")
    return found


def _records(file: Path) -> Iterator[tuple[Any, str | None]]:
    split = _SPLITS.get(file.name.replace("_", "-").split("-")[0].split(".")[0].lower())
    try:
        if file.name.endswith(".parquet"):
            yield from ((record, split) for record in _parquet(file))
        elif file.name.endswith(".json"):
            yield from _walk(orjson.loads(file.read_bytes()), split)
        else:
            yield from ((record, split) for record in _lines(file))
    except orjson.JSONDecodeError:
        raise InputError(f"{file}: not valid JSON") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "damaged"
        raise InputError(f"{file}: cannot be read: {reason}") from None


def _lines(file: Path) -> Iterator[Any]:
    """One record a line; a line that is no JSON counts as a record without a pair."""
    with gzip.open(file) if file.name.endswith(".gz") else file.open("rb") as stream:
        for line in stream:
            if not line.strip():
                continue
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError:
                yield None


def _walk(value: Any, split: str | None, depth: int = 0) -> Iterator[tuple[Any, str | None]]:
    """All records of the lists in a JSON value; a key named for a split names that of its list."""
    if isinstance(value, list):
        for entry in value:
            if isinstance(entry, dict):
                yield entry, split
    elif isinstance(value, dict) and depth < _NESTING:
        for name, inner in value.items():
            yield from _walk(inner, _SPLITS.get(name.lower(), split), depth + 1)


def _parquet(file: Path) -> Iterator[Any]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
        arrow = importlib.import_module("pyarrow")
    except ImportError:
        raise ConfigError(f"{file}: needs the extra: pip install 'pairmill[parquet]'") from None
    try:
        with parquet.ParquetFile(file) as table:
            for batch in table.iter_batches():
                yield from batch.to_pylist()
    except arrow.ArrowException:
        raise InputError(f"{file}: not a Parquet file that can be read") from None
