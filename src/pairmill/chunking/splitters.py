"""Splitters: by characters, by tokens of a tokenizer file, or by a user's function.

A splitter takes a clean text and returns spans as `chunk.find_spans` does: in order and disjoint.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from pairmill.chunking.blocks import find_blocks
from pairmill.chunking.chunk import Span, find_spans
from pairmill.errors import ConfigError

if TYPE_CHECKING:
    from pairmill.chunking.reader_job import ReaderJob

__all__ = ["Splitter", "make_splitter"]

Splitter: TypeAlias = Callable[[str], list[Span]]
Count: TypeAlias = Callable[[str], int]
_SLACK = 0.95  # a piece that is too long is cut to this share of the size that would just fit
_MOST_TRIES = 12


def make_splitter(job: ReaderJob) -> Splitter:
    """Return the splitter that a job names.

    Raises:
        ConfigError: The splitter or the tokenizer cannot be loaded.
    """
    bounds = (job.chunk_min_chars, job.chunk_target_chars, job.chunk_max_chars)
    if job.splitter:
        return _own(job.splitter)
    if job.tokenizer:
        tokens = (job.chunk_min_tokens, job.chunk_target_tokens, job.chunk_max_tokens)
        count = _token_counter(job.tokenizer)
        return lambda text: split_by_tokens(text, tokens, count)
    return lambda text: find_spans(text, bounds)


def split_by_tokens(text: str, bounds: tuple[int, int, int], count: Count) -> list[Span]:
    """Cut a text along its structure into spans whose size is counted in tokens.

    The maximum characters of a span are estimated from the text's mean characters per token; a span
    that still has more than ``bounds[2]`` tokens is cut again, down to single characters.
    """
    if not text.strip():
        return []
    ratio = len(text) / max(1, count(text))
    spans = find_spans(text, _in_chars(bounds, ratio))
    done: list[Span] = []
    for span in spans:
        done.extend(_cut_until_it_fits(text, span, bounds, count))
    return done


def _cut_until_it_fits(
    text: str, span: Span, bounds: tuple[int, int, int], count: Count
) -> list[Span]:
    start, end, section, _ = span
    piece = text[start:end]
    most = bounds[2]
    size = count(piece)
    room = float(len(piece))
    for _ in range(_MOST_TRIES):
        if size <= most or room <= 1:
            break
        room = max(1.0, room * most / size * _SLACK)
        parts = find_spans(piece, (1, max(1, int(room)), max(1, int(room))))
        size = max(count(piece[low:high]) for low, high, *_ in parts)
        if size <= most or room <= 1:
            return [(start + low, start + high, own or section, ()) for low, high, own, _ in parts]
    return [span]


def _in_chars(bounds: tuple[int, int, int], ratio: float) -> tuple[int, int, int]:
    least, target, most = (max(1, int(bound * ratio)) for bound in bounds)
    return least, target, most


def _token_counter(path: str) -> Count:
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415 (an extra)
    except ImportError:
        raise ConfigError(
            "tokenizer: needs the extra tokens: pip install 'pairmill[tokens]'"
        ) from None
    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # noqa: BLE001 (the library raises Exception itself)
        words = str(error).split("\n", 1)[0][:200]
        raise ConfigError(f"tokenizer: cannot read {path}: {words}") from None

    def count(text: str) -> int:
        try:
            return len(tokenizer.encode(text, add_special_tokens=False).ids)
        except UnicodeEncodeError:
            return len(tokenizer.encode(text.encode("utf-8", "replace").decode()).ids)

    return count


def _own(name: str) -> Splitter:
    """Load a user's function, and check that it keeps the promises of a splitter."""
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ConfigError(f"splitter: '{name}' is not of the form module:name")
    try:
        function: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"splitter: cannot load '{name}': {error}") from None
    if not callable(function):
        raise ConfigError(f"splitter: '{name}' is not a function")

    def split(text: str) -> list[Span]:
        try:
            found: Iterable[tuple[int, int]] = function(text)
            spans = [(int(start), int(end)) for start, end in found]
        except Exception as error:  # a user's own code
            raise ConfigError(
                f"splitter: '{name}' failed: {type(error).__name__}: {error}"
            ) from error
        return _checked(name, text, spans)

    return split


def _checked(name: str, text: str, spans: list[tuple[int, int]]) -> list[Span]:
    sections = [(block.start, block.end, block.section) for block in find_blocks(text)]
    at = last = 0
    checked: list[Span] = []
    for start, end in spans:
        if not last <= start < end <= len(text):
            raise ConfigError(
                f"splitter: '{name}' gave ({start}, {end}) after {last}, of {len(text)} characters;"
                " spans must be in order, disjoint and within the text"
            )
        last = end
        while at + 1 < len(sections) and sections[at][1] <= start:
            at += 1
        if text[start:end].strip():
            checked.append((start, end, sections[at][2] if sections else (), ()))
    return checked
